package cache

import (
	"context"

	"golang.org/x/sync/semaphore"
)

// Bounds of reading from the bucket.
const (
	foregroundGets = 32       // GETs at a time for which somebody waits
	prefetchGets   = 16       // GETs at a time for reading ahead
	indexBytes     = 64 << 10 // what reading an index counts as
)

// lane bounds the GETs of one kind that are under way: how many, and how many bytes their buffers have.
type lane struct {
	gets  *semaphore.Weighted
	bytes *semaphore.Weighted
	limit int64 // of bytes
}

// newLane makes a lane for so many GETs of at most so many bytes together; a larger one is alone.
func newLane(gets, bytes int64) *lane {
	bytes = max(bytes, 1)
	return &lane{gets: semaphore.NewWeighted(gets), bytes: semaphore.NewWeighted(bytes), limit: bytes}
}

// acquire waits for the lane, first come first served.
func (l *lane) acquire(ctx context.Context, bytes int64) error {
	if err := l.bytes.Acquire(ctx, min(bytes, l.limit)); err != nil {
		return err
	}
	if err := l.gets.Acquire(ctx, 1); err != nil {
		l.bytes.Release(min(bytes, l.limit))
		return err
	}
	return nil
}

func (l *lane) tryAcquire(bytes int64) bool {
	if !l.bytes.TryAcquire(min(bytes, l.limit)) {
		return false
	}
	if !l.gets.TryAcquire(1) {
		l.bytes.Release(min(bytes, l.limit))
		return false
	}
	return true
}

func (l *lane) release(bytes int64) {
	l.gets.Release(1)
	l.bytes.Release(min(bytes, l.limit))
}
