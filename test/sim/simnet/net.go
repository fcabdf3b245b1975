package simnet

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"sync"
	"syscall"
	"time"
)

// Delays says how long bytes take.
type Delays struct {
	Min, Max time.Duration // of one write, uniform
	Resend   float64       // probability that a write is lost at first
	Again    time.Duration // what it takes longer then
}

// Network connects hosts. Its methods are safe for concurrent use.
type Network struct {
	trace func(format string, args ...any)

	mu struct {
		sync.Mutex
		rng       *rand.Rand
		delays    Delays
		listeners map[string]*listener
		cut       map[[2]string]bool // from, to
		conns     map[*conn]struct{}
		changed   chan struct{} // closed, and made anew, when a path is cut or whole again
		opened    int
		watcher   func(p Piece, before bool) // nil: nobody
	}
}

// New returns a network without hosts. trace, if not nil, is told what happens; it must not call the network.
func New(seed uint64, d Delays, trace func(format string, args ...any)) *Network {
	n := &Network{trace: trace}
	if trace == nil {
		n.trace = func(string, ...any) {}
	}
	n.mu.rng = rand.New(rand.NewPCG(seed, 0x4e37))
	n.mu.delays = d
	n.mu.listeners = map[string]*listener{}
	n.mu.cut = map[[2]string]bool{}
	n.mu.conns = map[*conn]struct{}{}
	n.mu.changed = make(chan struct{})
	return n
}

// SetDelays changes how long bytes take from now on.
func (n *Network) SetDelays(d Delays) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.mu.delays = d
}

// Cut cuts the path from a host to another one, in this direction only, or makes it whole.
func (n *Network) Cut(from, to string, cut bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if cut {
		n.mu.cut[[2]string{from, to}] = true
	} else {
		delete(n.mu.cut, [2]string{from, to})
	}
	close(n.mu.changed)
	n.mu.changed = make(chan struct{})
}

// Heal makes all paths whole.
func (n *Network) Heal() {
	n.mu.Lock()
	defer n.mu.Unlock()
	clear(n.mu.cut)
	close(n.mu.changed)
	n.mu.changed = make(chan struct{})
}

// Piece is what one host has written at once and another one reads.
type Piece struct {
	Conn     int    // the connection, from 1
	From, To string // hosts
	Asked    bool   // From is who has connected
	Data     []byte // not to be kept
}

// Watch has f told of every piece, right before the first of it is read and right after the last. What f does to the network in between is in time: a piece that is then
// on a path that is cut, or on a connection that is reset, is not read. f is called by whoever reads, without locks.
func (n *Network) Watch(f func(p Piece, before bool)) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.mu.watcher = f
}

// Reset resets a connection: both sides are told, and what is on its way is lost.
func (n *Network) Reset(conn int) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for c := range n.mu.conns {
		if c.number == conn {
			c.in.failLocked(syscall.ECONNRESET)
			c.out.failLocked(syscall.ECONNRESET)
			delete(n.mu.conns, c)
		}
	}
}

// Host is one life of a host.
type Host struct {
	net  *Network
	name string
	down bool // under Network.mu
}

// Up starts a life of a host. Its name is the host of its addresses. The life before must have ended.
func (n *Network) Up(name string) *Host { return &Host{net: n, name: name} }

// Down ends the life of a host. Its peers are told by a reset, or they are not: then their connections are silent for ever.
func (h *Host) Down(silent bool) {
	n := h.net
	n.mu.Lock()
	defer n.mu.Unlock()
	if h.down {
		return
	}
	h.down = true
	for addr, l := range n.mu.listeners {
		if l.host == h {
			delete(n.mu.listeners, addr)
			l.endLocked()
		}
	}
	for c := range n.mu.conns {
		if c.host == h {
			c.in.failLocked(syscall.ECONNRESET)
			c.out.deaf = true
			if !silent {
				c.out.failLocked(syscall.ECONNRESET)
			}
			delete(n.mu.conns, c)
		}
	}
}

