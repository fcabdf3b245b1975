package peer

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"runtime"
	"strings"
	"testing"
	"time"

	"sluice/base"
)

func TestEveryKindHasANumber(t *testing.T) {
	for k := base.Kind(0); ; k++ {
		if strings.HasPrefix(k.String(), "kind(") {
			if int(k) != len(kinds) {
				t.Errorf("base has %d kinds, the wire %d", k, len(kinds))
			}
			return
		}
		code := kindCode(k)
		if err := failure(code, []byte("text")); base.KindOf(err) != k || err.Error() != "text" {
			t.Errorf("kind %v travels as %d and arrives as %v", k, code, base.KindOf(err))
		}
	}
}

// TestKindNumbers: brokers of different versions talk to each other, so these never change.
func TestKindNumbers(t *testing.T) {
	for code, want := range []base.Kind{0: base.Unknown, 4: base.Fenced, 5: base.Unavailable, 6: base.Undetermined, 11: base.OutOfRange} {
		if (want != base.Unknown || code == 0) && kinds[code] != want {
			t.Errorf("number %d is %v, was %v", code, kinds[code], want)
		}
	}
	if err := failure(200, []byte("from the future")); base.KindOf(err) != base.Unknown {
		t.Errorf("an unheard-of number: %v", base.KindOf(err))
	}
}

func TestFrameLayout(t *testing.T) {
	got := encode(frameCall, 7, 0x0102030405060708, []byte("body"))
	want := append([]byte{0, 0, 0, 4, 1, 7, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 0xab, 0xe4, 0xba, 0x75}, "body"...)
	if !bytes.Equal(got, want) {
		t.Errorf("got %x, want %x", got, want)
	}
}

func TestDamagedFramesAreCorrupt(t *testing.T) {
	good := encode(frameAnswer, 0, 5, []byte("an answer"))
	for bit := range len(good) * 8 {
		bad := bytes.Clone(good)
		bad[bit/8] ^= 1 << (bit % 8)
		_, _, err := readFrame(bytes.NewReader(bad), 1000)
		if !base.IsKind(err, base.Corrupt) && !errors.Is(err, io.ErrUnexpectedEOF) { // longer than what there is
			t.Errorf("bit %d: %v", bit, err)
		}
	}
	for n := range good {
		_, _, err := readFrame(bytes.NewReader(good[:n]), 1000)
		if n > 0 && !errors.Is(err, io.ErrUnexpectedEOF) || n == 0 && !errors.Is(err, io.EOF) {
			t.Errorf("%d bytes of it: %v", n, err)
		}
	}
	if _, _, err := readFrame(bytes.NewReader(good), 8); !base.IsKind(err, base.Corrupt) {
		t.Errorf("longer than agreed: %v", err)
	}
}

// TestASizeAloneCostsNothing: a header that announces much makes nobody allocate it.
func TestASizeAloneCostsNothing(t *testing.T) {
	frame := encode(frameCall, 1, 1, nil)
	frame[0], frame[1] = 0x3f, 0xff // a gigabyte
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	_, _, err := readFrame(bytes.NewReader(frame), maxFrameLimit)
	runtime.ReadMemStats(&after)
	if !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Error(err)
	}
	if grown := after.TotalAlloc - before.TotalAlloc; grown > 4*growBytes {
		t.Errorf("%d bytes were allocated", grown)
	}
}

func FuzzFrame(f *testing.F) {
	f.Add(encode(frameCall, 3, 1, []byte("a question")))
	f.Add(encode(framePing, 0, 0, nil))
	f.Add(append(encode(frameFailure, 5, 2, []byte("no")), encode(frameCancel, 0, 9, nil)...))
	f.Add(append(newHello(testCluster, 1, 1, 10).append(nil), make([]byte, proofBytes)...))
	f.Fuzz(func(t *testing.T, b []byte) {
		const most = 4096
		r := bytes.NewReader(b)
		for {
			at := len(b) - r.Len()
			h, body, err := readFrame(r, most)
			if err != nil {
				break
			}
			if len(body) > most || len(body) != h.size {
				t.Fatalf("%+v with %d bytes", h, len(body))
			}
			again := encode(h.typ, h.code, h.call, body)
			if !bytes.Equal(again, b[at:len(b)-r.Len()]) {
				t.Fatalf("%x was read as %+v and is written as %x", b[at:len(b)-r.Len()], h, again)
			}
		}
		if h, err := parseHello(b[:min(len(b), helloBytes)]); err == nil && !bytes.Equal(h.append(nil), b[:helloBytes]) {
			t.Fatalf("%x was read as %+v", b[:helloBytes], h)
		}
	})
}

// frames makes each four bytes of a script a frame with a right checksum.
func frames(script []byte) []byte {
	var out []byte
	for ; len(script) >= 4; script = script[4:] {
		out = appendFrame(out, frameType(script[0]%8), script[1]%5, uint64(script[2]%4), bytes.Repeat(script[3:4], int(script[3])))
	}
	return append(out, script...)
}

// FuzzServer gives a server anything at all, before the handshake or after it, and then expects it to serve others and to close.
func FuzzServer(f *testing.F) {
	f.Add(true, []byte{byte(frameCall), byte(echo), 1, 100, byte(framePing), 0, 0, 0, byte(frameCall), byte(fail), 2, 3})
	f.Add(true, []byte{byte(frameCall), byte(block), 1, 0, byte(frameCancel), 0, 1, 0})
	f.Add(true, []byte{byte(frameCall), byte(block), 1, 0, byte(frameCall), byte(block), 1, 0})
	f.Add(true, []byte{byte(frameAnswer), 0, 1, 0})
	f.Add(false, newHello(testCluster, 1, 1, 100).append(nil))
	f.Add(false, []byte("GET / HTTP/1.1\r\n\r\n"))
	f.Fuzz(func(t *testing.T, member bool, b []byte) {
		var network pipeNet
		s := Serve(network.listen("a"), ServerOptions{Cluster: testCluster, Secret: testSecret, MaxFrame: 4096, Handlers: handlers(nil, nil)})
		defer s.Close()
		nc, err := network.dial(context.Background(), "a")
		if err != nil {
			t.Fatal(err)
		}
		defer nc.Close()
		if member {
			if _, err := greet(nc, newHello(testCluster, version, version, 4096), testSecret, patience); err != nil {
				t.Fatal(err)
			}
			b = frames(b)
		}
		go io.Copy(io.Discard, nc)
		nc.SetWriteDeadline(time.Now().Add(patience))
		if _, err := nc.Write(b); err != nil {
			var timeout net.Error
			if errors.As(err, &timeout) && timeout.Timeout() {
				t.Fatal("the server neither reads nor closes")
			}
		}
		c := NewClient(ClientOptions{Cluster: testCluster, Secret: testSecret, Dial: network.dial})
		defer c.Close()
		if _, err := c.Call(context.Background(), "a", echo, []byte("x")); err != nil {
			t.Fatal(err)
		}
	})
}
