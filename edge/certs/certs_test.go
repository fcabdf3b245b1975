package certs

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"sluice/base"
)

// identity is a certificate that signs itself, as PEM.
type identity struct{ key, cert []byte }

func newIdentity(t *testing.T, name string) identity {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, NotAfter: time.Now().Add(time.Hour), DNSNames: []string{name},
		IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return identity{pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})}
}

func (id identity) pair(t *testing.T) tls.Certificate {
	t.Helper()
	pair, err := tls.X509KeyPair(id.cert, id.key)
	if err != nil {
		t.Fatal(err)
	}
	return pair
}

func write(t *testing.T, dir, name string, content []byte, modified time.Time) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chtimes(path, modified, modified); err != nil {
		t.Fatal(err)
	}
	return path
}

// shown returns the name in the certificate that a handshake shows, and the server's error. The client shows its own if it has one.
func shown(t *testing.T, f *Files, own ...tls.Certificate) (name string, refused error) {
	t.Helper()
	a, b := net.Pipe()
	defer a.Close()
	server := tls.Server(b, f.Config())
	done := make(chan error, 1)
	go func() {
		done <- server.Handshake()
		b.Close()
	}()
	config := &tls.Config{InsecureSkipVerify: true, MaxVersion: tls.VersionTLS12}
	if len(own) > 0 { // whoever the server believes in
		config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &own[0], nil }
	}
	client := tls.Client(a, config)
	err := client.Handshake()
	refused = <-done
	if err != nil && refused == nil {
		t.Fatal(err)
	}
	if certs := client.ConnectionState().PeerCertificates; len(certs) > 0 {
		name = certs[0].Subject.CommonName
	}
	return name, refused
}

func TestNewFilesAreUsed(t *testing.T) {
	dir, now := t.TempDir(), time.Now()
	one, two := newIdentity(t, "one"), newIdentity(t, "two")
	key, cert := write(t, dir, "key", one.key, now), write(t, dir, "cert", one.cert, now)
	f, err := Load(Options{Own: []string{key, cert}, Now: func() time.Time { return now }})
	if err != nil {
		t.Fatal(err)
	}
	expect := func(want, why string) {
		t.Helper()
		if got, err := shown(t, f); got != want || err != nil {
			t.Fatalf("%s: %q, %v", why, got, err)
		}
	}
	expect("one", "at the start")
	now = now.Add(time.Minute)
	write(t, dir, "key", two.key, now)
	expect("one", "the key is there and its certificate is not")
	write(t, dir, "cert", two.cert, now)
	expect("one", "the files were looked at a moment ago")
	now = now.Add(lookEvery)
	expect("two", "both are there")
	now = now.Add(time.Minute)
	if err := os.Remove(cert); err != nil {
		t.Fatal(err)
	}
	expect("two", "a file is gone")
}

func TestCertificatesOfClients(t *testing.T) {
	dir, now := t.TempDir(), time.Now()
	broker, alice, mallory := newIdentity(t, "broker"), newIdentity(t, "alice"), newIdentity(t, "mallory")
	opt := Options{Own: []string{write(t, dir, "key", broker.key, now), write(t, dir, "cert", broker.cert, now)},
		Trusted: []string{write(t, dir, "trusted", alice.cert, now)}, Clients: Required}
	f, err := Load(opt)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := shown(t, f, alice.pair(t)); err != nil {
		t.Fatal(err)
	}
	if _, err := shown(t, f, mallory.pair(t)); err == nil {
		t.Fatal("a certificate that nobody trusts is good enough")
	}
	if _, err := shown(t, f); err == nil {
		t.Fatal("no certificate is needed")
	}
	opt.Clients = Requested
	if f, err = Load(opt); err != nil {
		t.Fatal(err)
	}
	if _, err := shown(t, f); err != nil {
		t.Fatal(err)
	}
	if _, err := shown(t, f, mallory.pair(t)); err == nil {
		t.Fatal("a certificate that nobody trusts is good enough")
	}
}

func TestUselessFiles(t *testing.T) {
	dir, now := t.TempDir(), time.Now()
	one, two := newIdentity(t, "one"), newIdentity(t, "two")
	key, cert := write(t, dir, "key", one.key, now), write(t, dir, "cert", one.cert, now)
	for name, opt := range map[string]Options{
		"missing": {Own: []string{key, filepath.Join(dir, "missing")}},
		"other":   {Own: []string{key, write(t, dir, "other", two.cert, now)}},
		"empty":   {Own: []string{key, cert}, Clients: Required, Trusted: []string{write(t, dir, "empty", nil, now)}},
	} {
		if _, err := Load(opt); !base.IsKind(err, base.Invalid) || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
