package cost

import (
	"context"
	"fmt"
	"net"
	"sync"
	"syscall"
)

// network connects brokers and clients by pipes.
type network struct {
	mu        sync.Mutex
	listeners map[string]*listener
	ports     int
}

func newNetwork() *network { return &network{listeners: map[string]*listener{}, ports: 10_000} }

func (n *network) Listen(_, addr string) (net.Listener, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, err
	}
	if port == "0" {
		n.ports++
		addr = net.JoinHostPort(host, fmt.Sprint(n.ports))
	}
	if n.listeners[addr] != nil {
		return nil, syscall.EADDRINUSE
	}
	l := &listener{net: n, addr: addr, conns: make(chan net.Conn), closed: make(chan struct{})}
	n.listeners[addr] = l
	return l, nil
}

func (n *network) Dial(ctx context.Context, addr string) (net.Conn, error) {
	n.mu.Lock()
	l := n.listeners[addr]
	n.mu.Unlock()
	if l == nil {
		return nil, syscall.ECONNREFUSED
	}
	near, far := net.Pipe()
	select {
	case l.conns <- conn{far, l.addr}:
		return conn{near, l.addr}, nil
	case <-l.closed:
		return nil, syscall.ECONNREFUSED
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

type listener struct {
	net    *network
	addr   string
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
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
	l.once.Do(func() {
		l.net.mu.Lock()
		delete(l.net.listeners, l.addr)
		l.net.mu.Unlock()
		close(l.closed)
	})
	return nil
}

func (l *listener) Addr() net.Addr { return address(l.addr) }

// conn is a pipe with an address that looks like one of TCP.
type conn struct {
	net.Conn
	addr string
}

func (c conn) LocalAddr() net.Addr  { return address(c.addr) }
func (c conn) RemoteAddr() net.Addr { return address("127.0.0.1:1") }

type address string

func (address) Network() string  { return "tcp" }
func (a address) String() string { return string(a) }
