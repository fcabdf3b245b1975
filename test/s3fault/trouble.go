package s3fault

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strconv"
	"time"
)

// Trouble is what a bucket does to its users besides being away. Shares are 0 to 1, and of requests.
type Trouble struct {
	LatencyMin, LatencyMax time.Duration // before a request is looked at
	Errors                 float64       // answered 500, 503 or by a reset, each as often
	Resets                 float64       // the connection is reset before the request is looked at
	Truncated              float64       // gets whose answer breaks off in the middle
	Late                   float64       // puts whose connection is cut, and that happen all the same, up to LateMax later
	LateMax                time.Duration
	Hang                   bool // requests are neither answered nor refused until this is over
}

// fault is what happens to one request.
type fault uint8

const (
	noFault fault = iota
	status500
	status503
	reset
	truncate
	late
	faults
)

var faultNames = [faults]string{"none", "500", "503", "reset", "truncated", "late put"}

// SetTrouble replaces the trouble there is; the zero value ends it. Late puts that are on their way still come.
func (p *Proxy) SetTrouble(t Trouble) {
	p.trouble.mu.Lock()
	defer p.trouble.mu.Unlock()
	p.trouble.now = t
	if p.trouble.hung != nil {
		close(p.trouble.hung)
		p.trouble.hung = nil
	}
	if t.Hang {
		p.trouble.hung = make(chan struct{})
	}
}

// Fired counts the faults of SetTrouble that have happened, by name: "500", "503", "reset", "truncated", "late put", "hung", "delayed".
func (p *Proxy) Fired() map[string]int64 {
	p.trouble.mu.Lock()
	defer p.trouble.mu.Unlock()
	out := map[string]int64{}
	for name, n := range p.trouble.fired {
		out[name] = n
	}
	return out
}

// AwaitLate waits until all late puts have happened.
func (p *Proxy) AwaitLate() {
	for {
		p.trouble.mu.Lock()
		late := p.trouble.late
		p.trouble.mu.Unlock()
		if late == 0 {
			return
		}
		time.Sleep(time.Millisecond)
	}
}

// decide draws what happens to a request and for how long it is delayed.
func (p *Proxy) decide(method string) (f fault, delay time.Duration, hung <-chan struct{}, lateBy time.Duration) {
	p.trouble.mu.Lock()
	defer p.trouble.mu.Unlock()
	t := p.trouble.now
	if t.LatencyMax > 0 {
		delay = t.LatencyMin + time.Duration(p.trouble.rand.Int64N(int64(t.LatencyMax-t.LatencyMin)+1))
		p.trouble.fired["delayed"]++
	}
	if t.LateMax > 0 {
		lateBy = time.Duration(p.trouble.rand.Int64N(int64(t.LateMax)))
	}
	if p.trouble.hung != nil {
		p.trouble.fired["hung"]++
	}
	draw := func(share float64) bool { return share > 0 && p.trouble.rand.Float64() < share }
	switch {
	case draw(t.Errors):
		f = status500 + fault(p.trouble.rand.IntN(3))
	case draw(t.Resets):
		f = reset
	case method == http.MethodGet && draw(t.Truncated):
		f = truncate
	case method == http.MethodPut && draw(t.Late):
		f = late
	}
	if f == late {
		p.trouble.late++
	}
	return f, delay, p.trouble.hung, lateBy
}

func (p *Proxy) count(f fault) {
	p.trouble.mu.Lock()
	defer p.trouble.mu.Unlock()
	p.trouble.fired[faultNames[f]]++
}

// suffer does to a request what SetTrouble asks for. It reports whether that was all there is to do.
func (p *Proxy) suffer(w http.ResponseWriter, r *http.Request) (done bool) {
	f, delay, hung, lateBy := p.decide(r.Method)
	if hung != nil {
		select {
		case <-hung:
		case <-r.Context().Done():
		}
	}
	if delay > 0 {
		select {
		case <-time.After(delay):
		case <-r.Context().Done():
		}
	}
	switch f {
	case status500, status503:
		refuse(w, map[fault]int{status500: 500, status503: 503}[f])
	case reset:
		cut(w)
	case truncate:
		if !p.truncate(w, r) {
			return true // it failed by itself, and that was passed on
		}
	case late:
		p.late(w, r, lateBy)
		defer p.happened()
	default:
		return false
	}
	p.count(f)
	return true
}

func refuse(w http.ResponseWriter, code int) {
	what := map[int]string{500: "InternalError", 503: "SlowDown"}[code]
	w.Header().Set("Content-Type", "application/xml")
	w.WriteHeader(code)
	_, _ = io.WriteString(w, `<?xml version="1.0" encoding="UTF-8"?><Error><Code>`+what+`</Code><Message>Please reduce your request rate.</Message></Error>`)
}

// cut resets the connection of a request.
func cut(w http.ResponseWriter) {
	c, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return
	}
	if tcp, ok := c.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
	_ = c.Close()
}

// truncate forwards a get and breaks its answer off in the middle. It reports false when there was no body to break.
func (p *Proxy) truncate(w http.ResponseWriter, r *http.Request) bool {
	got := &keep{header: http.Header{}}
	p.proxy.ServeHTTP(got, r)
	for k, v := range got.header {
		w.Header()[k] = v
	}
	n := got.body.Len()
	if got.code/100 != 2 || n == 0 {
		w.WriteHeader(got.code)
		_, _ = w.Write(got.body.Bytes())
		return false
	}
	w.Header().Set("Content-Length", strconv.Itoa(n))
	w.WriteHeader(got.code)
	_, _ = w.Write(got.body.Bytes()[:n/2])
	_ = http.NewResponseController(w).Flush()
	cut(w)
	return true
}

// late takes a put, cuts its connection, and has it happen some time after.
func (p *Proxy) late(w http.ResponseWriter, r *http.Request, by time.Duration) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	again := r.Clone(context.WithoutCancel(r.Context()))
	again.Body = io.NopCloser(bytes.NewReader(body))
	cut(w)
	select {
	case <-time.After(by):
	case <-p.closed:
		return
	}
	p.proxy.ServeHTTP(&keep{header: http.Header{}}, again)
}

func (p *Proxy) happened() {
	p.trouble.mu.Lock()
	defer p.trouble.mu.Unlock()
	p.trouble.late--
}

// keep takes an answer into memory.
type keep struct {
	header http.Header
	code   int
	body   bytes.Buffer
}

func (k *keep) Header() http.Header { return k.header }
func (k *keep) WriteHeader(code int) {
	if k.code == 0 {
		k.code = code
	}
}
func (k *keep) Write(b []byte) (int, error) {
	k.WriteHeader(http.StatusOK)
	if k.body.Len()+len(b) > 1<<30 {
		return 0, errors.New("too large")
	}
	return k.body.Write(b)
}
