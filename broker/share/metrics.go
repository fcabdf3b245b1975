package share

import "github.com/prometheus/client_golang/prometheus"

type metrics struct {
	acquired     prometheus.Counter
	acknowledged *prometheus.CounterVec
	letters      *prometheus.CounterVec
}

var ackNames = map[AckType]string{AckGap: "gap", AckAccept: "accept", AckRelease: "release", AckReject: "reject", AckRenew: "renew"}

// newMetrics makes the metrics of a manager; r may be nil.
func newMetrics(r prometheus.Registerer, m *Manager) *metrics {
	t := &metrics{
		acquired: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "sluice_share_records_acquired_total", Help: "Records handed to members of share groups."}),
		acknowledged: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "sluice_share_records_acknowledged_total", Help: "Records acknowledged by members of share groups, by type."}, []string{"type"}),
		letters: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "sluice_share_dead_letters_total", Help: "Records of share groups that were given up and have a topic for dead letters, by what became of the letter."}, []string{"outcome"}),
	}
	sessions := prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "sluice_share_sessions", Help: "Share sessions."}, func() float64 {
		m.mu.Lock()
		defer m.mu.Unlock()
		return float64(len(m.mu.sessions))
	})
	parts := prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "sluice_share_partitions", Help: "Share partitions in memory."}, func() float64 {
		m.mu.Lock()
		defer m.mu.Unlock()
		return float64(len(m.mu.parts))
	})
	if r != nil {
		r.MustRegister(t.acquired, t.acknowledged, t.letters, sessions, parts)
	}
	return t
}
