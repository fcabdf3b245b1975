package rescue

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"sluice/storage/stream"
)

type metrics struct {
	jobs    *prometheus.CounterVec
	running *prometheus.GaugeVec
	open    prometheus.Gauge
	bytes   prometheus.Counter
	seconds *prometheus.HistogramVec
}

func newMetrics(r prometheus.Registerer) *metrics {
	const ns, sub = "sluice", "rescue"
	m := &metrics{
		jobs: prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: ns, Subsystem: sub, Name: "jobs_total",
			Help: "Attempts that ended, by what they did (ask, rescue, clean) and how (done, failed, stopped)."}, []string{"job", "outcome"}),
		running: prometheus.NewGaugeVec(prometheus.GaugeOpts{Namespace: ns, Subsystem: sub, Name: "running",
			Help: "Attempts under way, by what they do."}, []string{"job"}),
		open:  prometheus.NewGauge(prometheus.GaugeOpts{Namespace: ns, Subsystem: sub, Name: "open", Help: "Fenced node epochs that this node has yet to rescue."}),
		bytes: prometheus.NewCounter(prometheus.CounterOpts{Namespace: ns, Subsystem: sub, Name: "bytes_total", Help: "Bytes of WAL blocks read and committed."}),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{Namespace: ns, Subsystem: sub, Name: "phase_seconds",
			Help:    "Time of the phases: seal, complete and remove once per rescue; read, upload and commit once per piece of a WAL.",
			Buckets: prometheus.ExponentialBuckets(0.001, 3, 11)}, []string{"phase"}),
	}
	if r != nil {
		r.MustRegister(m.jobs, m.running, m.open, m.bytes, m.seconds)
	}
	return m
}

// phase notes how long a phase took that began then.
func (m *metrics) phase(name string, began time.Time) {
	m.seconds.WithLabelValues(name).Observe(time.Since(began).Seconds())
}

// piece notes a piece that was committed.
func (m *metrics) piece(p stream.RescuedPiece) {
	m.bytes.Add(float64(p.Bytes))
	m.seconds.WithLabelValues("read").Observe(p.Read.Seconds())
	m.seconds.WithLabelValues("upload").Observe(p.Upload.Seconds())
	m.seconds.WithLabelValues("commit").Observe(p.Commit.Seconds())
}
