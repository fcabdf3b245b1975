package partition

import "github.com/prometheus/client_golang/prometheus"

// Metrics are the counters of all partitions of a node.
type Metrics struct {
	appendedBatches, appendedRecords, appendedBytes prometheus.Counter
	duplicates, recompressed, snapshots             prometheus.Counter
	refused                                         *prometheus.CounterVec
	unreadable                                      prometheus.Counter

	reports reports
}

// NewMetrics registers the counters with r; nil registers nothing.
func NewMetrics(r prometheus.Registerer) *Metrics {
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Name: "sluice_partition_" + name, Help: help})
	}
	m := &Metrics{
		appendedBatches: counter("append_batches_total", "Record batches appended."),
		appendedRecords: counter("append_records_total", "Records appended."),
		appendedBytes:   counter("append_bytes_total", "Bytes of record batches appended."),
		duplicates:      counter("duplicates_total", "Batches that were retries of one of the producer's last five."),
		recompressed:    counter("recompressed_total", "Batches re-encoded because of compression.type."),
		snapshots:       counter("producer_snapshots_total", "Producer snapshots appended to meta streams."),
		unreadable:      counter("unreadable_total", "Reads that failed because committed records are lost or damaged; the log says which."),
		refused:         prometheus.NewCounterVec(prometheus.CounterOpts{Name: "sluice_partition_refused_total", Help: "Batches refused, by Kafka error."}, []string{"error"}),
	}
	if r != nil {
		r.MustRegister(m.appendedBatches, m.appendedRecords, m.appendedBytes, m.duplicates, m.recompressed, m.snapshots, m.refused, m.unreadable)
	}
	return m
}
