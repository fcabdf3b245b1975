package slotlog

import (
	"errors"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics of all writers of one kind of log; its label is the first component of the log's name.
type metrics struct {
	puts      prometheus.Observer // seconds from the first attempt until the slot was known to be stored
	bytes     prometheus.Counter
	retries   prometheus.Counter
	hedges    prometheus.Counter
	readBacks prometheus.Counter
	fenced    prometheus.Counter
	waiting   prometheus.Gauge
	inFlight  prometheus.Gauge
}

func newMetrics(r prometheus.Registerer, name string) *metrics {
	kind, _, _ := strings.Cut(name, "/")
	label := []string{"log"}
	counter := func(name, help string) prometheus.Counter {
		return register(r, prometheus.NewCounterVec(prometheus.CounterOpts{Name: "sluice_slotlog_" + name, Help: help}, label)).WithLabelValues(kind)
	}
	gauge := func(name, help string) prometheus.Gauge {
		return register(r, prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "sluice_slotlog_" + name, Help: help}, label)).WithLabelValues(kind)
	}
	seconds := prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name:    "sluice_slotlog_put_seconds",
		Help:    "Time from the first attempt to put a slot until it was known to be stored.",
		Buckets: prometheus.ExponentialBuckets(0.001, 2, 15),
	}, label)
	return &metrics{
		puts:      register(r, seconds).WithLabelValues(kind),
		bytes:     counter("put_bytes_total", "Bytes of slots that were stored, headers included."),
		retries:   counter("put_retries_total", "Attempts to put a slot that left it undetermined."),
		hedges:    counter("put_hedges_total", "Puts that were made again beside one that took long."),
		readBacks: counter("read_backs_total", "Slots read back because a put found them taken."),
		fenced:    counter("fenced_total", "Writers that found their epoch sealed or taken."),
		waiting:   gauge("appends_waiting", "Appends that wait for a place in the window."),
		inFlight:  gauge("appends_in_flight", "Appends whose slot is being put or waits for an earlier one."),
	}
}

// register returns the collector that is registered under c's name, c itself if it is the first; with a nil registerer, c.
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
		panic("BUG: slotlog: " + err.Error())
	}
	return c
}
