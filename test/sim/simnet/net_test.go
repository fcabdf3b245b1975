package simnet

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// connected is two hosts and a connection between them.
type connected struct {
	net       *Network
	a, b      *Host
	near, far net.Conn
}

func connect(t *testing.T, d Delays) connected {
	t.Helper()
	n := New(1, d, nil)
	c := connected{net: n, a: n.Up("a"), b: n.Up("b")}
	l, err := c.b.Listen("tcp", "b:0")
	if err != nil {
		t.Fatal(err)
	}
	if c.near, err = c.a.Dial(t.Context(), l.Addr().String()); err != nil {
		t.Fatal(err)
	}
	if c.far, err = l.Accept(); err != nil {
		t.Fatal(err)
	}
	return c
}

// Bytes come in order, each after its delay, also more of them than the window holds; then EOF.
func TestBytesComeInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := connect(t, Delays{Min: time.Millisecond, Max: 90 * time.Millisecond, Resend: 0.2, Again: time.Second})
		var want bytes.Buffer
		go func() {
			for i := range 300 {
				c.near.Write(bytes.Repeat([]byte{byte(i)}, 10_000))
			}
			c.near.Close()
		}()
		for i := range 300 {
			want.Write(bytes.Repeat([]byte{byte(i)}, 10_000))
		}
		began := time.Now()
		got, err := io.ReadAll(c.far)
		if err != nil || !bytes.Equal(got, want.Bytes()) {
			t.Fatalf("%d bytes, %v", len(got), err)
		}
		if time.Since(began) < time.Millisecond {
			t.Fatal("no time has passed")
		}
	})
}

// A cut holds back one direction, a deadline ends the wait, and what was held back comes when the path is whole.
func TestCut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := connect(t, Delays{Min: time.Millisecond})
		c.net.Cut("a", "b", true)
		c.near.Write([]byte("there"))
		c.far.Write([]byte("back"))
		buf := make([]byte, 10)
		if n, err := c.near.Read(buf); string(buf[:n]) != "back" {
			t.Fatal(n, err)
		}
		c.far.SetReadDeadline(time.Now().Add(time.Minute))
		if n, err := c.far.Read(buf); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Fatal(n, err)
		}
		c.far.SetReadDeadline(time.Time{})
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if _, err := c.b.Dial(ctx, "a:1"); !errors.Is(err, context.DeadlineExceeded) {
			t.Fatal(err)
		}
		c.net.Heal()
		if n, err := c.far.Read(buf); string(buf[:n]) != "there" {
			t.Fatal(n, err)
		}
		if _, err := c.b.Dial(t.Context(), "a:1"); !errors.Is(err, syscall.ECONNREFUSED) {
			t.Fatal(err)
		}
	})
}

// A host that goes down resets its connections, or is silent; its own side is dead in any case, and its ports are free for its next life.
func TestDown(t *testing.T) {
	for _, silent := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			c := connect(t, Delays{Min: time.Millisecond})
			addr := c.near.RemoteAddr().String()
			c.b.Down(silent)
			if _, err := c.far.Write([]byte("x")); err == nil {
				t.Fatal("a dead host writes")
			}
			if _, err := c.far.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
				t.Fatal(err)
			}
			c.near.SetReadDeadline(time.Now().Add(time.Hour))
			_, err := c.near.Read(make([]byte, 1))
			if want := error(syscall.ECONNRESET); silent {
				want = os.ErrDeadlineExceeded
				if !errors.Is(err, want) {
					t.Fatal(err)
				}
			} else if !errors.Is(err, want) {
				t.Fatal(err)
			}
			if _, err := c.b.Listen("tcp", addr); err == nil {
				t.Fatal("a dead host listens")
			}
			if _, err := c.net.Up("b").Listen("tcp", addr); err != nil {
				t.Fatal(err)
			}
		})
	}
}

// Who watches is told of a piece right before the first of it is read and right after the last, once each, and what is done in between is in time.
func TestWatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := connect(t, Delays{Min: time.Millisecond})
		var told []string
		c.net.Watch(func(p Piece, before bool) {
			told = append(told, fmt.Sprintf("%s from %s to %s, asked=%t before=%t", p.Data, p.From, p.To, p.Asked, before))
			if string(p.Data) == "lost" {
				c.net.Reset(p.Conn)
			}
		})
		buf := make([]byte, 3)
		for _, piece := range []string{"hello", "lost"} {
			c.near.Write([]byte(piece))
		}
		for _, want := range []string{"hel", "lo"} {
			if n, err := c.far.Read(buf); string(buf[:n]) != want || err != nil {
				t.Fatalf("%q, %v", buf[:n], err)
			}
		}
		c.far.Write([]byte("back"))
		for range 2 {
			c.near.Read(buf)
		}
		if n, err := c.far.Read(buf); n != 0 || !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("%d bytes of a piece that was lost, %v", n, err)
		}
		if _, err := c.near.Write([]byte("more")); !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("the other side was not told: %v", err)
		}
		want := []string{
			"hello from a to b, asked=true before=true", "hello from a to b, asked=true before=false",
			"back from b to a, asked=false before=true", "back from b to a, asked=false before=false",
			"lost from a to b, asked=true before=true",
		}
		if !slices.Equal(told, want) {
			t.Errorf("told %q", told)
		}
	})
}
