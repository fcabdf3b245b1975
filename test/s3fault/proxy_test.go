package s3fault

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
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
