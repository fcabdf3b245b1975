package stream

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"sluice/base"
	"sluice/storage/cache"
	"sluice/storage/wal"
)

// Engine is the storage engine of one node epoch: one WAL, the streams whose epochs are bound to it, and the uploads that take its
// content to the bucket.
//
// A record's way: Append → the WAL's open block → OnBlock (durable: in the WAL cache and its stream's index) → an upload freezes the block →
// objects are put → the commit moves the trim → the block may be evicted. Blocks go through these steps in WAL order, always; that
// alone makes the trim the end of a contiguous committed prefix.
type Engine struct {
	opt    Options
	log    wal.Log
	ctx    context.Context // ends with the engine
	cancel context.CancelFunc
	tasks  sync.WaitGroup

	*share     // with the engines of the broker's other WALs
	wal        *cache.WAL
	inflight   atomic.Int64 // record bytes handed to the WAL that are not durable
	unuploaded atomic.Int64 // charge of the blocks from the trim on
	coldWaits  atomic.Int64 // readers that wait for the bucket
	gate       gate
	up         uploadQueue
	evictMu    sync.Mutex
	blockMu    sync.Mutex // held while a block is taken over
	stopped    bool       // under blockMu: blocks that become durable are no longer wanted
	failOnce   sync.Once
	halted     atomic.Pointer[error] // why the WAL takes nothing any more; see Halt

	streams struct {
		sync.RWMutex
		byID map[base.StreamID]*Stream
	}
}

// New returns an engine for a WAL that is empty: that of a new node epoch. Start must be called before anything else.
func New(opt Options) *Engine {
	opt = opt.withDefaults()
	return newEngine(opt, newShare(opt))
}

// Beside returns an engine for another WAL of the same broker, which node names and of which catalog is. It shares memory, metrics and
// everything else in its options with e, which has not been abandoned.
func (e *Engine) Beside(node NodeRef, catalog Catalog) *Engine {
	opt := e.opt
	opt.Node, opt.Catalog = node, catalog
	return newEngine(opt, e.share)
}

func newEngine(opt Options, s *share) *Engine {
	e := &Engine{opt: opt, share: s, wal: cache.NewWAL(0)}
	e.ctx, e.cancel = context.WithCancel(context.Background())
	e.streams.byID = map[base.StreamID]*Stream{}
	e.up.init()
	s.join(e)
	return e
}

// Busy reports whether somebody waits for the bucket: producers for room, readers for blocks, or uploads that fall behind. What can wait, should.
func (e *Engine) Busy() bool {
	return e.coldWaits.Load() > 0 || e.gate.waiting() > 0 || e.sum((*Engine).pressing) > e.walBytes*2/3
}

// Start gives the engine its WAL, whose OnBlock is e.OnBlock, OnRoom e.OnRoom and OnFull e.OnFull, and starts uploading.
func (e *Engine) Start(log wal.Log) {
	e.log, e.gate.room = log, e.room
	e.up.limitLog(log.Capacity() / 3)
	e.tasks.Add(2)
	go e.uploadLoop()
	go e.trimLoop()
}

// Attach begins to serve a stream that the catalog has opened for this node. An earlier epoch of the stream must have been closed.
func (e *Engine) Attach(st StreamState) *Stream {
	if st.Start > st.End || st.Start < 0 {
		panic("BUG: stream: attached with start behind end")
	}
	s := e.newStream(st)
	e.streams.Lock()
	old := e.streams.byID[st.ID]
	e.streams.byID[st.ID] = s
	e.streams.Unlock()
	if old != nil {
		if old.epoch >= st.Epoch {
			panic("BUG: stream: attached twice under one epoch")
		}
		old.detach(base.Errorf(base.Fenced, "stream %d was opened again under epoch %d", st.ID, st.Epoch))
	}
	if err := e.refusal(); err != nil {
		s.refuse(err)
	}
	return s
}

func (e *Engine) newStream(st StreamState) *Stream {
	s := &Stream{e: e, id: st.ID, epoch: st.Epoch}
	s.onDone = s.complete
	s.start.Store(int64(st.Start))
	for _, w := range []*atomic.Int64{&s.committed, &s.durable, &s.next} {
		w.Store(int64(st.End))
	}
	return s
}

// Stream returns an attached stream, nil if there is none.
func (e *Engine) Stream(id base.StreamID) *Stream {
	e.streams.RLock()
	defer e.streams.RUnlock()
	return e.streams.byID[id]
}

func (e *Engine) streamCount() int {
	e.streams.RLock()
	defer e.streams.RUnlock()
	return len(e.streams.byID)
}

// OnBlock takes over a block that became durable. The WAL calls it in order, before it completes the block's appends.
func (e *Engine) OnBlock(b *wal.Block) {
	e.blockMu.Lock()
	defer e.blockMu.Unlock()
	if e.stopped {
		b.Release()
		return
	}
	charge := cache.Charge(b)
	e.unuploaded.Add(charge)
	e.wal.Push(b)
	e.inflight.Add(-e.index(b))
	e.up.add(b.Pos, charge, int64(b.Bytes+4095)&^4095)
	e.evict()
}

// OnRoom is told by the WAL that it holds less.
func (e *Engine) OnRoom() { e.wake() }

// OnFull is told by the WAL that it waits for room, which only an upload can make.
func (e *Engine) OnFull() {
	_, next := e.wal.Range()
	e.up.request(next)
}

