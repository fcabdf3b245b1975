package bench

import (
	"context"
	"time"
)

// pacer yields the intended send times of one producer: its k-th record is due at start + k × interval, whatever happened before.
type pacer struct {
	start    time.Time
	interval time.Duration // 0 = as fast as possible
	next     int64
}

func newPacer(start time.Time, rate float64, phase float64) *pacer {
	p := &pacer{start: start}
	if rate > 0 {
		p.interval = time.Duration(float64(time.Second) / rate)
		p.start = start.Add(time.Duration(phase * float64(p.interval)))
	}
	return p
}

// take waits until the next record is due and returns its intended time; false when ctx has ended.
func (p *pacer) take(ctx context.Context) (time.Time, bool) {
	if p.interval == 0 {
		return time.Now(), ctx.Err() == nil
	}
	due := p.start.Add(time.Duration(p.next) * p.interval)
	p.next++
	for {
		if ctx.Err() != nil {
			return due, false
		}
		wait := time.Until(due)
		if wait <= 0 {
			return due, true
		}
		sleep(min(wait, 100*time.Millisecond))
	}
}
