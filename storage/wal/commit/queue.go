package commit

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"sluice/base"
	"sluice/base/slab"
	"sluice/storage/wal/block"
)

// spareBatches bounds the batches that are kept for reuse: one open, one full, some in flight.
const spareBatches = 16

// Queue gathers appends into blocks; see the package's documentation.
type Queue struct {
	opt     Options
	durable atomic.Uint64
	pending atomic.Int64 // bytes of blocks that are not delivered, as they will be padded
	mu      struct {
		sync.Mutex
		open   *Batch   // takes appends; nil when there is nothing to write
		full   []*Batch // closed, not taken
		flight []*Batch // taken, in order; the head is the next to be delivered
		active int      // of flight: not finished
		bytes  int      // in open and full
		next   base.WALPos
		hint   int // records of the last block
		spare  []*Batch

		arena     *slab.Buf // open blocks are cut from arena.B[arenaAt:]
		arenaAt   int
		nextArena *slab.Buf // got ahead, so that Append need not

		turn      bool // a writer is between taking and sealing its block
		idle      int  // writers that wait
		wakeBytes int  // wake one of them when so many bytes wait
		filled    bool // a block became full that no writer was told of
		called    bool // a writer was woken and has not looked yet
		granted   bool // the pace has let a block go that no writer has taken yet
		timer     *time.Timer
		due       time.Time // when the timer fires; zero: not set

		err      error // sticky
		closing  bool
		rejected []rejection
		exited   bool // nobody delivers any more
	}
	prev    uint32        // CRC of the block sealed last; belongs to who has the turn
	gap     error         // not nil: a block was not delivered, so no later one may be; belongs to the deliverer
	givenUp chan struct{} // closed by the first GiveUp
	giveUp  sync.Once
	writers sync.Cond // waits for: a block to be ready, the turn, the end
	ready   sync.Cond // the deliverer waits for the head of flight, or rejections
	done    chan struct{}
}

type rejection struct {
	done func(error)
	err  error
}

// NewQueue returns an empty queue whose first block is at position 0, and starts its deliverer.
func NewQueue(opt Options) *Queue {
	if opt.ArenaBytes < opt.BlockBytes || opt.BlockBytes < block.Align || opt.MaxRecordBytes < 1 || opt.Pool == nil || opt.Pace == nil {
		panic("BUG: wal: options of a queue that contradict each other")
	}
	q := &Queue{opt: opt, done: make(chan struct{}), givenUp: make(chan struct{})}
	q.mu.wakeBytes = Never
	q.writers.L, q.ready.L = &q.mu, &q.mu
	go q.deliver()
	return q
}

// Append adds r to the log, see block.Log.
func (q *Queue) Append(r block.Record, done func(error)) {
	if r.Count < 1 || r.Base < 0 || done == nil {
		panic("BUG: wal: record without offsets, or without a done function")
	}
	sum := block.Sum(r.Data)
	q.mu.Lock()
	if err := q.refuseLocked(len(r.Data)); err != nil {
		q.rejectLocked(done, err)
		q.mu.Unlock()
		return
	}
	b := q.openForLocked(len(r.Data))
	before := block.Pad(sizeOf(b.data, len(b.records)))
	if len(b.records) == 0 {
		before = 0
	}
	dst := b.reserve(&r, sum, done)
	q.mu.bytes += len(dst) + block.EntryBytes
	q.pending.Add(int64(block.Pad(sizeOf(b.data, len(b.records))) - before))
	small := len(dst) <= copyLockedBytes
	if small {
		copy(dst, r.Data)
	} else {
		b.copying.Add(1)
	}
	if b.full() {
		q.closeOpenLocked()
		q.mu.filled = true
	}
	wake := q.wakeLocked()
	q.mu.Unlock()
	if !small {
		copy(dst, r.Data)
		b.endCopy()
	}
	if wake {
		q.writers.Signal()
	}
}

func (q *Queue) refuseLocked(n int) error {
	switch {
	case q.mu.err != nil:
		return q.mu.err
	case q.mu.closing:
		return errClosed()
	case n > q.opt.MaxRecordBytes:
		return base.Errorf(base.Invalid, "record of %d bytes is larger than this WAL takes, %d bytes", n, q.opt.MaxRecordBytes)
	}
	return nil
}

func errClosed() error { return base.Errorf(base.Closed, "the WAL is closed") }

// wakeLocked reports whether the caller is to signal a writer, and makes sure that nobody else does for the same bytes.
func (q *Queue) wakeLocked() bool {
	filled := q.mu.filled
	q.mu.filled = false
	if q.mu.idle == 0 || q.mu.turn || q.mu.called || q.mu.bytes < q.mu.wakeBytes && !filled {
		return false // who has the turn looks again when it ends
	}
	q.mu.wakeBytes, q.mu.called = Never, true
	return true
}

// arenaRest is the part of a full block that the rest of an arena must have for another block to begin in it. A block ends where its arena does, so in what a
// full block leaves over there would be room for a record or two, and the next write would be of those.
const arenaRest = 8

