package node

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"log/slog"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"sluice/base/config"
	"sluice/cluster/meta"
)

// authority signs certificates.
type authority struct {
	t    *testing.T
	dir  string
	key  *ecdsa.PrivateKey
	cert *x509.Certificate
}

func newAuthority(t *testing.T, name string) *authority {
	t.Helper()
	a := &authority{t: t, dir: t.TempDir()}
	var der []byte
	der, a.key = a.sign(&x509.Certificate{Subject: pkix.Name{CommonName: name}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign})
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	a.cert = cert
	a.write("ca.pem", pem.Block{Type: "CERTIFICATE", Bytes: der})
	return a
}

func (a *authority) sign(template *x509.Certificate) ([]byte, *ecdsa.PrivateKey) {
	a.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.t.Fatal(err)
	}
	template.SerialNumber, template.NotAfter = big.NewInt(time.Now().UnixNano()), time.Now().Add(time.Hour)
	parent, signer := a.cert, a.key
	if parent == nil {
		parent, signer = template, key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), signer)
	if err != nil {
		a.t.Fatal(err)
	}
	return der, key
}

// issue writes a certificate and its key for hosts, and returns the file.
func (a *authority) issue(file string, hosts ...string) string {
	a.t.Helper()
	template := &x509.Certificate{Subject: pkix.Name{CommonName: file}}
	for _, h := range hosts {
		if ip := net.ParseIP(h); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else {
			template.DNSNames = append(template.DNSNames, h)
		}
	}
	der, key := a.sign(template)
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		a.t.Fatal(err)
	}
	return a.write(file, pem.Block{Type: "CERTIFICATE", Bytes: der}, pem.Block{Type: "PRIVATE KEY", Bytes: private})
}

func (a *authority) write(file string, blocks ...pem.Block) string {
	a.t.Helper()
	var text []byte
	for _, b := range blocks {
		text = append(text, pem.EncodeToMemory(&b)...)
	}
	file = filepath.Join(a.dir, file)
	if err := os.WriteFile(file, text, 0o600); err != nil {
		a.t.Fatal(err)
	}
	return file
}

func (a *authority) settings(own string) []string {
	return []string{"security.inter.broker.protocol=SSL", "ssl.keystore.location=" + own, "ssl.truststore.location=" + filepath.Join(a.dir, "ca.pem")}
}

// lines is a log that can be looked through.
type lines struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lines) await(t *testing.T, parts ...string) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		l.mu.Lock()
		text := l.b.String()
		l.mu.Unlock()
		for line := range strings.Lines(text) {
			found := true
			for _, p := range parts {
				found = found && strings.Contains(line, p)
			}
			if found {
				return
			}
		}
		if time.Now().After(deadline) {
			t.Fatalf("no line with %q in\n%s", parts, text)
		}
	}
}

// TestBrokersSpeakTLS: three brokers over TLS make a cluster, and go on with new certificates; who has another certificate, one for another host, or none is
// refused, and the log says why.
func TestBrokersSpeakTLS(t *testing.T) {
	t.Parallel()
	ca := newAuthority(t, "brokers")
	own := ca.issue("broker.pem", "127.0.0.1", "localhost")
	c := newCluster(t, append(clusterSettings(t, "s3"), ca.settings(own)...)...)
	a := c.start()
	b, d := c.another(), c.another()
	for _, n := range []*Node{a, b, d} {
		until(t, n, "three nodes", func(img *meta.Image) bool { return liveNodes(img) == 3 })
	}
	c.createTopic("safe", 3)
	c.produce(c.at(b), "safe", 0, 90)
	c.wantEach(c.consume(c.at(d, reader("safe")...), 90), 0, 90)

	// Whoever is not known by a certificate is refused.
	stranger := newAuthority(t, "strangers")
	for _, files := range []string{stranger.issue("stranger.pem", "127.0.0.1"), ""} {
		conf := &tls.Config{InsecureSkipVerify: true}
		if files != "" {
			pair, err := tls.LoadX509KeyPair(files, files)
			if err != nil {
				t.Fatal(err)
			}
			conf.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &pair, nil }
		}
		nc, err := tls.Dial("tcp", a.peerLn.Addr().String(), conf)
		if err == nil {
			_, err = nc.Read(make([]byte, 1))
			nc.Close()
		}
		if err == nil || err == io.EOF {
			t.Errorf("a connection with the certificate %q was not refused: %v", files, err)
		}
	}

	// New files are used by new connections.
	ca.issue("broker.pem", "127.0.0.1", "localhost", "renewed.example")
	e := c.another()
	until(t, e, "four nodes", func(img *meta.Image) bool { return liveNodes(img) == 4 })
}

func liveNodes(img *meta.Image) (live int) {
	for o := range img.Nodes() {
		if !o.Fenced {
			live++
		}
	}
	return live
}

// TestWrongCertificatesOfBrokersAreLogged: both sides say what was wrong.
func TestWrongCertificatesOfBrokersAreLogged(t *testing.T) {
	ca, other := newAuthority(t, "brokers"), newAuthority(t, "others")
	log := new(lines)
	for _, wrong := range []struct{ own, said string }{
		{other.issue("stranger.pem", "127.0.0.1"), "unknown authority"},
		{"", "first record does not look like a TLS handshake"},
	} {
		c := newCluster(t, append(clusterSettings(t, "s3"), ca.settings(ca.issue("broker.pem", "127.0.0.1"))...)...)
		c.log = log
		c.start()
		set := []string{"security.inter.broker.protocol=PLAINTEXT"}
		if wrong.own != "" {
			set = ca.settings(wrong.own)
		}
		for _, kv := range set {
			name, text, _ := strings.Cut(kv, "=")
			c.set = append(c.set, config.Value{Name: name, Text: text, From: "test"})
		}
		c.set = append(c.set, config.Value{Name: "data", Text: t.TempDir(), From: "test"})
		cfg, err := config.Resolve(c.set)
		if err != nil {
			t.Fatal(err)
		}
		started := make(chan struct{})
		ctx, cancel := context.WithCancel(t.Context())
		go func() {
			defer close(started)
			n, err := Start(ctx, Options{Config: cfg, Store: c.store, Hostname: "localhost", Logger: slog.New(slog.NewTextHandler(log, nil))})
			if err == nil {
				n.Shutdown(ctx)
			}
		}()
		log.await(t, "no handshake on the listener for other brokers", "TLS", wrong.said)
		cancel()
		<-started
	}
}
