package control

import (
	"errors"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"sluice/cluster/meta"
)

type metrics struct {
	commands      *prometheus.CounterVec
	slotSeconds   prometheus.Observer
	slotCommands  prometheus.Observer
	records       prometheus.Counter
	bytes         prometheus.Counter
	snapshots     *prometheus.CounterVec
	snapshotBytes prometheus.Gauge
	deleted       prometheus.Counter
	lost          prometheus.Counter
	position      prometheus.Gauge
	topics        prometheus.Gauge
	partitions    prometheus.Gauge
	objects       *prometheus.GaugeVec
	ranges        prometheus.Gauge
	rescues       prometheus.Gauge
	elections     prometheus.Counter
	silence       prometheus.Observer
	orphans       prometheus.Counter
	sweeps        *prometheus.CounterVec
	swept         *prometheus.CounterVec
}

func newMetrics(r prometheus.Registerer) *metrics {
	counter := func(name, help string) prometheus.Counter {
		return register(r, prometheus.NewCounter(prometheus.CounterOpts{Name: "sluice_control_" + name, Help: help}))
	}
	gauge := func(name, help string) prometheus.Gauge {
		return register(r, prometheus.NewGauge(prometheus.GaugeOpts{Name: "sluice_control_" + name, Help: help}))
	}
	histogram := func(name, help string, buckets []float64) prometheus.Histogram {
		return register(r, prometheus.NewHistogram(prometheus.HistogramOpts{Name: "sluice_control_" + name, Help: help, Buckets: buckets}))
	}
	vec := func(name, help string, labels ...string) *prometheus.CounterVec {
		return register(r, prometheus.NewCounterVec(prometheus.CounterOpts{Name: "sluice_control_" + name, Help: help}, labels))
	}
	return &metrics{
		commands:      vec("commands_total", "Commands decided, by type and outcome (accepted, or why rejected).", "command", "outcome"),
		slotSeconds:   histogram("slot_seconds", "Time from handing a slot to the metadata log until it was acknowledged.", prometheus.ExponentialBuckets(0.0005, 2, 16)),
		slotCommands:  histogram("slot_commands", "Commands answered by one slot of the metadata log.", prometheus.ExponentialBuckets(1, 2, 11)),
		records:       counter("records_total", "Metadata records appended."),
		bytes:         counter("bytes_total", "Bytes of metadata records appended."),
		snapshots:     vec("snapshots_total", "Metadata snapshots, by outcome.", "outcome"),
		snapshotBytes: gauge("snapshot_bytes", "Size of the last metadata snapshot."),
		deleted:       counter("objects_deleted_total", "Objects physically deleted."),
		lost:          counter("lost_total", "Times the controller's role was lost."),
		position:      gauge("position", "Records in the image."),
		topics:        gauge("topics", "Topics in the image."),
		partitions:    gauge("partitions", "Partitions in the image, those of deleted topics included until they are reaped."),
		objects: register(r, prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "sluice_control_objects", Help: "Objects in the image, by state."},
			[]string{"state"})),
		ranges:    gauge("ranges", "Ranges of streams in objects: what the image's memory goes with, and compaction merges."),
		elections: counter("elections_total", "Times this process became the controller."),
		silence:   histogram("fenced_silence_seconds", "How long a node had not been heard of when it was fenced: the part of a failover that detects.", prometheus.ExponentialBuckets(0.25, 1.5, 12)),
		orphans:   counter("adopted_partitions_total", "Partitions without a leader that were given to a node."),
		sweeps:    vec("sweeps_total", "Searches of the bucket for orphans, by outcome.", "outcome"),
		swept:     vec("swept_total", "Orphans removed, by what they were.", "what"),
		rescues:   gauge("rescues", "Fenced node epochs whose WAL still exists."),
	}
}

// register returns the collector registered under c's name, c itself if it is the first.
func register[C prometheus.Collector](r prometheus.Registerer, c C) C {
	if r == nil {
		return c
	}
	err := r.Register(c)
	var already prometheus.AlreadyRegisteredError
	if errors.As(err, &already) {
		return already.ExistingCollector.(C)
	}
	if err != nil {
		panic("BUG: control: " + err.Error())
	}
	return c
}

func (m *metrics) command(cmd meta.Command, err error) {
	outcome := "accepted"
	if err != nil {
		outcome = meta.CodeOf(err).String()
	}
	m.commands.WithLabelValues(meta.CommandName(cmd), outcome).Inc()
}

// slot is to be deferred around an append.
func (m *metrics) slot(commands, records, bytes int) func() {
	begun := time.Now()
	return func() {
		m.slotSeconds.Observe(time.Since(begun).Seconds())
		m.slotCommands.Observe(float64(commands))
		m.records.Add(float64(records))
		m.bytes.Add(float64(bytes))
	}
}

func (m *metrics) snapshot(size int64, err error) {
	if err != nil {
		m.snapshots.WithLabelValues("failed").Inc()
		return
	}
	m.snapshots.WithLabelValues("written").Inc()
	m.snapshotBytes.Set(float64(size))
}

func (m *metrics) observe(img *meta.Image) {
	m.position.Set(float64(img.Pos()))
	m.topics.Set(float64(img.TopicCount()))
	m.partitions.Set(float64(img.PartitionCount()))
	prepared, destroying := img.PreparedCount(), img.DestroyingCount()
	m.objects.WithLabelValues("prepared").Set(float64(prepared))
	m.objects.WithLabelValues("destroying").Set(float64(destroying))
	m.objects.WithLabelValues("committed").Set(float64(img.ObjectCount() - prepared - destroying))
	m.ranges.Set(float64(img.RangeCount()))
	m.rescues.Set(float64(img.RescueCount()))
}

// sweep counts a sweep.
func (m *metrics) sweep(s Swept, err error) {
	outcome := "ok"
	if err != nil {
		outcome = "failed"
	}
	m.sweeps.WithLabelValues(outcome).Inc()
	for what, n := range map[string]int{"object": s.Objects, "slot": s.Slots, "snapshot": s.Snapshots, "probe": s.Probes, "temporary": s.Temporary} {
		m.swept.WithLabelValues(what).Add(float64(n))
	}
}
