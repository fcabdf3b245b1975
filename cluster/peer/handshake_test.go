package peer

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"strings"
	"testing"
	"time"

	"sluice/base"
)

func TestRefusals(t *testing.T) {
	versions := func(oldest, newest uint16) limits { return limits{versionMin: oldest, versionMax: newest} }
	other := [32]byte{9, 9, 9}
	for _, tc := range []struct {
		name   string
		server ServerOptions
		client ClientOptions
		text   string // of the client's error
	}{
		{"the client has another secret", ServerOptions{}, ClientOptions{Secret: other}, "does not know the secret"},
		{"the server has another secret", ServerOptions{Secret: other}, ClientOptions{}, "does not know the secret"},
		{"the client is of another cluster", ServerOptions{}, ClientOptions{Cluster: base.UUID{9}}, testCluster.String()},
		{"the client is too old", ServerOptions{limits: versions(2, 3)}, ClientOptions{}, "versions 2 to 3, not 1 to 1"},
		{"the server is too old", ServerOptions{}, ClientOptions{limits: versions(2, 3)}, "versions 1 to 1, not 2 to 3"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, addr := serve(t, tc.server)
			c := client(t, tc.client)
			for range 2 { // the second is answered from memory, with the same reason
				_, err := c.Call(testContext(t), addr, echo, nil)
				wantKind(t, err, base.Unavailable)
				if !errors.Is(err, ErrRefused) || !strings.Contains(err.Error(), tc.text) {
					t.Errorf("got %v, want it refused with %q", err, tc.text)
				}
			}
		})
	}
}

func TestVersionsThatOverlap(t *testing.T) {
	_, addr := serve(t, ServerOptions{limits: limits{versionMin: 1, versionMax: 3}})
	c := client(t, ClientOptions{limits: limits{versionMin: 2, versionMax: 5}})
	if _, err := c.Call(testContext(t), addr, echo, nil); err != nil {
		t.Fatal(err)
	}
}

// impostor answers one connection as a server that does not know the secret would.
func impostor(t *testing.T, reply func(clientHello []byte) []byte) (addr string, got <-chan []byte) {
	t.Helper()
	ln := listen(t)
	rest := make(chan []byte, 1)
	go func() {
		nc, err := ln.Accept()
		ln.Close()
		if err != nil {
			rest <- nil
			return
		}
		defer nc.Close()
		nc.SetDeadline(time.Now().Add(patience))
		var b [helloBytes]byte
		io.ReadFull(nc, b[:])
		nc.Write(reply(b[:]))
		all, _ := io.ReadAll(nc)
		rest <- all
	}()
	return ln.Addr().String(), rest
}

// TestAClientTellsStrangersNothing: whatever a server without the secret says, it gets no call and no proof.
func TestAClientTellsStrangersNothing(t *testing.T) {
	own := func(nonce byte) hello {
		h := newHello(testCluster, version, version, maxFrameDefault)
		h.nonce = [nonceBytes]byte{nonce}
		return h
	}
	for name, reply := range map[string]func([]byte) []byte{
		"no proof":             func([]byte) []byte { return append(own(1).append([]byte{0}), make([]byte, proofBytes)...) },
		"the client's words":   func(b []byte) []byte { return append(append([]byte{0}, b...), make([]byte, proofBytes)...) },
		"another role's proof": func(b []byte) []byte { return foreignProof(t, b, own(1), "client") },
		"an old proof":         func(b []byte) []byte { b[24] ^= 1; return foreignProof(t, b, own(1), "server") },
		"a web server": func([]byte) []byte {
			return append([]byte("HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n"), make([]byte, 100)...)
		},
	} {
		t.Run(name, func(t *testing.T) {
			addr, got := impostor(t, reply)
			c := client(t, ClientOptions{})
			_, err := c.Call(testContext(t), addr, echo, []byte("precious"))
			wantKind(t, err, base.Unavailable)
			if !errors.Is(err, ErrRefused) {
				t.Error(err)
			}
			said := <-got
			if len(said) > 0 && (len(said) != 1+proofBytes || verdict(said[0]) == welcome || strings.Trim(string(said[1:]), "\x00") != "") {
				t.Errorf("the client said %q", said)
			}
		})
	}
}

// foreignProof is a server's welcome with a proof by the right secret that was made for something else.
func foreignProof(t *testing.T, clientHello []byte, own hello, role string) []byte {
	other, err := parseHello(clientHello)
	if err != nil {
		t.Error(err)
	}
	return append(own.append([]byte{0}), proof(testSecret, role, other, own)...)
}

