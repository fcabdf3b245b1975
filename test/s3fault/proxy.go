package s3fault

import (
	"log"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"sync"
	"sync/atomic"
	"testing"

	"math/rand/v2"
)

// Proxy is a running proxy. Its methods may be called while requests run.
type Proxy struct {
	URL string // http://127.0.0.1:PORT

	server *http.Server
	proxy  *httputil.ReverseProxy

	unavailable atomic.Bool
	loseMu      sync.Mutex
	loseShare   float64
	rand        *rand.Rand

	refused atomic.Int64
	lost    atomic.Int64

	trouble struct {
		mu    sync.Mutex
		now   Trouble
		hung  chan struct{} // closed when hanging is over; nil: nothing hangs
		fired map[string]int64
		rand  *rand.Rand
		late  int // puts that were cut and have not happened
	}
	closed chan struct{}

	gone gone
}

// Start starts a proxy in front of an S3 endpoint (http://HOST:PORT). It ends with the test.
func Start(t testing.TB, endpoint string, seed uint64) *Proxy {
	t.Helper()
	target, err := url.Parse(endpoint)
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &Proxy{URL: "http://" + l.Addr().String(), rand: rand.New(rand.NewPCG(seed, 1))}
	p.closed = make(chan struct{})
	p.trouble.fired, p.trouble.rand = map[string]int64{}, rand.New(rand.NewPCG(seed, 2))
	p.proxy = &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(target)
			r.Out.Host = r.In.Host // it is signed
		},
		Transport: &http.Transport{MaxIdleConnsPerHost: 64, DisableCompression: true},
		ErrorLog:  log.New(discard{}, "", 0), // requests that the client gives up on are no news
	}
	p.proxy.ModifyResponse = p.gone.answered
	p.server = &http.Server{Handler: p, ErrorLog: log.New(discard{}, "", 0)}
	go func() { _ = p.server.Serve(l) }() // ends with Close
	t.Cleanup(func() {
		close(p.closed)
		p.SetTrouble(Trouble{})
		_ = p.server.Close()
		p.AwaitLate()
	})
	return p
}

type discard struct{}

func (discard) Write(b []byte) (int, error) { return len(b), nil }

// SetUnavailable makes every request be answered 503 SlowDown, or ends that.
func (p *Proxy) SetUnavailable(on bool) { p.unavailable.Store(on) }

// LoseAnswers makes a share (0 to 1) of the puts that succeed be answered with a broken connection or a timeout.
func (p *Proxy) LoseAnswers(share float64) {
	p.loseMu.Lock()
	defer p.loseMu.Unlock()
	p.loseShare = share
}

// Refused and Lost count the faults that fired.
func (p *Proxy) Refused() int64 { return p.refused.Load() }

// Lost counts the answers that were lost.
func (p *Proxy) Lost() int64 { return p.lost.Load() }

// fate draws what happens to the answer of a put: 0 delivered, 1 connection cut, 2 gateway timeout.
func (p *Proxy) fate() int {
	p.loseMu.Lock()
	defer p.loseMu.Unlock()
	if p.rand.Float64() >= p.loseShare {
		return 0
	}
	return 1 + p.rand.IntN(2)
}

// ServeHTTP implements http.Handler.
func (p *Proxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if p.unavailable.Load() {
		p.refused.Add(1)
		refuse(w, http.StatusServiceUnavailable)
		return
	}
	if p.suffer(w, r) {
		return
	}
	fate := 0
	if r.Method == http.MethodPut {
		fate = p.fate()
	}
	if fate == 0 {
		p.proxy.ServeHTTP(w, r)
		return
	}
	swallowed := &swallow{header: http.Header{}}
	p.proxy.ServeHTTP(swallowed, r)
	if swallowed.code/100 != 2 { // it failed by itself: no fault
		for k, v := range swallowed.header {
			w.Header()[k] = v
		}
		w.WriteHeader(swallowed.code)
		return
	}
	p.lost.Add(1)
	if fate == 2 {
		w.WriteHeader(http.StatusGatewayTimeout)
		return
	}
	if c, _, err := http.NewResponseController(w).Hijack(); err == nil {
		_ = c.Close()
	}
}

// swallow takes an answer that nobody gets.
type swallow struct {
	header http.Header
	code   int
}

func (s *swallow) Header() http.Header { return s.header }
func (s *swallow) WriteHeader(code int) {
	if s.code == 0 {
		s.code = code
	}
}
func (s *swallow) Write(b []byte) (int, error) {
	s.WriteHeader(http.StatusOK)
	return len(b), nil
}
