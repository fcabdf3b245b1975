package share

import (
	"slices"
	"time"

	"sluice/base"
	"sluice/wire/kerr"
)

// AckType says what a member did with a record, with the numbers of the protocol.
type AckType int8

const (
	AckGap     AckType = 0 // there is no record at this offset
	AckAccept  AckType = 1
	AckRelease AckType = 2
	AckReject  AckType = 3
	AckRenew   AckType = 4 // the member goes on; its lock begins anew
)

// ackBatch acknowledges the records from first to last: types has one entry for each, or one for all.
type ackBatch struct {
	first, last base.Offset
	types       []AckType
}

// acquired is a run of records that a member has been given.
type acquired struct {
	first, last base.Offset
	count       int16 // deliveries, this one included
}

// span is a run of records that are in the same state.
type span struct {
	first, last base.Offset
	state       DeliveryState
	count       int16 // deliveries that have begun
	lot         lot   // with which it was handed out first

	member string    // whose it is, while acquired
	until  time.Time // end of the lock, while acquired

	// A change of state takes effect when it is durable. Until then the span can neither be acquired nor acknowledged.
	phase   phase
	to      DeliveryState
	toCount int16
	// forced changes are nobody's who could be told that they failed; they are tried again.
	forced bool

	cause   cause // of what is being given up
	burying bool  // its dead letter is being written
}

type phase uint8

const (
	settled phase = iota // no change of state
	queued               // goes into the next write
	written              // is in the write under way
)

// free reports whether the span may be given to a member.
func (s *span) free() bool { return s.state == Available && s.phase == settled }

// ends reports whether the span is done, or will be once what is queued is durable.
func (s *span) ends() bool { return s.state.final() || s.phase != settled && s.to.final() }

func (s *span) len() int { return int(s.last - s.first + 1) }

func (s *span) change(to DeliveryState, count int16, forced bool) {
	s.phase, s.to, s.toCount, s.forced = queued, to, count, forced
}

// giveUp archives records that were delivered, by way of the group's dead letters if it has any.
func (w *window) giveUp(s *span, why cause, forced bool) {
	if !w.buries {
		s.change(Archived, s.count, forced)
		return
	}
	s.change(Archiving, s.count, forced)
	s.cause = why
}

// limits are the settings of a share group that a window goes by.
type limits struct {
	deliveryCount int16         // a record that was delivered so often is archived instead of made available again
	lock          time.Duration // for which a record is acquired
	records       int           // between start and end at which no more are taken in, but for the rest of a batch
	buries        bool          // the group has a topic for dead letters
}

// window is what is in flight of a share partition: the records between start, before which all are done, and end, from which on none has
// been handed out. See the package's invariants. It is pure: time is an argument, and what is to be made durable is handed out by nextWrite.
type window struct {
	limits
	start, end base.Offset
	spans      []span // ascending, without gaps, from start to end
	dirty      bool   // start is to be written
	full       bool   // a write failed, and nobody knows how much of it is durable: the next one holds everything
	writing    bool   // a write is under way
}

// newWindow makes the window of a state that was read. start is that of the state, or has been chosen for it.
func newWindow(l limits, s State, start base.Offset) *window {
	w := &window{limits: l, start: start, end: start, dirty: s.Start != start}
	for _, b := range merge(nil, s.Batches, start) {
		w.extend(b.First - 1)
		w.spans = append(w.spans, span{first: b.First, last: b.Last, state: b.State, count: b.DeliveryCount, lot: lot{b.First, b.Last}})
		w.end = b.Last + 1
	}
	w.advance()
	return w
}

// extend takes records in, up to last.
func (w *window) extend(last base.Offset) {
	if last >= w.end {
		w.spans = append(w.spans, span{first: w.end, last: last})
		w.end = last + 1
	}
}

// find returns the index of the span that holds an offset, or of the first behind it.
func (w *window) find(at base.Offset) int {
	i, _ := slices.BinarySearchFunc(w.spans, at, func(s span, at base.Offset) int {
		switch {
		case s.last < at:
			return -1
		case s.first > at:
			return 1
		}
		return 0
	})
	return i
}

