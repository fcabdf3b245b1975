package s3fault

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

func TestProxy(t *testing.T) {
	var puts, gets int
	var host string
	back := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		host = r.Host
		switch {
		case r.Method == http.MethodGet:
			gets++
		case strings.HasSuffix(r.URL.Path, "/exists"):
			w.WriteHeader(http.StatusPreconditionFailed)
		default:
			puts++
		}
	}))
	defer back.Close()
	p := Start(t, back.URL, 1)
	do := func(method, path string) int {
		req, err := http.NewRequest(method, p.URL+path, strings.NewReader(""))
		if err != nil {
			t.Fatal(err)
		}
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			return 0
		}
		defer res.Body.Close()
		return res.StatusCode
	}
	if do("PUT", "/a") != 200 || do("GET", "/a") != 200 || "http://"+host != p.URL {
		t.Fatal("an honest proxy", host)
	}
	p.SetUnavailable(true)
	if do("PUT", "/a") != 503 || do("GET", "/a") != 503 || p.Refused() != 2 || puts != 1 || gets != 1 {
		t.Fatal("an outage")
	}
	p.SetUnavailable(false)
	p.LoseAnswers(1)
	codes := map[int]bool{}
	for range 20 {
		codes[do("PUT", "/a")] = true
	}
	if puts != 21 || p.Lost() != 20 || len(codes) != 2 || !codes[0] || !codes[504] {
		t.Fatal("lost answers", puts, p.Lost(), codes)
	}
	if do("PUT", "/exists") != 412 || p.Lost() != 20 || do("GET", "/a") != 200 {
		t.Fatal("refusals and reads are not touched")
	}
}

// TestTrouble: each kind of trouble is what it says, is counted, and ends.
func TestTrouble(t *testing.T) {
	var puts atomic.Int64
	back := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPut {
			body, _ := io.ReadAll(r.Body)
			if string(body) == "body" {
				puts.Add(1)
			}
			return
		}
		_, _ = w.Write(make([]byte, 1000))
	}))
	defer back.Close()
	p := Start(t, back.URL, 1)
	client := &http.Client{Transport: &http.Transport{}}
	defer client.CloseIdleConnections()
	do := func(ctx context.Context, method string) (code, n int, err error) {
		req, err := http.NewRequestWithContext(ctx, method, p.URL+"/a", strings.NewReader("body"))
		if err != nil {
			t.Fatal(err)
		}
		res, err := client.Do(req)
		if err != nil {
			return 0, 0, err
		}
		defer res.Body.Close()
		b, err := io.ReadAll(res.Body)
		return res.StatusCode, len(b), err
	}
	ctx := t.Context()
	p.SetTrouble(Trouble{Errors: 1})
	seen := map[int]bool{}
	for range 50 {
		code, _, _ := do(ctx, "GET")
		seen[code] = true
	}
	if !seen[0] || !seen[500] || !seen[503] || len(seen) != 3 {
		t.Error("errors", seen)
	}
	p.SetTrouble(Trouble{Resets: 1})
	if _, _, err := do(ctx, "GET"); err == nil {
		t.Error("no reset")
	}
	p.SetTrouble(Trouble{Truncated: 1})
	if code, n, err := do(ctx, "GET"); code != 200 || n != 500 || err == nil {
		t.Error("not truncated", code, n, err)
	}
	p.SetTrouble(Trouble{Late: 1, LateMax: time.Millisecond})
	if _, _, err := do(ctx, "PUT"); err == nil {
		t.Error("a late put was answered")
	}
	p.AwaitLate()
	if puts.Load() != 1 {
		t.Error("a late put has not happened")
	}
	p.SetTrouble(Trouble{Hang: true})
	result := make(chan int)
	go func() {
		code, _, _ := do(ctx, "GET")
		result <- code
	}()
	for p.Fired()["hung"] == 0 {
		time.Sleep(time.Millisecond)
	}
	p.SetTrouble(Trouble{LatencyMin: time.Millisecond, LatencyMax: 2 * time.Millisecond})
	if code := <-result; code != 200 {
		t.Error("what hung was not answered", code)
	}
	if code, n, err := do(ctx, "GET"); code != 200 || n != 1000 || err != nil {
		t.Error("slow", code, n, err)
	}
	for _, name := range []string{"500", "503", "reset", "truncated", "late put", "hung", "delayed"} {
		if p.Fired()[name] == 0 {
			t.Errorf("%q has not happened: %v", name, p.Fired())
		}
	}
}
