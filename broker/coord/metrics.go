package coord

import "github.com/prometheus/client_golang/prometheus"

// Metrics of all shards of one kind of coordinator.
type Metrics struct {
	shards   *prometheus.GaugeVec
	appends  *prometheus.CounterVec
	refused  *prometheus.CounterVec
	records  prometheus.Counter
	loadTime prometheus.Histogram
}

// NewMetrics registers the metrics of a kind of coordinator ("group"); a nil registerer registers nothing.
func NewMetrics(r prometheus.Registerer, kind string) *Metrics {
	labels := prometheus.Labels{"coordinator": kind}
	m := &Metrics{
		shards: prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "sluice_coordinator_shards", ConstLabels: labels,
			Help: "Partitions this node coordinates, by state."}, []string{"state"}),
		appends: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "sluice_coordinator_appends_total", ConstLabels: labels,
			Help: "Batches appended by coordinators, by outcome."}, []string{"outcome"}),
		refused: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "sluice_coordinator_refused_total", ConstLabels: labels,
			Help: "Calls refused or ended by the coordinator's runtime, by Kafka error."}, []string{"error"}),
		records: prometheus.NewCounter(prometheus.CounterOpts{Name: "sluice_coordinator_replayed_records_total", ConstLabels: labels,
			Help: "Records replayed into coordinators, loading included."}),
		loadTime: prometheus.NewHistogram(prometheus.HistogramOpts{Name: "sluice_coordinator_load_seconds", ConstLabels: labels,
			Help: "Time to load a coordinator's partition.", Buckets: prometheus.ExponentialBuckets(0.001, 4, 9)}),
	}
	if r != nil {
		r.MustRegister(m.shards, m.appends, m.refused, m.records, m.loadTime)
	}
	return m
}
