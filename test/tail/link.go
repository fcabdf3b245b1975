package main

import (
	"context"
	"sync"
	"time"

	"sluice/base"
	"sluice/storage/objstore"
)

// link is a store at the other end of a network of so many bytes per second: what GETs answer comes one after the other.
type link struct {
	objstore.Store
	bytesPerSecond float64

	mu   sync.Mutex
	free time.Time // when what has been asked for has come
}

// Get implements objstore.Store.
func (l *link) Get(ctx context.Context, key string, off, n int64, dst []byte) ([]byte, error) {
	b, err := l.Store.Get(ctx, key, off, n, dst)
	if err != nil {
		return b, err
	}
	select {
	case <-time.After(time.Until(l.reserve(len(b) - len(dst)))):
		return b, nil
	case <-ctx.Done():
		return dst, base.Wrap(base.Unavailable, ctx.Err())
	}
}

// reserve returns when the last of so many bytes has come.
func (l *link) reserve(bytes int) time.Time {
	l.mu.Lock()
	defer l.mu.Unlock()
	if now := time.Now(); l.free.Before(now) {
		l.free = now
	}
	l.free = l.free.Add(time.Duration(float64(bytes) / l.bytesPerSecond * float64(time.Second)))
	return l.free
}
