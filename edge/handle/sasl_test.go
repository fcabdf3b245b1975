package handle

import (
	"context"
	"encoding/binary"
	"io"
	"net"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"sluice/base/config"
	"sluice/edge/kafka"
	"sluice/edge/sasl"
	"sluice/wire/kbin"
	"sluice/wire/kerr"
	"sluice/wire/msg"
)

// loginServer serves a listener of clients that log in, and returns its address.
func loginServer(t *testing.T, maxReauth time.Duration, now func() time.Time) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "users")
	if err := os.WriteFile(file, []byte("alice = secret\nbob = secret\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	users, err := sasl.LoadUsers(file, nil)
	if err != nil {
		t.Fatal(err)
	}
	h := New(Options{Security: &Security{
		Listeners: map[string]config.Listener{"L": {Name: "L", Protocol: config.SASLPlaintext}}, MaxReauth: maxReauth, Now: now,
		SASL: sasl.New(sasl.Options{Mechanisms: []string{config.Plain, config.ScramSHA256}, Users: users}),
	}})
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	srv := kafka.New(kafka.Options{Handler: h, Listeners: map[string]kafka.Listener{"L": {Login: true}}})
	served := make(chan error, 1)
	go func() { served <- srv.Serve("L", ln) }()
	t.Cleanup(func() {
		srv.Shutdown(context.Background())
		<-served
	})
	return ln.Addr().String()
}

// loginClient speaks to it.
type loginClient struct {
	t  *testing.T
	nc net.Conn
}

func dialLogin(t *testing.T, address string) loginClient {
	t.Helper()
	nc, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { nc.Close() })
	nc.SetDeadline(time.Now().Add(10 * time.Second))
	return loginClient{t, nc}
}

// ask sends a request and reads the answer into resp; false if the connection was closed instead.
func (c loginClient) ask(req, resp msg.Message, version int16) bool {
	b := binary.BigEndian.AppendUint16(nil, uint16(req.APIKey()))
	b = binary.BigEndian.AppendUint16(b, uint16(version))
	b = append(b, 0, 0, 0, 1, 0xff, 0xff) // correlation id, no client id
	answer, ok := c.exchange(req.Append(b, version))
	if !ok {
		return false
	}
	r := kbin.NewReader(answer[4:])
	resp.Decode(&r, version)
	if err := r.Err(); err != nil {
		c.t.Fatal(err)
	}
	return true
}

func (c loginClient) exchange(b []byte) ([]byte, bool) {
	if _, err := c.nc.Write(append(binary.BigEndian.AppendUint32(nil, uint32(len(b))), b...)); err != nil {
		return nil, false
	}
	var size [4]byte
	if _, err := io.ReadFull(c.nc, size[:]); err != nil {
		return nil, false
	}
	answer := make([]byte, binary.BigEndian.Uint32(size[:]))
	if _, err := io.ReadFull(c.nc, answer); err != nil {
		return nil, false
	}
	return answer, true
}

// plain logs in by PLAIN, version 1 of both requests.
func (c loginClient) plain(user, password string) (resp msg.SaslAuthenticateResponse, ok bool) {
	var shake msg.SaslHandshakeResponse
	if !c.ask(&msg.SaslHandshakeRequest{Mechanism: config.Plain}, &shake, 1) || shake.ErrorCode != 0 {
		return resp, false
	}
	ok = c.ask(&msg.SaslAuthenticateRequest{AuthBytes: []byte("\x00" + user + "\x00" + password)}, &resp, 1)
	return resp, ok
}

func TestBeforeALoginOnlyLoginsAreServed(t *testing.T) {
	address := loginServer(t, 0, nil)
	if dialLogin(t, address).ask(&msg.HeartbeatRequest{GroupId: "g"}, &msg.HeartbeatResponse{}, 0) {
		t.Error("Heartbeat was answered before a login")
	}
	if dialLogin(t, address).ask(&msg.SaslAuthenticateRequest{AuthBytes: []byte("\x00alice\x00secret")}, &msg.SaslAuthenticateResponse{}, 1) {
		t.Error("SaslAuthenticate was answered before a handshake")
	}
	var versions msg.ApiVersionsResponse
	if !dialLogin(t, address).ask(&msg.ApiVersionsRequest{}, &versions, 0) || len(versions.ApiKeys) == 0 {
		t.Error("ApiVersions was not answered")
	}
	var shake msg.SaslHandshakeResponse
	c := dialLogin(t, address)
	if !c.ask(&msg.SaslHandshakeRequest{Mechanism: "GSSAPI"}, &shake, 1) || kerr.Code(shake.ErrorCode) != kerr.UnsupportedSASLMechanism || len(shake.Mechanisms) != 2 {
		t.Errorf("an unknown mechanism: %+v", shake)
	}
}