// split has a span begin at an offset, if the offset is in the window, and returns its index.
func (w *window) split(at base.Offset) int {
	i := w.find(at)
	if i == len(w.spans) || w.spans[i].first >= at {
		return i
	}
	head := w.spans[i]
	head.last = at - 1
	w.spans[i].first = at
	w.spans = slices.Insert(w.spans, i, head)
	return i + 1
}

// cut has spans begin at first and end at last, and returns those between. The slice is good until the next change.
func (w *window) cut(first, last base.Offset) []span {
	w.split(first)
	j := w.split(last + 1)
	return w.spans[w.find(first):j]
}

// join makes one span of neighbours that are alike.
func (w *window) join() {
	out := w.spans[:0]
	for _, s := range w.spans {
		if n := len(out); n > 0 && out[n-1].alike(&s) {
			out[n-1].last = s.last
			continue
		}
		out = append(out, s)
	}
	clear(w.spans[len(out):])
	w.spans = out
}

func (s *span) alike(o *span) bool {
	a, b := *s, *o
	a.first, a.last, b.first, b.last = 0, 0, 0, 0
	return a == b
}

// next is the first offset that may be handed out: of what has come back, or behind the window. It is false if the window is full.
func (w *window) next() (base.Offset, bool) {
	for i := range w.spans {
		if w.spans[i].free() {
			return w.spans[i].first, true
		}
	}
	return w.end, int(w.end-w.start) < w.records
}

// skip gives up records that are not there, or that nobody is to see. The range may begin in the window or at its end.
func (w *window) skip(r base.OffsetRange) {
	first, last := max(r.Start, w.start), r.End-1
	if first > last || first > w.end {
		return
	}
	w.extend(last)
	cut := w.cut(first, last)
	for i := range cut {
		if s := &cut[i]; s.free() {
			s.change(Archived, s.count, true)
		}
	}
	w.join()
}

// acknowledge takes in what a member did. The change takes effect when it is durable; queued says that there is something to write. On an error
// nothing changes.
func (w *window) acknowledge(now time.Time, member string, batches []ackBatch) (queued bool, code kerr.Code) {
	for _, b := range batches {
		if code := w.mayAcknowledge(member, b); code != kerr.None {
			return false, code
		}
	}
	for _, b := range batches {
		for i := 0; i < len(b.types); {
			n, first, last := 1, b.first+base.Offset(i), b.last
			if len(b.types) > 1 {
				for i+n < len(b.types) && b.types[i+n] == b.types[i] {
					n++
				}
				last = first + base.Offset(n) - 1
			}
			if w.settle(now, max(first, w.start), last, b.types[i]) {
				queued = true
			}
			i += n
		}
	}
	w.join()
	return queued, kerr.None
}

func (w *window) mayAcknowledge(member string, b ackBatch) kerr.Code {
	if b.last >= w.end {
		return kerr.InvalidRequest
	}
	for i := w.find(max(b.first, w.start)); i < len(w.spans) && w.spans[i].first <= b.last; i++ {
		if s := &w.spans[i]; s.state != Acquired || s.phase != settled || s.member != member {
			return kerr.InvalidRecordState
		}
	}
	return kerr.None
}

// settle applies one type of acknowledgement to acquired records. It reports whether something is to be written.
func (w *window) settle(now time.Time, first, last base.Offset, t AckType) bool {
	if first > last {
		return false // below the start: done already
	}
	cut := w.cut(first, last)
	for i := range cut {
		s := &cut[i]
		switch {
		case t == AckRenew:
			s.until = now.Add(w.lock)
		case t == AckAccept:
			s.change(Acknowledged, s.count, false)
		case t == AckGap:
			s.change(Archived, s.count, false)
		case t == AckReject:
			w.giveUp(s, rejected, false)
		case s.count < w.deliveryCount:
			s.change(Available, s.count, false)
		default:
			w.giveUp(s, tooOften, false)
		}
	}
	return t != AckRenew
}

