package quota

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

type metrics struct {
	waits  *prometheus.CounterVec
	times  *prometheus.CounterVec
	counts prometheus.Gauge
}

func newMetrics(reg prometheus.Registerer) *metrics {
	m := &metrics{
		waits:  prometheus.NewCounterVec(prometheus.CounterOpts{Name: "sluice_quota_throttle_seconds_total", Help: "Time that clients were told to wait, by quota."}, []string{"quota"}),
		times:  prometheus.NewCounterVec(prometheus.CounterOpts{Name: "sluice_quota_throttled_total", Help: "Requests and connections that were told to wait, by quota."}, []string{"quota"}),
		counts: prometheus.NewGauge(prometheus.GaugeOpts{Name: "sluice_quota_counts", Help: "Clients, users and pairs of them that are counted for a quota."}),
	}
	if reg != nil {
		reg.MustRegister(m.waits, m.times, m.counts)
	}
	return m
}

// throttled records a wait and returns it.
func (m *metrics) throttled(quota string, ms int64) time.Duration {
	if ms <= 0 {
		return 0
	}
	d := time.Duration(ms) * time.Millisecond
	m.waits.WithLabelValues(quota).Add(d.Seconds())
	m.times.WithLabelValues(quota).Inc()
	return d
}
