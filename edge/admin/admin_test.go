package admin

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"
)

func TestAdminPages(t *testing.T) {
	defer goleak.VerifyNone(t)
	reg := prometheus.NewRegistry()
	reg.MustRegister(prometheus.NewCounter(prometheus.CounterOpts{Name: "sluice_test_total"}))
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := Start(ln, Options{Gatherer: reg, Ready: func() error { return errors.New("starting") }})
	defer http.DefaultClient.CloseIdleConnections()
	for path, want := range map[string]string{"/metrics": "sluice_test_total 0", "/healthz": "ok", "/readyz": "starting", "/": "/metrics", "/debug/pprof/": "goroutine"} {
		res, err := http.Get("http://" + s.Addr() + path)
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(res.Body)
		res.Body.Close()
		if !strings.Contains(string(body), want) || (res.StatusCode == 200) == (path == "/readyz") {
			t.Errorf("%s: %d %.200s", path, res.StatusCode, body)
		}
	}
	http.DefaultClient.CloseIdleConnections()
	if err := s.Close(context.Background()); err != nil {
		t.Fatal(err)
	}
}
