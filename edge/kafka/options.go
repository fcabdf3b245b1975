package kafka

import (
	"crypto/tls"
	"log/slog"
	"net/netip"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"sluice/base/slab"
)

// Options are the collaborators and limits of a Server. Handler must be set; a zero limit takes its default.
type Options struct {
	Handler        Handler
	Listeners      map[string]Listener    // by the name given to Serve; a listener that is not here is plain text and open
	Pool           *slab.Pool             // memory of Produce frames; nil makes one
	MaxFrame       int                    // bytes of one request, without the size field; default 100 MiB
	MaxConnections int                    // default 20,000
	MaxInFlight    int                    // requests of one connection between handler and socket; default 256
	RequestMemory  int64                  // bytes of all frames that are being received or processed; default 256 MiB
	IdleTimeout    time.Duration          // a connection without a request for so long is closed; default 10 min
	LoginTimeout   time.Duration          // a handshake of TLS, and then a login, takes at most so long; default 30 s
	StallTimeout   time.Duration          // a frame or a response that makes no progress for so long closes its connection; default 1 min
	Gate           Gate                   // nil: nothing but MaxConnections limits connections
	APIName        func(key int16) string // label of the request metrics; default the number
	Logger         *slog.Logger
	Registerer     prometheus.Registerer
}

// Gate says who may connect.
type Gate interface {
	// Connect is asked for every connection. The listener accepts no other for pause; with refuse above 0 this one is closed after that time.
	Connect(from netip.Addr) (pause, refuse time.Duration)
	// MaxConnections bounds the connections that are open, of all clients and of one address; 0 leaves the bound to Options and to nobody.
	MaxConnections(from netip.Addr) (all, ofAddress int)
}

// Listener says what is particular about the connections of a listener.
type Listener struct {
	TLS   *tls.Config // nil: plain text
	Login bool        // until the handler calls Admit, frames are small and time is short
}

func (o Options) withDefaults() Options {
	if o.Handler == nil {
		panic("BUG: kafka: no handler")
	}
	if o.Pool == nil {
		o.Pool = new(slab.Pool)
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.APIName == nil {
		o.APIName = numberName
	}
	setDefault(&o.MaxFrame, 100<<20)
	setDefault(&o.MaxConnections, 20_000)
	setDefault(&o.MaxInFlight, 256)
	setDefault(&o.RequestMemory, 256<<20)
	setDefault(&o.IdleTimeout, 10*time.Minute)
	setDefault(&o.LoginTimeout, 30*time.Second)
	setDefault(&o.StallTimeout, time.Minute)
	return o
}

func setDefault[T comparable](v *T, d T) {
	var zero T
	if *v == zero {
		*v = d
	}
}
