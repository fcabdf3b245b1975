package lead

import "github.com/prometheus/client_golang/prometheus"

type metrics struct {
	partitions *prometheus.GaugeVec
	failures   prometheus.Counter
}

func newMetrics(r prometheus.Registerer) *metrics {
	m := &metrics{
		partitions: prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "sluice_lead_partitions", Help: "Partitions this node leads, by how far their open has come."}, []string{"state"}),
		failures:   prometheus.NewCounter(prometheus.CounterOpts{Name: "sluice_lead_open_failures_total", Help: "Failed tries to open a partition."}),
	}
	if r != nil {
		r.MustRegister(m.partitions, m.failures)
	}
	return m
}

func (m *metrics) observe(s *machine) {
	m.partitions.WithLabelValues("opening").Set(float64(s.count[working]))
	m.partitions.WithLabelValues("waiting").Set(float64(s.count[waiting]))
	m.partitions.WithLabelValues("serving").Set(float64(s.count[serving]))
}
