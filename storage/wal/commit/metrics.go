package commit

import (
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Metrics are the counters of a WAL. The zero value counts nothing that anybody sees.
type Metrics struct {
	records, bytes, blocks, failures prometheus.Counter
	write, size                      prometheus.Histogram
}

// Labels are those of all metrics of a WAL.
func Labels(class string, volume int) prometheus.Labels {
	return prometheus.Labels{"class": class, "volume": strconv.Itoa(volume)}
}

// NewMetrics registers the metrics; a nil registerer gives metrics that are not exported.
func NewMetrics(reg prometheus.Registerer, class string, volume int) *Metrics {
	labels := Labels(class, volume)
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Name: "sluice_wal_" + name, Help: help, ConstLabels: labels})
	}
	m := &Metrics{
		records:  counter("records_total", "Records that became durable."),
		bytes:    counter("bytes_total", "Bytes of blocks that became durable, headers included."),
		blocks:   counter("blocks_total", "Blocks that became durable, one write each."),
		failures: counter("failures_total", "Sticky failures: the log accepts nothing any more."),
		write: prometheus.NewHistogram(prometheus.HistogramOpts{Name: "sluice_wal_write_seconds", Help: "Time of one durable write of a block.",
			ConstLabels: labels, Buckets: prometheus.ExponentialBuckets(50e-6, 2, 18)}),
		size: prometheus.NewHistogram(prometheus.HistogramOpts{Name: "sluice_wal_block_bytes", Help: "Size of a block.",
			ConstLabels: labels, Buckets: prometheus.ExponentialBuckets(4096, 4, 8)}),
	}
	if reg != nil {
		reg.MustRegister(m.records, m.bytes, m.blocks, m.failures, m.write, m.size)
	}
	return m
}

// Unregister takes the metrics out of reg again.
func (m *Metrics) Unregister(reg prometheus.Registerer) {
	if m == nil || reg == nil {
		return
	}
	for _, c := range []prometheus.Collector{m.records, m.bytes, m.blocks, m.failures, m.write, m.size} {
		reg.Unregister(c)
	}
}

func (m *Metrics) delivered(b *Batch) {
	if m == nil {
		return
	}
	m.records.Add(float64(b.Count()))
	m.bytes.Add(float64(b.size))
	m.blocks.Inc()
	m.size.Observe(float64(b.size))
	m.write.Observe(b.ended.Sub(b.taken).Seconds())
}

func (m *Metrics) failed() {
	if m != nil {
		m.failures.Inc()
	}
}

func now() time.Time { return time.Now() }
