package compact

import (
	"math"
	"time"
)

// ingest measures how many bytes a second come in, over some minutes: what compaction has to keep up with.
type ingest struct {
	total  func() int64 // bytes so far
	factor float64      // of the rate is needed

	rate  float64 // bytes per second
	last  int64   // total at the time below
	at    time.Time
	known bool // rate is of at least one interval
}

const (
	ingestEvery = 10 * time.Second // between looks at the total
	ingestOver  = 5 * time.Minute  // that much time ago counts 1/e
)

// need returns the bytes per second that compaction needs at present.
func (g *ingest) need(now time.Time) float64 {
	if g == nil {
		return 0
	}
	if g.at.IsZero() {
		g.at, g.last = now, g.total()
	}
	if passed := now.Sub(g.at); passed >= ingestEvery {
		total := g.total()
		seen := float64(total-g.last) / passed.Seconds()
		keep := math.Exp(-passed.Seconds() / ingestOver.Seconds())
		if !g.known {
			keep = 0
		}
		g.rate, g.last, g.at, g.known = g.rate*keep+seen*(1-keep), total, now, true
	}
	return g.factor * g.rate
}
