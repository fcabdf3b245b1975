package clean

import "github.com/prometheus/client_golang/prometheus"

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
