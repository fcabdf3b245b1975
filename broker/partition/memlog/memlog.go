// Package memlog is a stream in memory for tests of what stands on streams: appends become durable when the test says so, reads
// can be made cold, and everything can be made to fail.
//
// Invariants: completions run in the order of the appends of all logs of one WAL, off all locks, on the goroutine that calls
// Complete or Fail (or on that of Auto). What is not durable is never read.
package memlog

import (
	"context"
	"fmt"
	"sync"

	"sluice/base"
	"sluice/storage/stream"
)

// WAL orders the appends of its logs. The zero value is ready to use.
type WAL struct {
	mu      sync.Mutex
	pending []pending
	failed  error
	pump    chan struct{} // not nil: Auto
	done    chan struct{}
	runs    sync.Mutex // held while completions run
}

type pending struct {
	log  *Log
	end  base.Offset
	done func(error)
}

// Log is one stream.
type Log struct {
	wal *WAL

	mu                   sync.Mutex
	recs                 []stream.AppendRecord
	start, next, durable base.Offset
	cold                 base.Offset // below it reads are cold
	gate                 chan struct{}
	readErr              error
}

// New makes an empty log that starts at offset start.
func (w *WAL) New(start base.Offset) *Log {
	return &Log{wal: w, start: start, next: start, durable: start}
}

// Auto completes appends from now on, on a goroutine that stop ends.
func (w *WAL) Auto() (stop func()) {
	w.mu.Lock()
	w.pump, w.done = make(chan struct{}, 1), make(chan struct{})
	pump, done := w.pump, w.done
	w.mu.Unlock()
	quit := make(chan struct{})
	go func() {
		defer close(done)
		for {
			select {
			case <-pump:
				w.Complete(1 << 30)
			case <-quit:
				return
			}
		}
	}()
	return func() { close(quit); <-done }
}

func (w *WAL) add(p pending) {
	w.mu.Lock()
	w.pending = append(w.pending, p)
	pump := w.pump
	w.mu.Unlock()
	if pump != nil {
		select {
		case pump <- struct{}{}:
		default:
		}
	}
}

// Pending returns how many appends are not completed.
func (w *WAL) Pending() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.pending)
}

// Complete makes the oldest n appends durable (or fails them, after Fail).
func (w *WAL) Complete(n int) {
	w.runs.Lock()
	defer w.runs.Unlock()
	for range n {
		w.mu.Lock()
		if len(w.pending) == 0 {
			w.mu.Unlock()
			return
		}
		p, err := w.pending[0], w.failed
		w.pending = w.pending[1:]
		w.mu.Unlock()
		if err == nil {
			p.log.mu.Lock()
			p.log.durable = p.end
			p.log.mu.Unlock()
		}
		p.done(err)
	}
}

// Fail fails everything that is not durable, and every later append.
func (w *WAL) Fail(err error) {
	w.mu.Lock()
	w.failed = err
	w.mu.Unlock()
	w.Complete(1 << 30)
}

// Crash returns what survives a crash of the WAL: logs with only what is durable, for a new WAL.
func (w *WAL) Crash(logs ...*Log) (*WAL, []*Log) {
	nw := &WAL{}
	var out []*Log
	for _, l := range logs {
		l.mu.Lock()
		n := nw.New(l.start)
		for _, r := range l.recs {
			if r.Base+base.Offset(r.Count) <= l.durable {
				n.recs = append(n.recs, r)
			}
		}
		n.next, n.durable = l.durable, l.durable
		l.mu.Unlock()
		out = append(out, n)
	}
	return nw, out
}

// Append implements partition.Log.
func (l *Log) Append(r stream.AppendRecord, done func(error)) {
	l.mu.Lock()
	if r.Base != l.next || r.Count <= 0 {
		panic(fmt.Sprintf("BUG: append of %d records at %d, next is %d", r.Count, r.Base, l.next))
	}
	r.Data = append([]byte(nil), r.Data...)
	l.recs = append(l.recs, r)
	l.next += base.Offset(r.Count)
	end := l.next
	l.mu.Unlock()
	l.wal.add(pending{l, end, done})
}

