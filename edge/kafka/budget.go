package kafka

import (
	"context"

	"golang.org/x/sync/semaphore"
)

// budget bounds the bytes of frames that are being received or processed. Whoever asks first gets first.
type budget struct {
	bytes int64
	free  *semaphore.Weighted
}

func newBudget(bytes int64) budget {
	bytes = max(bytes, 1)
	return budget{bytes, semaphore.NewWeighted(bytes)}
}

// take waits until n bytes are free, or all of them for a frame that is larger, and returns how many it took.
func (b budget) take(ctx context.Context, n int) (int64, error) {
	charge := min(int64(n), b.bytes)
	return charge, b.free.Acquire(ctx, charge)
}

func (b budget) give(charge int64) { b.free.Release(charge) }
