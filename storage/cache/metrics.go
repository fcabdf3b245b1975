package cache

import "github.com/prometheus/client_golang/prometheus"

type blockMetrics struct {
	gets, read, misses, prefetched, wasted prometheus.Counter
}

func newBlockMetrics(r prometheus.Registerer, bytes func() int64) *blockMetrics {
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Namespace: "sluice", Subsystem: "block_cache", Name: name, Help: help})
	}
	m := &blockMetrics{
		gets:       counter("gets_total", "GETs of data blocks."),
		read:       counter("read_bytes_total", "Bytes of data blocks read from the bucket."),
		misses:     counter("misses_total", "Reads that had to wait for a GET."),
		prefetched: counter("prefetched_bytes_total", "Bytes read ahead."),
		wasted:     counter("wasted_bytes_total", "Bytes read ahead that were evicted unread."),
	}
	if r != nil {
		r.MustRegister(m.gets, m.read, m.misses, m.prefetched, m.wasted, prometheus.NewGaugeFunc(
			prometheus.GaugeOpts{Namespace: "sluice", Subsystem: "block_cache", Name: "bytes", Help: "Memory charged to the block cache."},
			func() float64 { return float64(bytes()) }))
	}
	return m
}
