package balance

import (
	"testing"
	"time"

	"sluice/base"
	"sluice/cluster/meta"
)

// large is a cluster of 100 brokers and 100,000 partitions in 1,000 topics; every broker lists its 100 busiest. With skew, ten of the brokers
// have just joined and lead nothing.
func large(b *testing.B, skew bool) (*meta.Image, Loads) {
	w := newWorld(b)
	var ids []base.NodeID
	for i := range 100 {
		ids = append(ids, w.join([]string{"z1", "z2", "z3"}[i%3]))
	}
	leaders := ids
	if skew {
		leaders = ids[:90]
	}
	d := w.img.Draft()
	for i := range 1000 {
		cmd := &meta.CreateTopics{Topics: []meta.NewTopic{{Name: name(i), Partitions: 100, ID: base.UUID{7, byte(i), byte(i >> 8)}}}}
		for j := range 100 {
			cmd.Topics[0].Leaders = append(cmd.Topics[0].Leaders, leaders[(i*37+j)%len(leaders)])
		}
		if _, _, err := d.Execute(cmd, 1); err != nil {
			b.Fatal(err)
		}
	}
	w.img = d.Image()
	w.openAll()
	loads := Loads{}
	for _, n := range ids {
		l := NodeLoad{CPU: 0.3, BytesIn: 50e6, BytesOut: 50e6, Requests: 5000}
		for p := range w.img.PartitionsLedBy(n) {
			if len(l.Partitions) < MaxPartitions {
				l.Partitions = append(l.Partitions, PartitionLoad{Partition: id(&p), BytesIn: 250e3, BytesOut: 250e3, Requests: 25})
			}
		}
		if len(l.Partitions) == 0 {
			l = NodeLoad{CPU: 0.01}
		}
		loads[n] = l
	}
	return w.img, loads
}

// BenchmarkPlan is one call of Plan, as the controller makes them every two seconds: of a cluster that is even, and of one with ten new brokers
// (a plan of 500 moves).
func BenchmarkPlan(b *testing.B) {
	for what, skew := range map[string]bool{"even": false, "ten new brokers": true} {
		b.Run(what, func(b *testing.B) {
			img, loads := large(b, skew)
			now := time.Unix(1_700_000_000, 0)
			moves := 0
			b.ReportAllocs()
			for b.Loop() {
				bal := NewBalancer(Options{})
				p := bal.Plan(img, loads, now)
				if moves = len(p.Moves); moves > 0 != skew {
					b.Fatal(p.String())
				}
			}
			b.ReportMetric(float64(moves), "moves")
		})
	}
	b.Run("even, the hundredth", func(b *testing.B) {
		img, loads := large(b, false)
		now := time.Unix(1_700_000_000, 0)
		bal := NewBalancer(Options{})
		b.ReportAllocs()
		for b.Loop() {
			now = now.Add(2 * time.Second)
			bal.Plan(img, loads, now)
		}
	})
}

// BenchmarkFailover is what a dead node of that cluster costs: finding its 1,000 partitions and spreading them.
func BenchmarkFailover(b *testing.B) {
	img, loads := large(b, false)
	w := &world{t: b, img: img, nodes: map[base.NodeID]meta.NodeRef{}}
	for n := range img.Nodes() {
		w.nodes[n.ID] = n.Ref()
	}
	w.closeAll(50)
	w.fence(50)
	b.ReportAllocs()
	for b.Loop() {
		o := Orphans(w.img)
		if got := Spread(w.img, loads, o); len(got) != 1000 {
			b.Fatal(len(got))
		}
	}
}

// BenchmarkOrphansOfHealthy is what Orphans costs as long as there are none.
func BenchmarkOrphansOfHealthy(b *testing.B) {
	img, _ := large(b, false)
	for b.Loop() {
		if Orphans(img) != nil {
			b.Fatal("orphans")
		}
	}
}
