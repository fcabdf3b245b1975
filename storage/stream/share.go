package stream

import (
	"slices"
	"sync"
	"sync/atomic"

	"sluice/storage/cache"
)

// share is what the engines of one broker have in common, one engine for each of its WALs: the block cache, the windows of readers, the object
// ids prepared ahead, the metrics, and the memory of the WAL caches.
//
// An engine may use all of that memory but for a part that the others need to get on at all (see limit), so one whose uploads hang does
// not stop the others. What is committed and still cached goes where most of it is.
type share struct {
	walBytes int64 // memory of all WAL caches,
	total    int64 // and of the block cache with it
	upload   int64 // Options.UploadBytes
	blocks   *cache.Blocks
	ahead    *aheadBudget
	metrics  *metrics
	reserve  reserve
	engines  atomic.Pointer[[]*Engine]
	mu       sync.Mutex // held while engines changes
}

// leastShare is the part of the memory of WAL caches that is kept for each of n engines: one of leastShare·n parts.
const leastShare = 4

func newShare(opt Options) *share {
	s := &share{walBytes: opt.WALCacheBytes, total: opt.WALCacheBytes + opt.BlockCacheBytes, upload: opt.UploadBytes, metrics: newMetrics(opt.Registerer)}
	s.ahead = newAheadBudget(func() int64 { return (opt.BlockCacheBytes + max(0, s.lentToBlocks())) / 4 * aheadShare })
	s.blocks = cache.NewBlocks(cache.Options{Cluster: opt.Cluster, Store: opt.Store, Pool: opt.Pool, Bytes: opt.BlockCacheBytes, Pause: opt.pauseMin / 2, Registerer: opt.Registerer,
		Lent: s.lentToBlocks, OnGrow: s.evict})
	s.engines.Store(&[]*Engine{})
	s.registerGauges(opt.Registerer)
	return s
}

func (s *share) all() []*Engine { return *s.engines.Load() }

// change replaces the list of engines, and returns how many there are then.
func (s *share) change(f func([]*Engine) []*Engine) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	next := f(slices.Clone(s.all()))
	s.engines.Store(&next)
	for _, e := range next {
		e.up.limitMemory(s.upload / int64(len(next)))
	}
	return len(next)
}

func (s *share) join(e *Engine) {
	s.change(func(all []*Engine) []*Engine { return append(all, e) })
}

// leave takes an engine out that has been abandoned. With the last one the block cache goes.
func (s *share) leave(e *Engine) {
	left := s.change(func(all []*Engine) []*Engine {
		return slices.DeleteFunc(all, func(o *Engine) bool { return o == e })
	})
	if left == 0 {
		s.blocks.Close()
		return
	}
	s.wake()
}

// limit is how much of the memory of WAL caches e may use just now.
func (s *share) limit(e *Engine) int64 {
	all := s.all()
	left := s.walBytes
	for _, o := range all {
		if o != e {
			left -= max(o.pressing(), s.walBytes/int64(leastShare*len(all)))
		}
	}
	return left
}

// pressing is the memory of the engine's WAL cache that only a commit can free.
func (e *Engine) pressing() int64 { return e.underWay() + e.unuploaded.Load() }

// underWay is the memory of what was handed to the WAL and is not durable.
func (e *Engine) underWay() int64 {
	if e.halted.Load() != nil {
		return 0 // it was refused
	}
	return e.inflight.Load()
}

// held is all memory of the engine's WAL cache.
func (e *Engine) held() int64 { return e.wal.Bytes() + e.underWay() }

// short reports whether the engines together have used up the memory of WAL caches.
func (s *share) short(bytes int64) bool {
	for _, e := range s.all() {
		bytes += e.pressing()
	}
	return bytes > s.walBytes
}

// wake lets those in who wait for room, in any engine.
func (s *share) wake() {
	for _, e := range s.all() {
		e.gate.wake()
	}
}

// The WAL caches and the block cache have one budget. Each side has a part that is its own; what one does not use of its part is lent to the other, for
// nothing but what can be dropped at once: blocks that are committed, and blocks read from objects. Who lent it takes it back by
// using it. What is not committed stays within the part of the WAL caches (see limit): it could not be given back.

// lentToBlocks is what the block cache may use of the part of the WAL caches.
func (s *share) lentToBlocks() int64 { return s.walBytes - s.sum((*Engine).held) }

// lentToWAL is what the WAL caches may use of the part of the block cache.
func (s *share) lentToWAL() int64 { return max(0, s.total-s.walBytes-s.blocks.Bytes()) }

// evict drops the oldest blocks of whoever has most of them while the caches are above their budget, as far as they are uploaded and trimmed, and
// takes back what was lent.
func (s *share) evict() {
	s.evictWAL()
	if s.sum((*Engine).held)+s.blocks.Bytes() > s.total {
		s.blocks.Shrink()
	}
}

func (s *share) evictWAL() {
	for s.sum((*Engine).held) > s.walBytes+s.lentToWAL() {
		var most *Engine
		for _, e := range s.all() {
			if (most == nil || e.held() > most.held()) && e.evictable() {
				most = e
			}
		}
		if most == nil || !most.evictOne() {
			return
		}
	}
}

func (s *share) sum(f func(*Engine) int64) (n int64) {
	for _, e := range s.all() {
		n += f(e)
	}
	return n
}

func (e *Engine) evictable() bool {
	b := e.wal.Front()
	return b != nil && b.Pos < e.up.trimmed()
}

// evictOne drops the oldest block, if it is uploaded and trimmed.
func (e *Engine) evictOne() bool {
	e.evictMu.Lock()
	defer e.evictMu.Unlock()
	b := e.wal.Front()
	if b == nil || b.Pos >= e.up.trimmed() {
		return false
	}
	e.drop(b)
	return true
}
