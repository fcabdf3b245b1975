package stream

import (
	"fmt"
	"sync"
	"sync/atomic"

	"sluice/base"
	"sluice/storage/cache"
	"sluice/storage/wal"
)

// StreamState says what the catalog knew when a stream was opened.
type StreamState struct {
	ID         base.StreamID
	Epoch      base.StreamEpoch
	Start, End base.Offset    // End is the committed end: where appending goes on
	Volume     base.NodeEpoch // names the volume it was opened on, for a Set
}

// AppendRecord is one record to append: a batch of Count consecutive offsets from Base.
type AppendRecord struct {
	Base         base.Offset
	Count        int32
	MaxTimestamp int64 // milliseconds, -1 if none
	Flags        uint8 // opaque to the engine; stored
	Data         []byte
}

// Stream is a stream that this node opened under one epoch. All methods but Append are safe for concurrent use.
//
// Its watermarks are start ≤ committed ≤ durable ≤ next (start may be above committed for a moment, while a trim beyond it is being
// uploaded and committed): records below committed are in objects, below durable in the WAL, below next handed to the WAL. Everything from
// committed to durable is in the WAL cache, and index lists it.
type Stream struct {
	e      *Engine
	id     base.StreamID
	epoch  base.StreamEpoch
	onDone func(error) // s.complete, made once

	start, committed, durable, next atomic.Int64 // offsets; durable changes under mu
	unuploaded                      atomic.Int64 // record bytes in [committed, durable)

	mu struct {
		sync.Mutex
		index    cache.Index
		detached bool

		refusal  error // why appends are refused; nil while open
		pending  pendingQueue
		flushing bool          // somebody completes refused appends
		drained  chan struct{} // closed when pending is empty; nil unless somebody waits
	}

	ahead readAhead
}

// pendingAppend is an append that has not been completed. err is set when it was refused and never reached the WAL.
type pendingAppend struct {
	done func(error)
	err  error
}

// pendingQueue is a FIFO that keeps its memory.
type pendingQueue struct {
	items []pendingAppend
	head  int
}

func (q *pendingQueue) len() int { return len(q.items) - q.head }

func (q *pendingQueue) push(p pendingAppend) {
	if q.head > 32 && q.head > len(q.items)/2 {
		n := copy(q.items, q.items[q.head:])
		clear(q.items[n:])
		q.items, q.head = q.items[:n], 0
	}
	q.items = append(q.items, p)
}

func (q *pendingQueue) front() *pendingAppend { return &q.items[q.head] }

func (q *pendingQueue) pop() {
	q.items[q.head] = pendingAppend{}
	if q.head++; q.head == len(q.items) {
		if cap(q.items) > 1024 {
			q.items = nil
		}
		q.items, q.head = q.items[:0], 0
	}
}

// ID names the stream.
func (s *Stream) ID() base.StreamID { return s.id }

// Engine returns the engine that the stream is attached to, which has the room for its appends.
func (s *Stream) Engine() *Engine { return s.e }

// Epoch is the epoch it was opened under.
func (s *Stream) Epoch() base.StreamEpoch { return s.epoch }

// Start is the first offset that may be read.
func (s *Stream) Start() base.Offset { return base.Offset(s.start.Load()) }

// Committed is the first offset that is not in committed objects, as far as this node knows.
func (s *Stream) Committed() base.Offset { return base.Offset(s.committed.Load()) }

// Durable is the first offset that is not durable.
func (s *Stream) Durable() base.Offset { return base.Offset(s.durable.Load()) }

// Next is the offset of the next append.
func (s *Stream) Next() base.Offset { return base.Offset(s.next.Load()) }

// Append hands a record to the WAL. r.Base must be Next; the caller serialises calls, and had the bytes admitted by Engine.Admit.
// r.Data is copied before Append returns. done is called exactly once, in the order of the calls, off the caller's locks: with nil when
// the record is durable and readable, with Fenced or Failed when the WAL is, with Closed when the stream no longer takes appends.
func (s *Stream) Append(r AppendRecord, done func(error)) {
	s.mu.Lock()
	if s.mu.refusal != nil {
		s.refuseLocked(done) // unlocks
		return
	}
	if int64(r.Base) != s.next.Load() || r.Count <= 0 {
		s.mu.Unlock()
		panic(fmt.Sprintf("BUG: stream %d: append of %d offsets at %d, next is %d", s.id, r.Count, r.Base, s.next.Load()))
	}
	s.next.Store(int64(r.Base) + int64(r.Count))
	s.mu.pending.push(pendingAppend{done: done})
	s.mu.Unlock()
	s.e.inflight.Add(int64(len(r.Data)))
	s.e.log.Append(wal.Record{Stream: s.id, Epoch: s.epoch, Base: r.Base, Count: r.Count, MaxTimestamp: r.MaxTimestamp, Flags: r.Flags, Data: r.Data}, s.onDone)
}

