package compact

import (
	"testing"
)

// BenchmarkPlan plans for a node that looks after a million ranges: 10,000 streams in a hundred uploads, of which nothing is worth a rewrite, or
// everything.
func BenchmarkPlan(b *testing.B) {
	for _, s := range []struct {
		name string
		lim  Limits
	}{
		{"everything", Limits{MaxObject: 64 << 20, SOBytes: 8 << 20, SplitBytes: 1 << 20, SplitAgeMS: 1 << 60, JobBytes: 8 << 30, Sources: 64, IndexBytes: 1 << 30}},
		{"nothing", Limits{MaxObject: 64 << 10, SOBytes: 8 << 20, SplitBytes: 1 << 20, SplitAgeMS: 1 << 60, JobBytes: 1, Sources: 8}},
	} {
		b.Run(s.name, func(b *testing.B) {
			w := newWorld(s.lim)
			for range 100 {
				w.upload(uniform(10_000, 1000)(0), 8<<20)
			}
			v := w.view()
			b.ReportAllocs()
			jobs := 0
			for b.Loop() {
				jobs = len(Plan(v, s.lim, 0, nil))
			}
			b.ReportMetric(float64(jobs), "jobs")
		})
	}
}
