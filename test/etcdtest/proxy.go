//go:build unix

package etcdtest

import (
	"bytes"
	"io"
	"log"
	"math/rand/v2"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
)

// Proxy stands between a store and an etcd server and loses answers of what the server has done.
type Proxy struct {
	Client string // HOST:PORT

	target string
	client *http.Client
	lost   atomic.Int64
	mu     sync.Mutex
	share  float64
	rng    *rand.Rand
}

// StartProxy starts a proxy in front of a server. It ends with the test.
func StartProxy(t testing.TB, s *Server, seed uint64) *Proxy {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &Proxy{Client: l.Addr().String(), target: "http://" + s.Client, rng: rand.New(rand.NewPCG(seed, 3))}
	p.client = &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	server := &http.Server{Handler: p, ErrorLog: log.New(io.Discard, "", 0)}
	go func() { _ = server.Serve(l) }() // ends with Close
	t.Cleanup(func() { _ = server.Close() })
	return p
}

// LoseAnswers makes a share (0 to 1) of the transactions that etcd did be answered with a broken connection, status 503 or
// "etcdserver: request timed out".
func (p *Proxy) LoseAnswers(share float64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.share = share
}

// Lost counts the answers that were lost.
func (p *Proxy) Lost() int64 { return p.lost.Load() }

// fate draws what happens to an answer: 0 delivered, else one of the ways to lose it.
func (p *Proxy) fate() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.rng.Float64() >= p.share {
		return 0
	}
	return 1 + p.rng.IntN(3)
}

// ServeHTTP implements http.Handler.
func (p *Proxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	req, err := http.NewRequestWithContext(r.Context(), r.Method, p.target+r.URL.Path, bytes.NewReader(body))
	if err != nil {
		w.WriteHeader(http.StatusBadGateway)
		return
	}
	req.Header = r.Header
	resp, err := p.client.Do(req)
	if err != nil {
		w.WriteHeader(http.StatusBadGateway)
		return
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		w.WriteHeader(http.StatusBadGateway)
		return
	}
	fate := 0
	if bytes.Contains(body, []byte("request_put")) && resp.StatusCode == http.StatusOK {
		if fate = p.fate(); fate > 0 {
			p.lost.Add(1)
		}
	}
	switch fate {
	case 0:
		w.WriteHeader(resp.StatusCode)
		_, _ = w.Write(text)
	case 1:
		if c, _, err := http.NewResponseController(w).Hijack(); err == nil {
			_ = c.Close()
		}
	case 2:
		w.WriteHeader(http.StatusServiceUnavailable)
	case 3:
		w.WriteHeader(http.StatusServiceUnavailable)
		_, _ = w.Write([]byte(`{"error":"etcdserver: request timed out","message":"etcdserver: request timed out","code":14}`))
	}
}
