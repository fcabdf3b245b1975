package compact

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"sluice/base"
)

// TestScenarios runs loads as they occur through planner and model, a round every five minutes, and asserts what rewriting costs and what remains. Sizes
// are a 64th of real ones.
func TestScenarios(t *testing.T) {
	const minute = 60_000
	lim := Limits{MaxObject: 1 << 20, SOBytes: 128 << 10, SplitBytes: 16 << 10, SplitAgeMS: 120 * minute, JobBytes: 128 << 20, Sources: 64, IndexBytes: 32 << 20}
	rng := rand.New(rand.NewPCG(1, 2))
	for _, s := range []struct {
		name          string
		minutes       int
		bytes         func(minute int) map[base.StreamID]int64
		amplification float64 // bytes written per byte that was uploaded, at most
		ranges        float64 // per stream, at most, in the end
		perObject     int64   // bytes of an object on average, at least
	}{
		{"two busy streams", 24 * 60, uniform(2, 500_000), 1, 1440, 400_000},
		{"many slow streams", 9 * 60, uniform(1000, 100), 5, 16, 20_000},
		{"many idle streams", 24 * 60, func(m int) map[base.StreamID]int64 { return uniform(1, 1+rng.Int64N(200))(m) }, 12, 8, 10_000},
		{"a trickle over many", 24 * 60, func(int) map[base.StreamID]int64 { return map[base.StreamID]int64{base.StreamID(rng.IntN(500)): 500} }, 5, 4, 50_000},
		{"very unequal streams", 12 * 60, func(int) map[base.StreamID]int64 {
			m := map[base.StreamID]int64{}
			for id := range 100 {
				m[base.StreamID(id)] = 1 + int64(200_000/((id+1)*(id+1)))
			}
			return m
		}, 3, 16, 300_000},
		{"bursts and trickles", 24 * 60, func(m int) map[base.StreamID]int64 {
			if m%30 == 0 {
				return uniform(5, 200_000)(m)
			}
			return uniform(5, 300)(m)
		}, 3, 40, 300_000},
	} {
		t.Run(s.name, func(t *testing.T) {
			w := newWorld(lim)
			for m := range s.minutes {
				w.nowMS += minute
				w.upload(s.bytes(m), lim.SOBytes)
				if m%5 == 4 {
					w.settle(t)
				}
			}
			ranges := 0
			for _, l := range w.streams {
				ranges += len(l)
			}
			objects := len(w.view().Objects)
			amplification, perStream := float64(w.written)/float64(w.ingested), float64(ranges)/float64(len(w.streams))
			result := fmt.Sprintf("%d bytes in %d objects and %d ranges (%.1f per stream); %.2f bytes written and %.1f puts per object's worth of bytes",
				w.ingested, objects, ranges, perStream, amplification, float64(w.puts)/(float64(w.ingested)/float64(lim.MaxObject)))
			t.Log(result)
			if amplification > s.amplification || perStream > s.ranges || w.ingested/int64(objects) < s.perObject {
				t.Error(result)
			}
			w.bounds(t)
		})
	}
}

func uniform(streams int, bytes int64) func(int) map[base.StreamID]int64 {
	return func(int) map[base.StreamID]int64 {
		m := map[base.StreamID]int64{}
		for id := range streams {
			m[base.StreamID(id)] = bytes
		}
		return m
	}
}