// TestAServerRunsNothingForStrangers: a client that says welcome to itself and calls, in every way without the secret.
func TestAServerRunsNothingForStrangers(t *testing.T) {
	ran := make(chan struct{}, 10)
	_, addr := serve(t, ServerOptions{Handlers: handlers(ran, nil)})
	call := encode(frameCall, uint8(block), 1, nil)
	for name, answer := range map[string]func(own, server hello, serverProof []byte) []byte{
		"no proof":           func(hello, hello, []byte) []byte { return make([]byte, 1+proofBytes) },
		"the server's proof": func(_, _ hello, p []byte) []byte { return append([]byte{0}, p...) },
		"another secret":     func(own, s hello, _ []byte) []byte { return append([]byte{0}, proof([32]byte{1}, "client", own, s)...) },
		"an old proof": func(own, s hello, _ []byte) []byte {
			s.nonce[0] ^= 1
			return append([]byte{0}, proof(testSecret, "client", own, s)...)
		},
		"a proof, but no will": func(own, s hello, _ []byte) []byte { return append([]byte{3}, proof(testSecret, "client", own, s)...) },
		"no proof at all":      func(hello, hello, []byte) []byte { return nil },
	} {
		t.Run(name, func(t *testing.T) {
			nc, err := net.Dial("tcp", addr)
			if err != nil {
				t.Fatal(err)
			}
			defer nc.Close()
			nc.SetDeadline(time.Now().Add(patience))
			own := newHello(testCluster, version, version, maxFrameDefault)
			nc.Write(own.append(nil))
			var b [1 + helloBytes + proofBytes]byte
			if _, err := io.ReadFull(nc, b[:]); err != nil || verdict(b[0]) != welcome {
				t.Fatalf("verdict %d, %v", b[0], err)
			}
			server, err := parseHello(b[1 : 1+helloBytes])
			if err != nil {
				t.Fatal(err)
			}
			nc.Write(append(answer(own, server, b[1+helloBytes:]), call...))
			nc.(*net.TCPConn).CloseWrite()
			if rest, _ := io.ReadAll(nc); len(rest) > 1 || len(rest) == 1 && verdict(rest[0]) == welcome {
				t.Errorf("the server said %q", rest)
			}
		})
	}
	if len(ran) != 0 {
		t.Errorf("%d handlers ran", len(ran))
	}
}

func TestTheSecretIsNotLogged(t *testing.T) {
	var log lockedBuffer
	logger := slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	secret := [32]byte([]byte("correct horse battery staple 123"))
	_, addr := serve(t, ServerOptions{Secret: secret, Logger: logger})
	for _, s := range [][32]byte{secret, {1}} {
		c := client(t, ClientOptions{Secret: s, Logger: logger})
		c.Call(testContext(t), addr, echo, nil)
		c.Close()
	}
	text := log.String()
	if !strings.Contains(text, "connected to another broker") || !strings.Contains(text, "cannot connect") {
		t.Errorf("not the log that was expected:\n%s", text)
	}
	if strings.Contains(text, "horse") || strings.Contains(text, "636f7272") || strings.Contains(text, "99 111 114") {
		t.Errorf("the secret is in the log:\n%s", text)
	}
}

func TestTooManyConnections(t *testing.T) {
	_, addr := serve(t, ServerOptions{limits: limits{connections: 2}})
	for i := range 3 {
		c := client(t, ClientOptions{})
		_, err := c.Call(testContext(t), addr, echo, nil)
		if i < 2 && err != nil {
			t.Fatal(err)
		}
		if i == 2 && (!errors.Is(err, ErrRefused) || !base.IsKind(err, base.Unavailable)) {
			t.Errorf("one too many: %v", err)
		}
	}
}

// TestStrangersDoNotFillTheServer: handshakes that go nowhere are bounded in number, and the room comes back.
func TestStrangersDoNotFillTheServer(t *testing.T) {
	s, addr := serve(t, ServerOptions{limits: limits{handshakes: 1, handshake: time.Hour}})
	stranger, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer stranger.Close()
	c := client(t, ClientOptions{limits: limits{backoffMin: time.Nanosecond, backoffMax: time.Nanosecond}})
	_, err = c.Call(testContext(t), addr, echo, nil) // accepted after the stranger, whose handshake is still open
	wantKind(t, err, base.Unavailable)
	stranger.Close()
	ctx := testContext(t)
	for ctx.Err() == nil {
		if _, err = c.Call(ctx, addr, echo, nil); err == nil {
			break
		}
	}
	if err != nil {
		t.Fatalf("the stranger is gone, and still %v", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.mu.handshaking != 0 {
		t.Errorf("%d handshakes under way", s.mu.handshaking)
	}
}

func TestCloseEndsHandshakes(t *testing.T) {
	forever := limits{handshake: 24 * time.Hour}
	ln := listen(t)
	accepted := make(chan net.Conn, 1)
	go func() {
		nc, _ := ln.Accept()
		accepted <- nc
	}()
	c := client(t, ClientOptions{limits: forever})
	result := make(chan error, 1)
	go func() {
		_, err := c.Call(context.Background(), ln.Addr().String(), echo, nil)
		result <- err
	}()
	nc := <-accepted
	defer nc.Close()
	defer ln.Close()
	c.Close()
	wantKind(t, <-result, base.Closed)

	s, addr := serve(t, ServerOptions{limits: forever})
	stranger, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer stranger.Close()
	s.Close()
}
