package audit

import (
	"context"
	"sync"
	"time"
)

// limiter spreads reads evenly. It lends at most a second's worth. Nil: no limit.
type limiter struct {
	perSecond float64
	mu        sync.Mutex
	next      time.Time // when the reads that were let through are paid for
}

func newLimiter(bytesPerSecond int64) *limiter {
	if bytesPerSecond <= 0 {
		return nil
	}
	return &limiter{perSecond: float64(bytesPerSecond)}
}

// wait returns when n bytes may be read. The error is that of ctx.
func (l *limiter) wait(ctx context.Context, n int64) error {
	if l == nil {
		return ctx.Err()
	}
	l.mu.Lock()
	now := time.Now()
	if l.next.Before(now.Add(-time.Second)) {
		l.next = now.Add(-time.Second)
	}
	l.next = l.next.Add(time.Duration(float64(n) / l.perSecond * float64(time.Second)))
	pause := l.next.Sub(now)
	l.mu.Unlock()
	if pause <= 0 {
		return ctx.Err()
	}
	select {
	case <-time.After(pause):
		return ctx.Err()
	case <-ctx.Done():
		return ctx.Err()
	}
}
