package kafka

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"errors"
	"io"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
)

// certificate makes a certificate that signs itself.
func certificate(t *testing.T) (tls.Certificate, *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), DNSNames: []string{"broker"}}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(cert)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, pool
}

func TestTLS(t *testing.T) {
	cert, pool := certificate(t)
	echo := handlerFunc(func(r *Request) {
		if r.TLS() == nil {
			t.Error("the handler does not see TLS")
		}
		r.Reply(Reply{Segments: [][]byte{r.Body}})
	})
	f := start(t, Options{Handler: echo, Listeners: map[string]Listener{"plain": {TLS: &tls.Config{Certificates: []tls.Certificate{cert}}}}})
	nc := tls.Client(f.dial(), &tls.Config{RootCAs: pool, ServerName: "broker"})
	large := bytes.Repeat([]byte("x"), 3<<20)
	for id, body := range [][]byte{[]byte("small"), large} {
		send(t, nc, frame(3, int32(id), body))
		if got, answer := receive(t, nc); int(got) != id || !bytes.Equal(answer, body) {
			t.Fatalf("request %d: answer %d of %d bytes", id, got, len(answer))
		}
	}
	for range 3 {
		plain := f.dial()
		send(t, plain, frame(18, 1, []byte("hello")))
		if rest, err := io.ReadAll(plain); errors.Is(err, io.ErrUnexpectedEOF) || bytes.Contains(rest, []byte("hello")) {
			t.Errorf("a plain client got %q, %v", rest, err)
		}
	}
	if n := strings.Count(f.log.String(), "does not speak TLS"); n != 1 {
		t.Errorf("three plain clients were logged %d times", n)
	}
}

func TestBeforeALogin(t *testing.T) {
	h := make(handed, 10)
	f := start(t, Options{Handler: h, LoginTimeout: 300 * time.Millisecond, Listeners: map[string]Listener{"plain": {Login: true}}})
	nc := f.dial()
	send(t, nc, binary.BigEndian.AppendUint32(nil, 600<<10))
	if rest, err := io.ReadAll(nc); len(rest) != 0 && err == nil {
		t.Errorf("a large frame was answered with %q", rest)
	}
	if rest, err := io.ReadAll(f.dial()); len(rest) != 0 || err != nil {
		t.Errorf("a client that does not log in got %q, %v", rest, err)
	}
	if !strings.Contains(f.log.String(), "no login within") {
		t.Error("it is not said why")
	}
}

func TestTokensAndRefusals(t *testing.T) {
	f := start(t, Options{Listeners: map[string]Listener{"plain": {Login: true}}, Handler: handlerFunc(func(r *Request) {
		switch {
		case r.Key == TokenKey && string(r.Body) == "good":
			r.ExpectTokens(false)
			r.Admit()
			r.Reply(reply("welcome"))
		case r.Key == TokenKey:
			r.Reply(reply("more"))
		case r.Key == 17:
			r.ExpectTokens(true)
			r.Reply(reply("tokens"))
		default:
			answer := reply("no")
			r.RefuseLogin(&answer, time.Millisecond, "a test")
		}
	})})
	nc := f.dial()
	token := func(text string) []byte {
		return append(binary.BigEndian.AppendUint32(nil, uint32(len(text))), text...)
	}
	send(t, nc, frame(17, 7, nil), token("bad"), token("good"), frame(3, 8, nil), frame(17, 9, nil))
	if id, body := receive(t, nc); id != 7 || string(body) != "tokens" {
		t.Fatalf("got %d %q", id, body)
	}
	want := append(token("more"), token("welcome")...)
	got := make([]byte, len(want))
	if _, err := io.ReadFull(nc, got); err != nil || !bytes.Equal(got, want) {
		t.Fatalf("got %q, %v; want %q", got, err, want)
	}
	if id, body := receive(t, nc); id != 8 || string(body) != "no" {
		t.Fatalf("got %d %q", id, body)
	}
	var one [1]byte
	if n, err := nc.Read(one[:]); n != 0 || err == nil {
		t.Error("a request behind a refused login was answered")
	}
	if in, out := testutil.ToFloat64(f.srv.metrics.admitted), testutil.ToFloat64(f.srv.metrics.refused); in != 1 || out != 1 {
		t.Errorf("counted %v logins, %v refused", in, out)
	}
}