// refuseLocked queues a refused append behind those that are under way, so that completions keep their order. It unlocks mu.
func (s *Stream) refuseLocked(done func(error)) {
	s.mu.pending.push(pendingAppend{done: done, err: s.mu.refusal})
	alone := s.mu.pending.len() == 1 && !s.mu.flushing
	if alone {
		s.mu.flushing = true
	}
	s.mu.Unlock()
	if alone {
		go s.flushRefused()
	}
}

// complete is the WAL's completion of the oldest append that reached it. The entry stays in the queue until its callback has returned: a
// stream that is drained has no callback running.
func (s *Stream) complete(err error) {
	s.mu.Lock()
	p := *s.mu.pending.front()
	if p.done == nil || p.err != nil {
		panic("BUG: stream: the WAL completed an append it never got")
	}
	if err != nil && s.mu.refusal == nil {
		s.mu.refusal = err
	}
	s.mu.Unlock()
	p.done(err)

	s.mu.Lock()
	s.mu.pending.pop()
	refused := s.mu.pending.len() > 0 && s.mu.pending.front().err != nil && !s.mu.flushing
	if refused {
		s.mu.flushing = true
	}
	s.drainedLocked()
	s.mu.Unlock()
	if refused {
		s.flushRefused()
	}
}

// flushRefused completes refused appends at the head of the queue. One goroutine at a time does it: the one that set flushing.
func (s *Stream) flushRefused() {
	for {
		s.mu.Lock()
		if s.mu.pending.len() == 0 || s.mu.pending.front().err == nil {
			s.mu.flushing = false
			s.drainedLocked()
			s.mu.Unlock()
			return
		}
		p := *s.mu.pending.front()
		s.mu.Unlock()
		p.done(p.err)
		s.mu.Lock()
		s.mu.pending.pop()
		s.mu.Unlock()
	}
}

func (s *Stream) drainedLocked() {
	if s.mu.pending.len() == 0 && s.mu.drained != nil {
		close(s.mu.drained)
		s.mu.drained = nil
	}
}

// refuse makes the stream refuse appends from now on, for the first reason given.
func (s *Stream) refuse(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.mu.refusal == nil {
		s.mu.refusal = err
	}
}

// drain returns a channel that is closed when all appends have been completed.
func (s *Stream) drain() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.mu.drained == nil {
		s.mu.drained = make(chan struct{})
	}
	drained := s.mu.drained
	s.drainedLocked()
	return drained
}

// insertLocked enters a durable record into the index.
func (s *Stream) insertLocked(r *wal.Record, pos base.WALPos, i int) {
	if int64(r.Base) != s.durable.Load() {
		panic(fmt.Sprintf("BUG: stream %d: offset %d became durable after %d", s.id, r.Base, s.durable.Load()))
	}
	s.mu.index.Append(cache.Entry{Base: r.Base, MaxTimestamp: r.MaxTimestamp, Pos: pos, Record: int32(i), Count: r.Count})
	s.unuploaded.Add(int64(len(r.Data)))
	s.durable.Store(int64(r.Base) + int64(r.Count))
}

// Uncache has reads below an offset go to objects from now on, as far as they are committed, also where the WAL cache has the records: a key compaction
// has removed some, and a reader is not to see them for as long as the cache is large.
func (s *Stream) Uncache(below base.Offset) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mu.index.DropBelow(min(below, s.Committed()))
}

// detach takes the stream out of service: reads fail from now on.
func (s *Stream) detach(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mu.index = cache.Index{}
	s.mu.detached = true
	if s.mu.refusal == nil {
		s.mu.refusal = err
	}
}

// raise moves a watermark forward, never back.
func raise(w *atomic.Int64, to base.Offset) {
	for {
		old := w.Load()
		if int64(to) <= old || w.CompareAndSwap(old, int64(to)) {
			return
		}
	}
}
