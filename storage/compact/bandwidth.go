package compact

import (
	"context"
	"sync"
	"time"

	"sluice/base"
)

// Bandwidth is a budget of bytes per second for reads and writes together, shared by all that hold it. Requests larger than what has been saved up
// go into debt, which those after them wait for; so the average holds whatever the sizes are. A nil Bandwidth is no limit.
type Bandwidth struct {
	busy  func() bool
	least float64 // bytes per second

	mu struct {
		sync.Mutex
		bucket bucket
		ingest *ingest // nil: the budget is the least
	}
}

// busyFactor is how much more a byte costs while those who go first are busy: compaction goes on at an eighth of its rate, so that it is not
// starved by a consumer that catches up for a day.
const busyFactor = 8

// NewBandwidth returns a budget; 0 is no limit. While busy reports true it shrinks to an eighth; nil: never.
func NewBandwidth(bytesPerSecond int64, busy func() bool) *Bandwidth {
	if bytesPerSecond <= 0 {
		return nil
	}
	b := &Bandwidth{busy: busy, least: float64(bytesPerSecond)}
	b.mu.bucket.rate = b.least
	return b
}

// Follow raises the budget to factor times what comes in, when that is more: every byte is read and written a few times, and who cannot keep up with
// what comes in never will. uploaded says how many bytes have come in so far.
func (b *Bandwidth) Follow(uploaded func() int64, factor float64) {
	if b == nil || factor <= 0 {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.mu.ingest = &ingest{total: uploaded, factor: factor}
	b.mu.ingest.need(time.Now())
}

// Wait waits until n bytes may be transferred. The error is Closed when ctx ended.
func (b *Bandwidth) Wait(ctx context.Context, n int64) error {
	if ctx.Err() != nil {
		return base.Wrap(base.Closed, context.Cause(ctx))
	}
	if b == nil {
		return nil
	}
	cost := float64(n)
	if b.busy != nil && b.busy() {
		cost *= busyFactor
	}
	b.mu.Lock()
	now := time.Now()
	b.mu.bucket.rate = max(b.least, b.mu.ingest.need(now))
	pause := b.mu.bucket.take(cost, now)
	b.mu.Unlock()
	if pause <= 0 {
		return nil
	}
	t := time.NewTimer(pause)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return base.Wrap(base.Closed, context.Cause(ctx))
	}
}

// bucket is a token bucket that may go into debt. It holds one second's worth at most.
type bucket struct {
	rate, tokens float64 // bytes per second, bytes
	at           time.Time
}

// take takes cost tokens and returns how long to wait for those that were not there.
func (b *bucket) take(cost float64, now time.Time) time.Duration {
	if b.at.IsZero() {
		b.tokens = b.rate
	} else {
		b.tokens = min(b.rate, b.tokens+b.rate*now.Sub(b.at).Seconds())
	}
	b.at = now
	b.tokens -= cost
	return time.Duration(max(-b.tokens, 0) / b.rate * float64(time.Second))
}
