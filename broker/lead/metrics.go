package lead

import "github.com/prometheus/client_golang/prometheus"

type metrics struct {
	partitions *prometheus.GaugeVec
	failures   prometheus.Counter
	pause      prometheus.ObserverVec
	open       prometheus.Observer
}

func newMetrics(r prometheus.Registerer) *metrics {
	pause := prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name: "sluice_partition_move_pause_seconds", Help: "How long a partition that was moved away took no appends: until its new leader served, or until it resumed here.",
		Buckets: []float64{.01, .025, .05, .1, .15, .2, .3, .4, .5, .75, 1, 2, 5, 10, 30},
	}, []string{"end"})
	open := prometheus.NewHistogram(prometheus.HistogramOpts{
		Name: "sluice_lead_open_seconds", Help: "From the command that opens a partition, or from seeing that it was handed over, until it serves.",
		Buckets: prometheus.ExponentialBuckets(0.001, 2, 15),
	})
	m := &metrics{
		pause:      pause,
		open:       open,
		partitions: prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "sluice_lead_partitions", Help: "Partitions this node leads, by how far their open has come."}, []string{"state"}),
		failures:   prometheus.NewCounter(prometheus.CounterOpts{Name: "sluice_lead_open_failures_total", Help: "Failed tries to open a partition."}),
	}
	if r != nil {
		r.MustRegister(m.partitions, m.failures, pause, open)
	}
	return m
}

func (m *metrics) observe(s *machine) {
	m.partitions.WithLabelValues("opening").Set(float64(s.count[working]))
	m.partitions.WithLabelValues("waiting").Set(float64(s.count[waiting]))
	m.partitions.WithLabelValues("serving").Set(float64(s.count[serving]))
	m.partitions.WithLabelValues("leaving").Set(float64(s.count[leaving]))
}
