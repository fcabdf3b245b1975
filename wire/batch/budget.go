package batch

import (
	"context"
	"runtime"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/semaphore"
)

// What is claimed of a budget for the output of a decompression that is not known yet: a multiple of the input, as long as that is little.
const (
	claimRatio    = 16
	claimBytesMin = 64 << 10
	claimSmall    = 1 << 20 // up to so much does not wait for what is larger
)

// Budget bounds the memory of decompressed records that exist at one time, wherever they come from. Who asks first gets first; what is small, and is usual, does
// not wait for what is large. A claim is held until the loop over the records ends, which must not wait for another claim of the same budget.
//
// What is large lies in one piece of memory, the arena, which is as large as the budget and is kept until nobody has used it for arenaIdle: outputs that are
// allocated one after the other make garbage as fast as clients like, and garbage is memory too until it is collected. It is not part of the heap where the system
// has other memory: with a heap beyond its limit the collector soon gives up keeping it there at all, and takes twice what lives.
type Budget struct {
	bytes int
	small *semaphore.Weighted

	mu      sync.Mutex
	arena   []byte // nil while nobody uses it
	used    []part // of the arena, in order
	waiting []*wish
	uses    int // how often somebody got a part
}

// Shared are the limits of whatever opens batches of clients: what they become in the whole process is the largest there may be at most, or 16 MiB for each
// processor, for no more can be done at once anyway.
var Shared = Limits{Budget: NewBudget(int64(max(DecompressedBytesMax, runtime.GOMAXPROCS(0)<<24)))}

// part is a part of the arena that is in use: [from, to).
type part struct{ from, to int }

// wish is for a part of n bytes; granted gets where it begins.
type wish struct {
	n       int
	granted chan int
}

// arenaIdle is for how long memory that nobody uses is kept.
const arenaIdle = 5 * time.Second

// NewBudget makes a budget of so many bytes for what is large, and a quarter of that for what is small. Who needs more than there is gets all of it.
func NewBudget(bytes int64) *Budget {
	bytes = max(bytes, claimSmall)
	return &Budget{bytes: int(bytes), small: semaphore.NewWeighted(max(bytes/4, claimSmall))}
}

// takeSmall waits for n bytes, at most claimSmall.
func (b *Budget) takeSmall(n int) (give func()) {
	if b.small.Acquire(context.Background(), int64(n)) != nil {
		panic("BUG: batch: a claim that nobody ends has ended")
	}
	return func() { b.small.Release(int64(n)) }
}

// take waits for memory for n bytes. It belongs to the caller until he gives it back.
func (b *Budget) take(n int) (room []byte, give func()) {
	w := &wish{n: min(n, b.bytes), granted: make(chan int, 1)}
	b.mu.Lock()
	b.waiting = append(b.waiting, w)
	b.grantLocked()
	b.mu.Unlock()
	from := <-w.granted
	give = func() { b.give(from) }
	if n > b.bytes {
		return make([]byte, 0, n), give
	}
	return b.arena[from : from : from+n], give
}

// grantLocked fulfils the wishes that can be, in the order in which they came.
func (b *Budget) grantLocked() {
	for len(b.waiting) > 0 {
		w := b.waiting[0]
		i, from := b.gapLocked(w.n)
		if i < 0 {
			return
		}
		if b.uses++; b.arena == nil {
			b.arena = arenaOf(b.bytes)
		}
		b.used = slices.Insert(b.used, i, part{from, from + w.n})
		b.waiting = b.waiting[1:]
		w.granted <- from
	}
}

// gapLocked returns the first gap of n bytes, and how many parts lie before it; i is -1 if there is none.
func (b *Budget) gapLocked(n int) (i, from int) {
	for i, p := range b.used {
		if p.from-from >= n {
			return i, from
		}
		from = p.to
	}
	if b.bytes-from >= n {
		return len(b.used), from
	}
	return -1, 0
}

// give ends the use of the part that begins at from.
func (b *Budget) give(from int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	i := slices.IndexFunc(b.used, func(p part) bool { return p.from == from })
	b.used = slices.Delete(b.used, i, i+1)
	b.grantLocked()
	if uses := b.uses; len(b.used) == 0 {
		time.AfterFunc(arenaIdle, func() { b.dropArena(uses) })
	}
}

// dropArena drops the memory if nobody has used it since.
func (b *Budget) dropArena(uses int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.uses == uses && len(b.used) == 0 && b.arena != nil {
		freeArena(b.arena)
		b.arena = nil
	}
}

// claimed decompresses within a budget. What takes little is done at once; else its size is found out first, and claimed and allocated as a whole: a buffer that
// grows holds what it had beside what it gets.
func (b Batch) claimed(lim Limits) ([]byte, func(), error) {
	most, payload := lim.bytes(), b.Payload()
	if n := max(claimRatio*len(payload), claimBytesMin); n <= claimSmall {
		out, give, err := b.claimedSmall(lim.Budget, min(n, most))
		if err == nil || n >= most {
			return out, give, err
		}
	}
	n, err := decompressedBytes(payload, b.Codec(), most)
	if err != nil {
		return nil, nil, invalid(b.Codec(), err)
	}
	if n <= claimSmall {
		return b.claimedSmall(lim.Budget, n)
	}
	room, give := lim.Budget.take(n + 1) // one more, so that the end is seen without growing
	out, err := decompress(room, payload, b.Codec(), n)
	if err != nil {
		give()
		return nil, nil, invalid(b.Codec(), err)
	}
	return out, give, nil
}

// claimedSmall decompresses into at most n bytes.
func (b Batch) claimedSmall(budget *Budget, n int) ([]byte, func(), error) {
	give := budget.takeSmall(n)
	out, release, err := b.decompressed(Limits{Bytes: n})
	if err != nil {
		give()
		return nil, nil, err
	}
	return out, func() { release(); give() }, nil
}