// openForLocked returns a block that has room for n bytes.
func (q *Queue) openForLocked(n int) *Batch {
	if b := q.mu.open; b != nil {
		if b.fits(n) {
			return b
		}
		q.closeOpenLocked()
		q.mu.filled = true
	}
	b := q.newBatchLocked()
	need := max(block.Pad(sizeOf(n, 1)), q.opt.BlockBytes/arenaRest)
	if q.mu.arena == nil || len(q.mu.arena.B)-q.mu.arenaAt < need {
		b.waste = q.switchArenaLocked(need)
	}
	b.buf, b.mem = q.mu.arena, q.mu.arena.B[q.mu.arenaAt:]
	b.limit = min(q.opt.BlockBytes, len(b.mem))
	b.pos = q.mu.next
	q.mu.next++
	q.mu.bytes += block.HeaderBytes
	q.mu.open = b
	return b
}

func (q *Queue) newBatchLocked() *Batch {
	var b *Batch
	if n := len(q.mu.spare); n > 0 {
		b, q.mu.spare = q.mu.spare[n-1], q.mu.spare[:n-1]
	} else {
		b = &Batch{copied: make(chan struct{}, 1)}
	}
	b.copying.Store(1)
	b.records = make([]block.Record, 0, max(q.mu.hint+q.mu.hint/8, 1))
	return b
}

// switchArenaLocked replaces the arena by one with at least need bytes, and returns how many bytes of the old one are lost.
func (q *Queue) switchArenaLocked(need int) (waste int) {
	if old := q.mu.arena; old != nil {
		waste = len(old.B) - q.mu.arenaAt
		old.Release()
	}
	q.mu.arena, q.mu.arenaAt = q.mu.nextArena, 0
	q.mu.nextArena = nil
	if q.mu.arena != nil && len(q.mu.arena.B) < need {
		q.mu.arena.Release()
		q.mu.arena = nil
	}
	if q.mu.arena == nil {
		q.mu.arena = q.opt.Pool.Get(max(need, q.opt.ArenaBytes))
	}
	return waste
}

// closeOpenLocked ends the open block: it gets no more records.
func (q *Queue) closeOpenLocked() {
	b := q.mu.open
	b.size = sizeOf(b.data, len(b.records))
	q.mu.hint = len(b.records)
	q.mu.arenaAt += block.Pad(b.size)
	b.buf.Retain(1)
	q.mu.open = nil
	q.mu.full = append(q.mu.full, b)
}

// Durable returns the position of the first block that is not delivered.
func (q *Queue) Durable() base.WALPos { return base.WALPos(q.durable.Load()) }

// Pending returns the bytes, as they will be padded, of the blocks that are not delivered.
func (q *Queue) Pending() int64 { return q.pending.Load() }

// Stalled returns how long ago the oldest block that is being written was taken; 0 when none is.
func (q *Queue) Stalled() time.Duration {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, b := range q.mu.flight {
		if !b.finished {
			return now().Sub(b.taken)
		}
	}
	return 0
}

// Err returns the sticky error, or nil.
func (q *Queue) Err() error {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.mu.err
}

// Fail makes the log fail for good, unless it has already: what is pending and every later append gets err.
func (q *Queue) Fail(err error) {
	q.mu.Lock()
	first := q.failLocked(err)
	q.mu.Unlock()
	q.announce(first, err)
}

// GiveUp is Fail for when a write, or Confirm, hangs: what is pending does not wait for it any more. Blocks that are being written get the error at
// once, whatever becomes of them; their memory is kept until their writes end.
func (q *Queue) GiveUp(err error) {
	q.mu.Lock()
	first := q.failLocked(err)
	for _, b := range q.mu.flight {
		if !b.finished {
			b.finished, b.lost, b.err = true, true, q.mu.err
			b.buf.Retain(1) // for the write
			q.mu.active--
		}
	}
	q.ready.Signal()
	q.mu.Unlock()
	q.giveUp.Do(func() { close(q.givenUp) })
	q.announce(first, err)
}

func (q *Queue) failLocked(err error) (first bool) {
	if q.mu.err != nil || q.mu.exited {
		return false
	}
	q.mu.err = err
	q.writers.Broadcast()
	q.ready.Signal()
	return true
}

func (q *Queue) announce(first bool, err error) {
	if !first || base.IsKind(err, base.Closed) {
		return
	}
	q.opt.Metrics.failed()
	if q.opt.OnFailed != nil {
		go q.opt.OnFailed(err)
	}
}

// Close refuses further appends and waits until everything appended was delivered or has failed. When ctx ends first, what is
// still pending fails with Closed, whether or not its writes have ended, and the error is Unavailable.
func (q *Queue) Close(ctx context.Context) error {
	q.mu.Lock()
	q.mu.closing = true
	q.writers.Broadcast()
	q.ready.Signal()
	q.mu.Unlock()
	select {
	case <-q.done:
		return nil
	case <-ctx.Done():
		q.GiveUp(errClosed())
		return base.Errorf(base.Unavailable, "close WAL: %w", context.Cause(ctx))
	}
}

// Done is closed when the deliverer has ended: nothing is pending and nothing will be.
func (q *Queue) Done() <-chan struct{} { return q.done }