// index enters the block's records into their streams and returns their bytes. Runs of one stream take its lock once.
func (e *Engine) index(b *wal.Block) (bytes int64) {
	e.streams.RLock()
	defer e.streams.RUnlock()
	var s *Stream
	for i := range b.Records {
		r := &b.Records[i]
		bytes += int64(len(r.Data))
		if s == nil || s.id != r.Stream || s.epoch != r.Epoch {
			if s != nil {
				s.mu.Unlock()
			}
			if s = e.streams.byID[r.Stream]; s == nil || s.epoch != r.Epoch {
				s = nil
				continue
			}
			s.mu.Lock()
		}
		s.insertLocked(r, b.Pos, i)
	}
	if s != nil {
		s.mu.Unlock()
	}
	return bytes
}

// drop takes the oldest block out of the indexes, then out of the cache.
func (e *Engine) drop(b *wal.Block) {
	e.streams.RLock()
	var last *Stream
	for i := range b.Records {
		s := e.streams.byID[b.Records[i].Stream]
		if s == nil || s == last {
			continue
		}
		last = s
		s.mu.Lock()
		s.mu.index.DropThrough(b.Pos)
		s.mu.Unlock()
	}
	e.streams.RUnlock()
	e.wal.PopFront(b)
}

// Flush uploads everything that is durable now and returns when it is committed.
func (e *Engine) Flush(ctx context.Context) error {
	_, next := e.wal.Range()
	return e.flushTo(ctx, next)
}

// flushTo has the blocks below pos uploaded now, and waits until they are committed.
func (e *Engine) flushTo(ctx context.Context, pos base.WALPos) error {
	e.up.request(pos)
	for {
		trim, changed, err := e.up.state()
		switch {
		case trim >= pos:
			return nil
		case err != nil:
			return err
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return base.Errorf(base.Unavailable, "upload up to WAL position %d, now at %d: %w", pos, trim, ctx.Err())
		}
	}
}

// fail ends the engine's role for good: nothing can be committed any more. Reads of what is in memory or in objects go on.
func (e *Engine) fail(err error) {
	e.failOnce.Do(func() {
		e.opt.Logger.Error("the engine can commit no more", "node", e.opt.Node, "err", err)
		e.stop(err)
		go e.opt.OnFailed(err)
	})
}

// stop makes appends, admissions and uploads fail with err.
func (e *Engine) stop(err error) {
	e.up.fail(err)
	e.gate.fail(err)
	e.streams.RLock()
	defer e.streams.RUnlock()
	for _, s := range e.streams.byID {
		s.refuse(err)
	}
}

func (e *Engine) failure() error {
	_, _, err := e.up.state()
	return err
}

// Close uploads what is durable, as far as ctx allows, then ends the engine: the goroutines, the caches, all reads. It does not close
// streams (see CloseAll) nor the WAL. The error is that of the last upload; the engine is closed in any case.
func (e *Engine) Close(ctx context.Context) error {
	e.gate.fail(base.Errorf(base.Closed, "the engine is closed"))
	err := e.flushAll(ctx)
	e.Abandon()
	return err
}

// flushAll is Flush until nothing becomes durable meanwhile.
func (e *Engine) flushAll(ctx context.Context) error {
	for {
		if err := e.Flush(ctx); err != nil {
			return err
		}
		if _, next := e.wal.Range(); next == e.up.trimmed() {
			return nil
		}
	}
}

// Abandon ends the engine at once, as a crash would: nothing more is uploaded. What is in the WAL has to be rescued.
func (e *Engine) Abandon() {
	e.blockMu.Lock()
	again := e.stopped
	e.stopped = true
	e.blockMu.Unlock()
	if again {
		return
	}
	e.stop(base.Errorf(base.Closed, "the engine is closed"))
	e.cancel()
	e.tasks.Wait()
	e.up.wait()
	e.leave(e)
	e.streams.Lock()
	old := e.streams.byID
	e.streams.byID = map[base.StreamID]*Stream{}
	e.streams.Unlock()
	for _, s := range old {
		s.detach(base.Errorf(base.Closed, "the engine is closed"))
	}
	e.evictMu.Lock()
	defer e.evictMu.Unlock()
	for b := e.wal.Front(); b != nil; b = e.wal.Front() {
		e.wal.PopFront(b)
	}
}

// Lag says how far the bucket is behind the WAL: the bytes of memory that blocks take which are not committed, and since when the oldest of
// them is durable; zero if there is none.
func (e *Engine) Lag() (bytes int64, since time.Time) { return e.unuploaded.Load(), e.up.oldest() }

// Node names the volume: the node's id, and the epoch of the WAL.
func (e *Engine) Node() NodeRef { return e.opt.Node }

// trimLoop lets the WAL recycle what is committed. It is apart from the uploads because a WAL on a network mount may hang.
func (e *Engine) trimLoop() {
	defer e.tasks.Done()
	done := base.WALPos(0)
	for {
		trim, changed, _ := e.up.state()
		if trim > done {
			if err := e.log.Trim(e.ctx, trim); err == nil {
				done = trim
				e.OnRoom()
				continue
			} else if e.ctx.Err() == nil {
				e.opt.Logger.Warn("WAL trim failed; will be repeated", "position", trim, "err", err)
			}
			changed = nil
		}
		var retry <-chan time.Time
		if trim > done {
			retry = time.After(time.Second)
		}
		select {
		case <-changed:
		case <-retry:
		case <-e.ctx.Done():
			return
		}
	}
}
