package telemetry

import "github.com/prometheus/client_golang/prometheus"

type metrics struct {
	clients prometheus.Gauge
	pushes  prometheus.Counter
	sent    prometheus.Counter
	dropped *prometheus.CounterVec
}

func newMetrics(reg prometheus.Registerer) *metrics {
	m := &metrics{
		clients: prometheus.NewGauge(prometheus.GaugeOpts{Name: "sluice_telemetry_clients", Help: "Clients that push metrics, or have asked what to push."}),
		pushes:  prometheus.NewCounter(prometheus.CounterOpts{Name: "sluice_telemetry_pushes_total", Help: "Pushes of metrics that were taken in."}),
		sent:    prometheus.NewCounter(prometheus.CounterOpts{Name: "sluice_telemetry_sent_total", Help: "Pushes that the collector has taken."}),
		dropped: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "sluice_telemetry_dropped_total", Help: "Pushes, or series of them, that were dropped, by reason."}, []string{"reason"}),
	}
	if reg != nil {
		reg.MustRegister(m.clients, m.pushes, m.sent, m.dropped)
	}
	return m
}
