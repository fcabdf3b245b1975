package fetch

import "github.com/prometheus/client_golang/prometheus"

type metrics struct {
	parked                                      prometheus.Gauge
	fetches, cold, held, bytes, sessionsRefused prometheus.Counter
}

func newMetrics(r prometheus.Registerer, c *cache) *metrics {
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Name: "sluice_fetch_" + name, Help: help})
	}
	m := &metrics{
		parked:          prometheus.NewGauge(prometheus.GaugeOpts{Name: "sluice_fetch_parked", Help: "Fetches that wait for records."}),
		fetches:         counter("requests_total", "Fetch requests answered."),
		cold:            counter("cold_reads_total", "Partition reads of fetches that went to the bucket or the block cache."),
		held:            counter("held_total", "Fetches that waited for a partition that was being moved or opened."),
		bytes:           counter("bytes_total", "Bytes of records returned."),
		sessionsRefused: counter("sessions_refused_total", "Fetch sessions not granted because the cache was full."),
	}
	if r == nil {
		return m
	}
	r.MustRegister(m.parked, m.fetches, m.cold, m.held, m.bytes, m.sessionsRefused,
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "sluice_fetch_sessions", Help: "Fetch sessions."}, func() float64 { n, _ := c.counts(); return float64(n) }),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "sluice_fetch_session_partitions", Help: "Partitions in fetch sessions."}, func() float64 { _, n := c.counts(); return float64(n) }))
	return m
}
