package clean

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

type metrics struct{ checks, trims, expired prometheus.Counter }

func newMetrics(r prometheus.Registerer) *metrics {
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Name: "sluice_clean_" + name, Help: help})
	}
	m := &metrics{
		checks:  counter("checks_total", "Checks for data that is due for removal."),
		trims:   counter("trims_total", "Partitions whose log start retention has moved."),
		expired: counter("expired_producers_total", "Idle producers whose state was forgotten."),
	}
	if r != nil {
		r.MustRegister(m.checks, m.trims, m.expired)
	}
	return m
}

// compactMetrics are those of key compaction.
type compactMetrics struct {
	passes, failed, readBytes, writtenBytes, records, removed, keyless prometheus.Counter
	seconds                                                            prometheus.Histogram
	dirtyRatioMax, overdueMax, due, mapUse, lastPass                   prometheus.Gauge
}

func newCompactMetrics(r prometheus.Registerer) *compactMetrics {
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Name: "sluice_clean_" + name, Help: help})
	}
	gauge := func(name, help string) prometheus.Gauge {
		return prometheus.NewGauge(prometheus.GaugeOpts{Name: "sluice_clean_" + name, Help: help})
	}
	m := &compactMetrics{
		passes:        counter("key_passes_total", "Passes of key compaction over a partition."),
		failed:        counter("key_passes_failed_total", "Passes of key compaction that failed."),
		readBytes:     counter("key_read_bytes_total", "Record bytes read by key compaction, those read twice counted twice."),
		writtenBytes:  counter("key_written_bytes_total", "Record bytes that key compaction has written anew."),
		records:       counter("key_records_total", "Records that key compaction has looked at."),
		removed:       counter("key_removed_records_total", "Records that key compaction has removed."),
		keyless:       counter("key_without_key_total", "Records without a key found in compacted topics and removed."),
		seconds:       prometheus.NewHistogram(prometheus.HistogramOpts{Name: "sluice_clean_key_pass_seconds", Help: "Time of a pass.", Buckets: prometheus.ExponentialBuckets(0.01, 4, 10)}),
		dirtyRatioMax: gauge("key_dirty_ratio_max", "Largest dirty ratio of a compacted partition led here, when last looked at."),
		overdueMax:    gauge("key_overdue_seconds_max", "By how much the oldest dirty record of a partition is beyond max.compaction.lag.ms."),
		due:           gauge("key_due_partitions", "Partitions that were due for key compaction when last looked at."),
		mapUse:        gauge("key_map_use", "Share of the key map that the last pass has used."),
		lastPass:      gauge("key_last_pass_timestamp_seconds", "When a pass last ended well; 0: never since the start."),
	}
	if r != nil {
		r.MustRegister(m.passes, m.failed, m.readBytes, m.writtenBytes, m.records, m.removed, m.keyless, m.seconds, m.dirtyRatioMax, m.overdueMax, m.due, m.mapUse, m.lastPass)
	}
	return m
}

// passed notes a pass that ended well.
func (m *compactMetrics) passed(took time.Duration, f *filter) {
	m.passes.Inc()
	m.seconds.Observe(took.Seconds())
	m.records.Add(float64(f.read))
	m.removed.Add(float64(f.read - f.kept))
	m.keyless.Add(float64(f.keyless))
	m.lastPass.SetToCurrentTime()
}