// Listen listens on HOST:PORT; port 0 is any free one.
func (h *Host) Listen(_, addr string) (net.Listener, error) {
	n := h.net
	n.mu.Lock()
	defer n.mu.Unlock()
	host, port, err := net.SplitHostPort(addr)
	switch {
	case err != nil:
		return nil, err
	case host != h.name:
		return nil, fmt.Errorf("listen on %s at %s: %w", addr, h.name, syscall.EADDRNOTAVAIL)
	case h.down:
		return nil, syscall.ENETDOWN
	}
	for free := 40000; port == "0"; free++ {
		if n.mu.listeners[net.JoinHostPort(host, fmt.Sprint(free))] == nil {
			port = fmt.Sprint(free)
		}
	}
	addr = net.JoinHostPort(host, port)
	if n.mu.listeners[addr] != nil {
		return nil, syscall.EADDRINUSE
	}
	l := &listener{host: h, addr: addr, closed: make(chan struct{}), conns: make(chan *conn, 128)}
	n.mu.listeners[addr] = l
	return l, nil
}

// Dial connects to HOST:PORT. While the path there or back is cut it waits.
func (h *Host) Dial(ctx context.Context, addr string) (net.Conn, error) {
	n := h.net
	to, _, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, err
	}
	n.mu.Lock()
	wait := n.delayLocked() + n.delayLocked()
	n.mu.Unlock()
	if err := sleep(ctx, wait); err != nil {
		return nil, err
	}
	for {
		n.mu.Lock()
		if h.down {
			n.mu.Unlock()
			return nil, syscall.ENETDOWN
		}
		if n.mu.cut[[2]string{h.name, to}] || n.mu.cut[[2]string{to, h.name}] {
			changed := n.mu.changed
			n.mu.Unlock()
			select {
			case <-changed:
				continue
			case <-ctx.Done():
				return nil, ctx.Err()
			}
		}
		defer n.mu.Unlock()
		l := n.mu.listeners[addr]
		if l == nil || len(l.conns) == cap(l.conns) {
			return nil, refused(addr)
		}
		near, far := n.connectLocked(h, l)
		l.conns <- far
		n.trace("net: %s connects to %s", near.local, addr)
		return near, nil
	}
}

// refused is the error of package net, by which clients know that nothing was sent.
func refused(addr string) error {
	return &net.OpError{Op: "dial", Net: "tcp", Addr: address(addr), Err: os.NewSyscallError("connect", syscall.ECONNREFUSED)}
}

func (n *Network) connectLocked(h *Host, l *listener) (near, far *conn) {
	n.mu.opened++
	there, back := newHalf(n, h.name, l.host.name), newHalf(n, l.host.name, h.name)
	local := address(net.JoinHostPort(h.name, fmt.Sprint(50000+n.mu.opened)))
	near = &conn{net: n, number: n.mu.opened, host: h, local: local, remote: address(l.addr), in: back, out: there}
	far = &conn{net: n, number: n.mu.opened, host: l.host, local: address(l.addr), remote: local, in: there, out: back, accepted: true}
	n.mu.conns[near], n.mu.conns[far] = struct{}{}, struct{}{}
	return near, far
}

func (n *Network) delayLocked() time.Duration {
	d := n.mu.delays
	wait := d.Min
	if d.Max > d.Min {
		wait += time.Duration(n.mu.rng.Int64N(int64(d.Max - d.Min)))
	}
	if d.Resend > 0 && n.mu.rng.Float64() < d.Resend {
		wait += d.Again
	}
	return wait
}

func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

type listener struct {
	host   *Host
	addr   string
	conns  chan *conn
	closed chan struct{}
}

func (l *listener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *listener) Close() error {
	n := l.host.net
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.mu.listeners[l.addr] == l {
		delete(n.mu.listeners, l.addr)
		l.endLocked()
	}
	return nil
}

// endLocked resets the connections that nobody has accepted.
func (l *listener) endLocked() {
	close(l.closed)
	for {
		select {
		case c := <-l.conns:
			c.in.failLocked(syscall.ECONNRESET)
			c.out.failLocked(syscall.ECONNRESET)
			delete(l.host.net.mu.conns, c)
		default:
			return
		}
	}
}

func (l *listener) Addr() net.Addr { return address(l.addr) }

type address string

func (address) Network() string  { return "tcp" }
func (a address) String() string { return string(a) }