// Read implements partition.Log.
func (l *Log) Read(ctx context.Context, from, to base.Offset, maxBytes int, minOne bool) (*stream.Chunk, error) {
	l.mu.Lock()
	gate := l.gate
	l.mu.Unlock()
	if gate != nil {
		select {
		case <-gate:
		case <-ctx.Done():
			return nil, base.Wrap(base.Unavailable, ctx.Err())
		}
	}
	return l.read(from, to, maxBytes, minOne)
}

func (l *Log) read(from, to base.Offset, maxBytes int, minOne bool) (*stream.Chunk, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.readErr != nil {
		return nil, l.readErr
	}
	if from < l.start {
		return nil, base.Errorf(base.OutOfRange, "offset %d is below %d", from, l.start)
	}
	at, bytes := base.OffsetRange{Start: from, End: from}, 0
	var segments [][]byte
	to = min(to, l.durable)
	for _, r := range l.recs {
		end := r.Base + base.Offset(r.Count)
		if end <= from || r.Base >= to {
			continue
		}
		if end > to || bytes+len(r.Data) > maxBytes && (bytes > 0 || !minOne) {
			break
		}
		if bytes == 0 {
			at.Start = r.Base
		}
		segments = append(segments, r.Data)
		bytes += len(r.Data)
		at.End = end
	}
	return stream.StaticChunk(at, segments), nil
}

// TryReadCached implements partition.Log.
func (l *Log) TryReadCached(from, to base.Offset, maxBytes int, minOne bool) (*stream.Chunk, bool, error) {
	l.mu.Lock()
	cold := from < l.cold
	l.mu.Unlock()
	if cold {
		return nil, false, nil
	}
	c, err := l.read(from, to, maxBytes, minOne)
	return c, err == nil, err
}

// FindTimestamp implements partition.Log; a range is one record.
func (l *Log) FindTimestamp(_ context.Context, ts int64, from, to base.Offset) (base.OffsetRange, bool, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, r := range l.recs {
		end := r.Base + base.Offset(r.Count)
		if end > from && r.Base < to && r.MaxTimestamp >= ts {
			return base.OffsetRange{Start: r.Base, End: end}, true, nil
		}
	}
	return base.OffsetRange{}, false, nil
}

// MaxTimestamp implements partition.Log; a range is one record.
func (l *Log) MaxTimestamp(_ context.Context, from, to base.Offset) (at base.OffsetRange, ts int64, ok bool, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, r := range l.recs {
		end := r.Base + base.Offset(r.Count)
		if end > from && r.Base < to && (!ok || r.MaxTimestamp > ts) {
			at, ts, ok = base.OffsetRange{Start: r.Base, End: end}, r.MaxTimestamp, true
		}
	}
	return at, ts, ok, nil
}

// Uncache does nothing: Compact removes at once.
func (l *Log) Uncache(base.Offset) {}

// Trim implements partition.Log.
func (l *Log) Trim(_ context.Context, start base.Offset) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if start > l.durable {
		return base.Errorf(base.OutOfRange, "trim to %d, durable is %d", start, l.durable)
	}
	l.start = max(l.start, start)
	return nil
}

// Close does nothing.
func (l *Log) Close(context.Context) error { return nil }

// Start implements partition.Log.
func (l *Log) Start() base.Offset {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.start
}

// Next implements partition.Log.
func (l *Log) Next() base.Offset {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.next
}

// SetCold makes reads below offset at cold, and Read wait until gate is closed (nil: not at all).
func (l *Log) SetCold(at base.Offset, gate chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.cold, l.gate = at, gate
}

// SetReadError makes all reads fail; nil ends that.
func (l *Log) SetReadError(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.readErr = err
}

// Records returns what was appended and is durable.
func (l *Log) Records() (out []stream.AppendRecord) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, r := range l.recs {
		if r.Base+base.Offset(r.Count) <= l.durable {
			out = append(out, r)
		}
	}
	return out
}

// Compact puts, in place of each durable record, what keep returns, as a key compaction would; nil leaves a gap of offsets.
func (l *Log) Compact(keep func(stream.AppendRecord) *stream.AppendRecord) {
	l.mu.Lock()
	defer l.mu.Unlock()
	var recs []stream.AppendRecord
	for _, r := range l.recs {
		if r.Base+base.Offset(r.Count) > l.durable {
			recs = append(recs, r)
		} else if k := keep(r); k != nil {
			recs = append(recs, *k)
		}
	}
	l.recs = recs
}

// Durable returns the end of what is durable.
func (l *Log) Durable() base.Offset {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.durable
}
