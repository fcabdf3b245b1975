package control

import (
	"context"
	"net"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
)

// inVirtualTime runs a test within synctest: sessions end, and callers give up, when they are to and not when the machine is busy.
func inVirtualTime(t *testing.T, test func(t *testing.T)) {
	t.Helper()
	synctest.Test(t, test)
}

// pipes is the network of the members of all tests: in memory, and good for testing/synctest. No address is used twice.
var pipes struct {
	sync.Mutex
	last      int
	listeners map[string]*pipeListener
}

type pipeListener struct {
	port   int
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

func listenPipe() *pipeListener {
	pipes.Lock()
	defer pipes.Unlock()
	pipes.last++
	l := &pipeListener{port: pipes.last, conns: make(chan net.Conn), closed: make(chan struct{})}
	if pipes.listeners == nil {
		pipes.listeners = map[string]*pipeListener{}
	}
	pipes.listeners[l.Addr().String()] = l
	return l
}

// dialPipe connects to a listener. Who does not listen any more refuses, as the system of a process that is gone does.
func dialPipe(ctx context.Context, addr string) (net.Conn, error) {
	pipes.Lock()
	l := pipes.listeners[addr]
	pipes.Unlock()
	if l == nil {
		return nil, syscall.ECONNREFUSED
	}
	near, far := net.Pipe()
	select {
	case l.conns <- far:
		return near, nil
	case <-l.closed:
		return nil, syscall.ECONNREFUSED
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (l *pipeListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *pipeListener) Close() error {
	l.once.Do(func() {
		close(l.closed)
		pipes.Lock()
		defer pipes.Unlock()
		delete(pipes.listeners, l.Addr().String())
	})
	return nil
}

func (l *pipeListener) Addr() net.Addr { return pipeAddr(l.port) }

type pipeAddr int

func (pipeAddr) Network() string  { return "pipe" }
func (a pipeAddr) String() string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(int(a))) }
