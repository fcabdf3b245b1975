package retry

import (
	"errors"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"sluice/base"
)

type op uint8

const (
	opPut op = iota
	opGet
	opStat
	opList
	opDelete
	opEnd
)

var opNames = [opEnd]string{"put", "get", "stat", "list", "delete"}

func (o op) String() string { return opNames[o] }

// metrics count every request that was made, repeated ones too.
type metrics struct {
	requests *prometheus.CounterVec
	bytes    [opEnd]prometheus.Counter
	seconds  [opEnd]prometheus.Observer
	ok       [opEnd]prometheus.Counter
}

func newMetrics(opt Options) *metrics {
	r := opt.Registerer
	requests := register(r, prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: opt.Metrics + "_requests_total", Help: "Requests to the " + opt.Name + ", each attempt counted, by operation and outcome.",
	}, []string{"op", "outcome"}))
	bytes := register(r, prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: opt.Metrics + "_bytes_total", Help: "Bytes of successful puts and gets.",
	}, []string{"op"}))
	seconds := register(r, prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name: opt.Metrics + "_request_seconds", Help: "Duration of requests to the " + opt.Name + ", failed ones too.",
		Buckets: prometheus.ExponentialBuckets(0.0005, 2, 17),
	}, []string{"op"}))
	m := &metrics{requests: requests}
	for o := range opEnd {
		m.bytes[o] = bytes.WithLabelValues(o.String())
		m.seconds[o] = seconds.WithLabelValues(o.String())
		m.ok[o] = requests.WithLabelValues(o.String(), "ok")
	}
	return m
}

func (m *metrics) count(o op, err error, bytes int64, took time.Duration) {
	m.seconds[o].Observe(took.Seconds())
	if err != nil {
		m.requests.WithLabelValues(o.String(), strings.ReplaceAll(base.KindOf(err).String(), " ", "_")).Inc()
		return
	}
	m.ok[o].Inc()
	m.bytes[o].Add(float64(bytes))
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
		panic("BUG: retry: " + err.Error())
	}
	return c
}
