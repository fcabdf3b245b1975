package peer

import (
	"context"
	"errors"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"sluice/base"
)

// metrics are those of one side; side is "client" or "server".
type metrics struct {
	name        func(Method) string
	calls       *prometheus.CounterVec
	seconds     *prometheus.HistogramVec
	inFlight    prometheus.Gauge
	connections prometheus.Gauge
	handshakes  *prometheus.CounterVec
	lost        prometheus.Counter
	bytesIn     prometheus.Counter
	bytesOut    prometheus.Counter
}

func newMetrics(r prometheus.Registerer, side string, name func(Method) string) *metrics {
	prefix := "sluice_peer_" + side + "_"
	counter := func(name, help string) prometheus.Counter {
		return register(r, prometheus.NewCounter(prometheus.CounterOpts{Name: prefix + name, Help: help}))
	}
	vec := func(name, help string, labels ...string) *prometheus.CounterVec {
		return register(r, prometheus.NewCounterVec(prometheus.CounterOpts{Name: prefix + name, Help: help}, labels))
	}
	gauge := func(name, help string) prometheus.Gauge {
		return register(r, prometheus.NewGauge(prometheus.GaugeOpts{Name: prefix + name, Help: help}))
	}
	return &metrics{
		name:        name,
		calls:       vec("calls_total", "Calls between brokers that ended, by method and outcome (ok, or the kind of the error).", "method", "outcome"),
		seconds:     register(r, prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: prefix + "call_seconds", Help: "Duration of calls between brokers, the waiting of long polls included.", Buckets: prometheus.ExponentialBuckets(0.0001, 3, 12)}, []string{"method"})),
		inFlight:    gauge("calls_in_flight", "Calls between brokers that have not ended."),
		connections: gauge("connections", "Open connections between brokers."),
		handshakes:  vec("handshakes_total", "Connections tried between brokers, by outcome (ok, refused, failed).", "outcome"),
		lost:        counter("connections_lost_total", "Connections between brokers that ended otherwise than by being closed by a side that had no more use for it."),
		bytesIn:     counter("received_bytes_total", "Bytes of frames received from other brokers."),
		bytesOut:    counter("sent_bytes_total", "Bytes of frames sent to other brokers."),
	}
}

// register returns the collector registered under c's name, c itself if it is the first.
func register[C prometheus.Collector](r prometheus.Registerer, c C) C {
	if r == nil {
		return c
	}
	err := r.Register(c)
	var already prometheus.AlreadyRegisteredError
	if errors.As(err, &already) {
		return already.ExistingCollector.(C)
	}
	if err != nil {
		panic("BUG: peer: " + err.Error())
	}
	return c
}

// call records the end of a call that began at begun.
func (m *metrics) call(method Method, begun time.Time, err error) {
	outcome := "ok"
	if err != nil {
		outcome = base.KindOf(err).String()
	}
	name := m.name(method)
	m.calls.WithLabelValues(name, outcome).Inc()
	m.seconds.WithLabelValues(name).Observe(time.Since(begun).Seconds())
}

// handshake records the outcome of a connection attempt.
func (m *metrics) handshake(err error) {
	switch {
	case err == nil:
		m.handshakes.WithLabelValues("ok").Inc()
	case errors.Is(err, ErrRefused):
		m.handshakes.WithLabelValues("refused").Inc()
	case !errors.Is(err, context.Canceled): // the client was closed
		m.handshakes.WithLabelValues("failed").Inc()
	}
}