// release gives back what a member has acquired, whose session is over. These deliveries count.
func (w *window) release(member string) {
	for i := range w.spans {
		if s := &w.spans[i]; s.state == Acquired && s.phase == settled && s.member == member {
			w.giveBack(s)
		}
	}
	w.join()
}

// giveBack ends a lock without an acknowledgement.
func (w *window) giveBack(s *span) {
	if s.count < w.deliveryCount {
		s.change(Available, s.count, true)
	} else {
		w.giveUp(s, tooOften, true)
	}
}

// expire ends the locks whose time is over.
func (w *window) expire(now time.Time) {
	for i := range w.spans {
		if s := &w.spans[i]; s.state == Acquired && s.phase == settled && !s.until.After(now) {
			w.giveBack(s)
		}
	}
	w.join()
}

// deadline is when the next lock ends, false if there is none.
func (w *window) deadline() (at time.Time, ok bool) {
	for i := range w.spans {
		if s := &w.spans[i]; s.state == Acquired && s.phase == settled && (!ok || s.until.Before(at)) {
			at, ok = s.until, true
		}
	}
	return at, ok
}

// holds reports whether a member has acquired anything.
func (w *window) holds(member string) bool {
	return slices.ContainsFunc(w.spans, func(s span) bool { return s.state == Acquired && s.member == member })
}

// trim forgets records that are deleted, whatever state they are in.
func (w *window) trim(logStart base.Offset) {
	if logStart <= w.start {
		return
	}
	i := w.split(logStart)
	clear(w.spans[:i])
	w.spans = w.spans[i:]
	w.start, w.end, w.dirty = logStart, max(w.end, logStart), true
}

// advance moves start past what is done.
func (w *window) advance() {
	i := 0
	for i < len(w.spans) && w.spans[i].state.final() && w.spans[i].phase == settled {
		w.start = w.spans[i].last + 1
		i++
	}
	clear(w.spans[:i])
	w.spans = w.spans[i:]
}

// nextWrite returns what is to be made durable, false if there is nothing or if a write is under way. Its start lies behind all that will
// be done with it. wrote must follow.
func (w *window) nextWrite() (out Write, ok bool) {
	if w.writing || !w.dirty && !slices.ContainsFunc(w.spans, func(s span) bool { return s.phase == queued }) {
		return Write{}, false
	}
	w.writing, w.dirty = true, false
	out.Start = w.start
	for i := range w.spans {
		s := &w.spans[i]
		if s.first == out.Start && s.ends() {
			out.Start = s.last + 1
		}
		if s.phase == queued {
			s.phase = written
		}
		if s.first < out.Start {
			continue
		}
		if s.ends() {
			out.Complete += int32(s.len())
		}
		if s.phase == written || w.full {
			out.Batches = append(out.Batches, s.stored())
		}
	}
	w.full = false
	out.Batches = merge(nil, out.Batches, out.Start)
	return out, true
}

// stored is what a write says of a span: a delivery under way has not happened.
func (s *span) stored() StateBatch {
	switch {
	case s.phase == written:
		return StateBatch{s.first, s.last, s.to, s.toCount}
	case s.state == Acquired:
		return StateBatch{s.first, s.last, Available, s.count - 1}
	}
	return StateBatch{s.first, s.last, s.state, s.count}
}

// wrote says what became of the write under way.
func (w *window) wrote(ok bool) {
	w.writing = false
	w.dirty, w.full = w.dirty || !ok, w.full || !ok
	for i := range w.spans {
		s := &w.spans[i]
		switch {
		case s.phase != written:
		case ok:
			s.state, s.count = s.to, s.toCount
			if s.state.final() {
				s.lot = lot{}
			}
			s.settled()
			s.member, s.until = "", time.Time{}
		case s.forced:
			s.phase = queued
		default:
			s.settled() // acquired still, until its lock ends
			s.cause = unknownCause
		}
	}
	w.advance()
	w.join()
}

func (s *span) settled() { s.phase, s.to, s.toCount, s.forced = settled, 0, 0, false }
