package compact

import "github.com/prometheus/client_golang/prometheus"

type metrics struct {
	jobs, replacements, objects *prometheus.CounterVec
	replaced                    prometheus.Counter
	rounds                      prometheus.Counter
	backlog, behind, unreadable prometheus.Gauge
	seconds                     prometheus.Histogram
}

func newMetrics(r prometheus.Registerer, t *Traffic) *metrics {
	opts := func(name, help string) prometheus.Opts {
		return prometheus.Opts{Namespace: "sluice", Subsystem: "compaction", Name: name, Help: help}
	}
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts(opts(name, help)))
	}
	gauge := func(name, help string) prometheus.Gauge {
		return prometheus.NewGauge(prometheus.GaugeOpts(opts(name, help)))
	}
	vec := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts(opts(name, help)), labels)
	}
	m := &metrics{
		jobs:         vec("jobs_total", "Jobs, by the rule that made them and how they ended: done, or the kind of the error.", "rule", "result"),
		replacements: vec("replacements_total", "Parts of streams that were rewritten, by what became of them.", "verdict"),
		objects:      vec("objects_written_total", "Objects committed, by kind.", "kind"),
		replaced:     counter("ranges_replaced_total", "Ranges of streams whose place new ones have taken."),
		rounds:       counter("rounds_total", "Rounds begun."),
		backlog:      gauge("backlog_bytes", "Record bytes that the last plan wanted rewritten and that are not yet."),
		behind:       gauge("behind_seconds", "How long ago a round last ended with nothing left to do."),
		unreadable:   gauge("unreadable_objects", "Objects that could not be read and are left alone for a while."),
		seconds: prometheus.NewHistogram(prometheus.HistogramOpts{Namespace: "sluice", Subsystem: "compaction", Name: "job_seconds", Help: "Time a job took.",
			Buckets: prometheus.ExponentialBuckets(0.01, 4, 9)}),
	}
	total := func(name, help string, f func() int64) prometheus.Collector {
		return prometheus.NewCounterFunc(prometheus.CounterOpts(opts(name, help)), func() float64 { return float64(f()) })
	}
	if r != nil {
		r.MustRegister(m.jobs, m.replacements, m.objects, m.replaced, m.rounds, m.backlog, m.behind, m.unreadable, m.seconds,
			total("reads_total", "GETs of compaction.", t.Gets.Load), total("read_bytes_total", "Bytes that compaction read.", t.GetBytes.Load),
			total("writes_total", "Puts of compaction.", t.Puts.Load), total("written_bytes_total", "Bytes that compaction wrote.", t.PutBytes.Load))
	}
	return m
}
