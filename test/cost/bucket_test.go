package cost

import (
	"bytes"
	"context"
	"io"
	"iter"
	"slices"
	"sort"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/klauspost/compress/s2"

	"sluice/base"
	"sluice/storage/objstore/conform"
	"sluice/storage/objstore/driver"
)

// bucket is a store in memory that takes as long as one in a region does, and keeps its objects compressed: what the load writes is mostly zeros, so that minutes of
// 50 MB/s fit.
type bucket struct {
	wait func(ctx context.Context, bytes int64) error // nil: none

	mu      sync.Mutex
	objects map[string]*object
	keys    []string // ascending
	reads   *reads   // nil: not watched
}

type object struct {
	size     int64
	blocks   [][]byte // compressed, of blockBytes each
	modified time.Time
}

const (
	blockBytes = 1 << 20
	firstByte  = 20 * time.Millisecond
	perMiB     = 10 * time.Millisecond // 100 MiB/s a connection
)

func newBucket() *bucket { return &bucket{wait: pause, objects: map[string]*object{}} }

func pause(ctx context.Context, bytes int64) error {
	t := time.NewTimer(firstByte + time.Duration(float64(perMiB)*float64(bytes)/(1<<20)))
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return base.Wrap(base.Unavailable, ctx.Err())
	}
}

func (b *bucket) begin(ctx context.Context, bytes int64, keys ...string) error {
	if err := ctx.Err(); err != nil {
		return base.Wrap(base.Unavailable, err)
	}
	for _, key := range keys {
		if err := driver.CheckKey(key); err != nil {
			return err
		}
	}
	if b.wait == nil {
		return nil
	}
	return b.wait(ctx, bytes)
}

func (b *bucket) Put(ctx context.Context, key string, body [][]byte, opt driver.PutOptions) error {
	o := &object{size: driver.BodySize(body), modified: time.Now()}
	if err := b.begin(ctx, o.size, key); err != nil {
		return err
	}
	parts := make([]io.Reader, len(body))
	for i := range body {
		parts[i] = bytes.NewReader(body[i])
	}
	whole, buf, packed := io.MultiReader(parts...), make([]byte, blockBytes), make([]byte, s2.MaxEncodedLen(blockBytes))
	for {
		n, err := io.ReadFull(whole, buf)
		if n > 0 {
			o.blocks = append(o.blocks, bytes.Clone(s2.Encode(packed, buf[:n]))) // what it allocates itself has room for what cannot be compressed
		}
		if err != nil {
			break
		}
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.objects[key] == nil {
		b.keys = slices.Insert(b.keys, sort.SearchStrings(b.keys, key), key)
	} else if opt.IfAbsent {
		return base.Errorf(base.Exists, "put %s: exists", key)
	}
	b.objects[key] = o
	return nil
}

func (b *bucket) find(key string) (*object, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if o := b.objects[key]; o != nil {
		return o, nil
	}
	return nil, base.Errorf(base.NotFound, "%s: no such object", key)
}

func (b *bucket) Get(ctx context.Context, key string, off, n int64, dst []byte) ([]byte, error) {
	if off < 0 {
		return dst, base.Errorf(base.Invalid, "get %s: negative offset", key)
	}
	if err := b.begin(ctx, max(n, 0), key); err != nil || n == 0 {
		return dst, err
	}
	o, err := b.find(key)
	if err != nil {
		return dst, err
	}
	if n < 0 {
		n = o.size - off
	}
	b.note(key, off, n, o.size)
	if off+n > o.size || n < 0 {
		return dst, base.Errorf(base.OutOfRange, "get %s: bytes [%d, %d) of %d", key, off, off+n, o.size)
	}
	out := dst
	for end := off + n; off < end; {
		plain, err := s2.Decode(nil, o.blocks[off/blockBytes])
		if err != nil {
			return dst, base.Wrap(base.Corrupt, err)
		}
		piece := plain[off%blockBytes : min(int64(len(plain)), off%blockBytes+end-off)]
		out, off = append(out, piece...), off+int64(len(piece))
	}
	return out, nil
}

func (b *bucket) Stat(ctx context.Context, key string) (driver.Info, error) {
	if err := b.begin(ctx, 0, key); err != nil {
		return driver.Info{}, err
	}
	o, err := b.find(key)
	if err != nil {
		return driver.Info{}, err
	}
	return driver.Info{Key: key, Size: o.size, Modified: o.modified}, nil
}

func (b *bucket) List(ctx context.Context, prefix, after string) iter.Seq2[driver.Info, error] {
	return func(yield func(driver.Info, error) bool) {
		if err := b.begin(ctx, 0); err != nil {
			yield(driver.Info{}, err)
			return
		}
		var found []driver.Info
		b.mu.Lock()
		for _, key := range b.keys[sort.SearchStrings(b.keys, max(prefix, after)):] {
			if !strings.HasPrefix(key, prefix) {
				break
			}
			if key > after {
				found = append(found, driver.Info{Key: key, Size: b.objects[key].size, Modified: b.objects[key].modified})
			}
		}
		b.mu.Unlock()
		for _, info := range found {
			if !yield(info, nil) {
				return
			}
		}
	}
}

func (b *bucket) Delete(ctx context.Context, keys ...string) error {
	if err := b.begin(ctx, 0, keys...); err != nil {
		return err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, key := range keys {
		if b.objects[key] != nil {
			delete(b.objects, key)
			at := sort.SearchStrings(b.keys, key)
			b.keys = slices.Delete(b.keys, at, at+1)
		}
	}
	return nil
}

func (b *bucket) String() string { return "mem://cost" }

// TestBucket: the store that the proofs stand on does what a store must.
func TestBucket(t *testing.T) {
	conform.RunWith(t, conform.Options{BigBytes: 5 << 20}, func(*testing.T) driver.Store {
		b := newBucket()
		b.wait = nil
		return b
	})
}
