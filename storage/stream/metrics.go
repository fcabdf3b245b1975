package stream

import (
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
)

type metrics struct {
	uploads, uploadBytes, uploadRetries prometheus.Counter
	uploaded                            atomic.Int64 // uploadBytes, to be read
	objects                             *prometheus.CounterVec
	uploadSeconds, admitSeconds         prometheus.Histogram
	admitWaits                          prometheus.Counter
	reads, readBytes                    *prometheus.CounterVec
	cachedReads, coldReads              prometheus.Counter
	cachedBytes, coldBytes              prometheus.Counter
}

func newMetrics(r prometheus.Registerer) *metrics {
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Namespace: "sluice", Subsystem: "stream", Name: name, Help: help})
	}
	vec := func(name, help, label string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: "sluice", Subsystem: "stream", Name: name, Help: help}, []string{label})
	}
	seconds := func(name, help string) prometheus.Histogram {
		return prometheus.NewHistogram(prometheus.HistogramOpts{Namespace: "sluice", Subsystem: "stream", Name: name, Help: help,
			Buckets: prometheus.ExponentialBuckets(0.001, 4, 10)})
	}
	m := &metrics{
		uploads:       counter("uploads_total", "Uploads committed."),
		uploadBytes:   counter("upload_bytes_total", "Bytes of objects put by committed uploads."),
		uploadRetries: counter("upload_retries_total", "Requests of uploads that failed and were repeated."),
		objects:       vec("objects_total", "Objects committed, by kind.", "kind"),
		uploadSeconds: seconds("upload_seconds", "Time from freezing an upload to its commit."),
		admitSeconds:  seconds("admit_wait_seconds", "Time appends waited for room, those that waited."),
		admitWaits:    counter("admit_waits_total", "Appends that had to wait for room."),
		reads:         vec("reads_total", "Reads, by where the bytes came from.", "from"),
		readBytes:     vec("read_bytes_total", "Record bytes read, by where they came from.", "from"),
	}
	m.cachedReads, m.coldReads = m.reads.WithLabelValues("wal_cache"), m.reads.WithLabelValues("objects")
	m.cachedBytes, m.coldBytes = m.readBytes.WithLabelValues("wal_cache"), m.readBytes.WithLabelValues("objects")
	if r != nil {
		r.MustRegister(m.uploads, m.uploadBytes, m.uploadRetries, m.objects, m.uploadSeconds, m.admitSeconds, m.admitWaits, m.reads, m.readBytes)
	}
	return m
}

// registerGauges exposes the engines' memory and backlog.
func (s *share) registerGauges(r prometheus.Registerer) {
	if r == nil {
		return
	}
	gauge := func(name, help string, f func() float64) {
		r.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Namespace: "sluice", Subsystem: "stream", Name: name, Help: help}, f))
	}
	gauge("wal_cache_bytes", "Memory charged to the WAL cache.", func() float64 { return float64(s.sum(func(e *Engine) int64 { return e.wal.Bytes() })) })
	gauge("wal_cache_budget_bytes", "Budget of the WAL cache.", func() float64 { return float64(s.walBytes) })
	gauge("unuploaded_bytes", "Memory of WAL blocks that are not uploaded and committed.", func() float64 { return float64(s.sum(func(e *Engine) int64 { return e.unuploaded.Load() })) })
	gauge("inflight_bytes", "Record bytes handed to the WAL that are not durable yet.", func() float64 { return float64(s.sum(func(e *Engine) int64 { return e.inflight.Load() })) })
	gauge("admit_waiting", "Appends that wait for room.", func() float64 { return float64(s.sum(func(e *Engine) int64 { return int64(e.gate.waiting()) })) })
	gauge("open_streams", "Streams attached.", func() float64 { return float64(s.sum(func(e *Engine) int64 { return int64(e.streamCount()) })) })
}
