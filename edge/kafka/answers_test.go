package kafka

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// pipes is a listener whose connections hold nothing that is not being read.
type pipes struct {
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case nc := <-p.conns:
		return nc, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error   { p.once.Do(func() { close(p.closed) }); return nil }
func (p *pipes) Addr() net.Addr { return &net.TCPAddr{} }

// from is a connection that comes from an address.
type from struct {
	net.Conn
	ip byte
}

func (f from) RemoteAddr() net.Addr { return &net.TCPAddr{IP: net.IPv4(10, 0, 0, f.ip), Port: 1} }

func (p *pipes) dial(ip byte) net.Conn {
	client, server := net.Pipe()
	p.conns <- from{server, ip}
	return client
}

// largeAnswer is what the requests with an even key of these tests are answered with; the others get 16 bytes.
const largeAnswer = 250 << 10

// withPipes runs a test of a server all of whose connections are pipes; in a bubble of synctest, that is in virtual time.
func withPipes(t *testing.T, opt Options, test func(t *testing.T, srv *Server, p *pipes)) {
	srv := New(opt)
	p := &pipes{conns: make(chan net.Conn), closed: make(chan struct{})}
	served := make(chan error, 1)
	go func() { served <- srv.Serve("plain", p) }()
	test(t, srv, p)
	if err := srv.Shutdown(context.Background()); err != nil {
		t.Error(err)
	}
	if err := <-served; err != nil {
		t.Error(err)
	}
}

// withAnswers runs a test of a server whose unread answers may take a MiB, all in virtual time.
func withAnswers(t *testing.T, test func(t *testing.T, srv *Server, p *pipes)) {
	synctest.Test(t, func(t *testing.T) {
		handler := handlerFunc(func(r *Request) {
			n := 16
			if r.Key%2 == 0 {
				n = largeAnswer
			}
			r.Reply(Reply{Segments: [][]byte{make([]byte, n)}})
		})
		var srv *Server
		withPipes(t, Options{RequestMemory: 2 << 20, Handler: handler}, func(t *testing.T, s *Server, p *pipes) {
			srv = s
			test(t, s, p)
		})
		if n := len(srv.answers.mu.piles); n > 0 || srv.answers.held() != 0 {
			t.Errorf("%d addresses hold %d bytes at the end", n, srv.answers.held())
		}
	})
}

func ask(t *testing.T, nc net.Conn, key int16) {
	t.Helper()
	if _, err := nc.Write(frame(key, 1, nil)); err != nil {
		t.Error(err)
	}
}

// read reads an answer and returns its length.
func read(nc net.Conn) (int, error) {
	var head [4]byte
	if _, err := io.ReadFull(nc, head[:]); err != nil {
		return 0, err
	}
	n, err := io.CopyN(io.Discard, nc, int64(binary.BigEndian.Uint32(head[:])))
	return int(n), err
}

// TestUnreadAnswers: clients that read nothing hold no more than the half that their address may have, and are cut off one after the other; a client
// of another address waits for none of them, and one who is as slow as that but has nobody waiting behind him is let be.
func TestUnreadAnswers(t *testing.T) {
	withAnswers(t, func(t *testing.T, srv *Server, p *pipes) {
		honest := p.dial(1)
		ask(t, honest, 4)
		if n, err := read(honest); n != largeAnswer+4 || err != nil {
			t.Fatal(n, err)
		}
		lone := p.dial(3)
		ask(t, lone, 4)
		var attackers []net.Conn
		for range 20 {
			nc := p.dial(2)
			attackers = append(attackers, nc)
			ask(t, nc, 4)
		}
		synctest.Wait()
		if held := srv.answers.held(); held != 3*largeAnswer {
			t.Errorf("%d bytes are held, want %d", held, 3*largeAnswer)
		}
		began := time.Now()
		ask(t, honest, 4)
		if n, err := read(honest); n != largeAnswer+4 || err != nil || time.Since(began) != 0 {
			t.Errorf("another address: %d bytes, %v, after %v", n, err, time.Since(began))
		}
		time.Sleep(5 * time.Minute) // but StallTimeout does not count: pipes do not take part of a write
		synctest.Wait()
		cut := 0
		for _, nc := range attackers {
			nc.SetReadDeadline(time.Now())
			if _, err := nc.Read(make([]byte, 1)); errors.Is(err, io.EOF) {
				cut++
			}
			nc.Close()
		}
		if cut < 18 {
			t.Errorf("%d of 20 were cut off", cut)
		}
		lone.Close()
		honest.Close()
	})
}

// TestUnreadAnswersOfOneAddress: who is behind somebody that reads slowly waits, does not when his answers are small, and may give up.
func TestUnreadAnswersOfOneAddress(t *testing.T) {
	withAnswers(t, func(t *testing.T, srv *Server, p *pipes) {
		first, second, third := p.dial(1), p.dial(1), p.dial(1)
		ask(t, first, 4)
		synctest.Wait() // the size of such answers is known now
		ask(t, second, 4)
		ask(t, third, 4)
		synctest.Wait()
		if held := srv.answers.held(); held != 2*largeAnswer {
			t.Errorf("%d bytes are held, want %d", held, 2*largeAnswer)
		}
		small := p.dial(1)
		ask(t, small, 5)
		if n, err := read(small); n != 20 || err != nil {
			t.Error(n, err)
		}
		third.Close() // while it waits
		if n, err := read(first); n != largeAnswer+4 || err != nil {
			t.Error(n, err)
		}
		if n, err := read(second); n != largeAnswer+4 || err != nil {
			t.Error(n, err)
		}
		for _, nc := range []net.Conn{first, second, small} {
			nc.Close()
		}
	})
}
