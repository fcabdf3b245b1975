package admin

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/pprof"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// Options are the collaborators of a Server.
type Options struct {
	Gatherer prometheus.Gatherer
	Healthy  func() error // nil: always
	Ready    func() error // nil: always
	Index    string       // text of the page /
	Logger   *slog.Logger
}

// state is what the handler is told after the start.
type state struct {
	cluster atomic.Pointer[Cluster]
}

// Server is the HTTP server.
type Server struct {
	http  http.Server
	ln    net.Listener
	state state
	done  chan struct{}
}

// Start serves on ln until Close.
func Start(ln net.Listener, opt Options) *Server {
	s := &Server{ln: ln, done: make(chan struct{})}
	s.http = http.Server{Handler: handler(opt, &s.state), ReadHeaderTimeout: 10 * time.Second, IdleTimeout: 2 * time.Minute}
	go func() {
		defer close(s.done)
		if err := s.http.Serve(ln); !errors.Is(err, http.ErrServerClosed) && opt.Logger != nil {
			opt.Logger.Error("the admin server stopped", "error", err)
		}
	}()
	return s
}

// Attach tells the server of the cluster, as soon as there is one; until then pages below /v1/ answer 503.
func (s *Server) Attach(c Cluster) {
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	s.state.cluster.Store(&c)
}

// Addr is where the server listens.
func (s *Server) Addr() string { return s.ln.Addr().String() }

// Close stops the server; requests that run are given until the end of ctx.
func (s *Server) Close(ctx context.Context) error {
	err := s.http.Shutdown(ctx)
	if err != nil {
		s.http.Close()
	}
	<-s.done
	return err
}

// handler serves all pages. Requests that change something are refused when another site's page in a browser sends them.
func handler(opt Options, s *state) http.Handler {
	mux := http.NewServeMux()
	for pattern, p := range api {
		mux.Handle(pattern, http.NewCrossOriginProtection().Handler(s.serve(p)))
	}
	mux.Handle("GET /metrics", promhttp.HandlerFor(opt.Gatherer, promhttp.HandlerOpts{}))
	mux.HandleFunc("GET /healthz", check(opt.Healthy))
	mux.HandleFunc("GET /readyz", check(opt.Ready))
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintf(w, "%s\n/metrics\n/healthz\n/readyz\n/v1/cluster\n/v1/partitions\n/v1/cost\n/debug/pprof/\n", opt.Index)
	})
	mux.HandleFunc("/debug/pprof/", pprof.Index)
	mux.HandleFunc("/debug/pprof/cmdline", pprof.Cmdline)
	mux.HandleFunc("/debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("/debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("/debug/pprof/trace", pprof.Trace)
	return mux
}

func check(ok func() error) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		if ok != nil {
			if err := ok(); err != nil {
				http.Error(w, err.Error(), http.StatusServiceUnavailable)
				return
			}
		}
		fmt.Fprintln(w, "ok")
	}
}