func TestAFailedLoginIsAnsweredAndThenClosed(t *testing.T) {
	c := dialLogin(t, loginServer(t, 0, nil))
	resp, ok := c.plain("alice", "wrong")
	if !ok || kerr.Code(resp.ErrorCode) != kerr.SASLAuthenticationFailed || resp.ErrorMessage == nil || *resp.ErrorMessage == "" {
		t.Fatalf("got %+v, %v", resp, ok)
	}
	if c.ask(&msg.ApiVersionsRequest{}, &msg.ApiVersionsResponse{}, 0) {
		t.Error("the connection lives on")
	}
}

// Once a mechanism is chosen, only SaslAuthenticate may follow, as in Kafka: what a client learns before it logs in must not be what it goes by after that.
func TestAmidALoginNothingElseIsServed(t *testing.T) {
	address := loginServer(t, 0, nil)
	begin := func() loginClient {
		c := dialLogin(t, address)
		var shake msg.SaslHandshakeResponse
		if !c.ask(&msg.SaslHandshakeRequest{Mechanism: config.Plain}, &shake, 1) || shake.ErrorCode != 0 {
			t.Fatalf("handshake: %+v", shake)
		}
		return c
	}
	c := begin()
	var versions msg.ApiVersionsResponse
	if !c.ask(&msg.ApiVersionsRequest{}, &versions, 0) || kerr.Code(versions.ErrorCode) != kerr.IllegalSASLState || len(versions.ApiKeys) != 0 {
		t.Errorf("ApiVersions: %+v", versions)
	}
	if c.ask(&msg.ApiVersionsRequest{}, &versions, 0) {
		t.Error("the connection lives on")
	}
	c = begin()
	var shake msg.SaslHandshakeResponse
	if !c.ask(&msg.SaslHandshakeRequest{Mechanism: config.Plain}, &shake, 1) || kerr.Code(shake.ErrorCode) != kerr.IllegalSASLState {
		t.Errorf("a second handshake: %+v", shake)
	}
	if c.ask(&msg.ApiVersionsRequest{}, &versions, 0) {
		t.Error("the connection lives on")
	}
}

func TestBareTokens(t *testing.T) {
	c := dialLogin(t, loginServer(t, 0, nil))
	var shake msg.SaslHandshakeResponse
	if !c.ask(&msg.SaslHandshakeRequest{Mechanism: config.Plain}, &shake, 0) || shake.ErrorCode != 0 {
		t.Fatalf("handshake: %+v", shake)
	}
	if out, ok := c.exchange([]byte("\x00alice\x00secret")); !ok || len(out) != 0 {
		t.Fatalf("token: %q, %v", out, ok)
	}
	if !c.ask(&msg.SaslHandshakeRequest{Mechanism: config.Plain}, &shake, 1) || kerr.Code(shake.ErrorCode) != kerr.IllegalSASLState {
		t.Errorf("a second login where none ends: %+v", shake)
	}
}

func TestLoginsEnd(t *testing.T) {
	var at atomic.Int64 // seconds
	at.Store(1_000_000)
	c := dialLogin(t, loginServer(t, time.Minute, func() time.Time { return time.Unix(at.Load(), 0) }))
	resp, ok := c.plain("alice", "secret")
	if !ok || resp.ErrorCode != 0 || resp.SessionLifetimeMs != 60_000 {
		t.Fatalf("first login: %+v, %v", resp, ok)
	}
	at.Add(30)
	if resp, ok = c.plain("alice", "secret"); !ok || resp.ErrorCode != 0 || resp.SessionLifetimeMs != 60_000 {
		t.Fatalf("second login: %+v, %v", resp, ok)
	}
	other := dialLogin(t, c.nc.RemoteAddr().String())
	other.plain("alice", "secret")
	if resp, ok := other.plain("bob", "secret"); !ok || kerr.Code(resp.ErrorCode) != kerr.SASLAuthenticationFailed {
		t.Errorf("another user on the same connection: %+v, %v", resp, ok)
	}
	at.Add(120)
	if c.ask(&msg.HeartbeatRequest{GroupId: "g"}, &msg.HeartbeatResponse{}, 0) {
		t.Error("a request was answered after the login had ended")
	}
}
