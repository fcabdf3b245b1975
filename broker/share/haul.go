package share

import (
	"time"

	"sluice/base"
)

// lot is a run of records that were handed out together for the first time, or that were read as one from what is durable; the zero lot is none.
type lot struct{ first, last base.Offset }

func (l lot) len() int { return int(l.last - l.first + 1) }

// haul is a fetch that takes records from a window. One bad record has its whole lot come back, and would have it given up: so what was delivered
// often is handed out in smaller and smaller parts, apart from everything else, and alone the last time.
type haul struct {
	now          time.Time
	member       string
	max, size    int // records, at most; of a run that holds several batches
	strict       bool
	got          []acquired
	total        int
	last         base.Offset // of the batches looked at
	ended        bool
	lot          lot // being taken from
	taken        int // of this lot
	slow         bool
	part         int // of this lot, at most; 0: not known yet
	deliveryMax  int16
	deliverySlow int16 // from this count of deliveries on a lot is slow
}

// newHaul begins a fetch. Records count as delivered often from half of what is allowed on, rounded up.
func (w *window) newHaul(now time.Time, member string, maxRecords, size int, strict bool) *haul {
	return &haul{now: now, member: member, max: maxRecords, size: size, strict: strict, deliveryMax: w.deliveryCount, deliverySlow: max(2, (w.deliveryCount+1)/2)}
}

// acquire locks records for a member: those of the batches read, in their order, that may be handed out. It stops when maxRecords are reached;
// unless strict, a batch that was begun is taken whole. A run longer than size is cut where batches end.
func (w *window) acquire(now time.Time, member string, batches []base.OffsetRange, maxRecords, size int, strict bool) []acquired {
	return w.takeIn(now, member, contents{visible: batches}, maxRecords, size, strict)
}

// takeIn locks records of what was read, as acquire does, and gives up what lies between them and nobody is to see.
func (w *window) takeIn(now time.Time, member string, in contents, maxRecords, size int, strict bool) []acquired {
	h := w.newHaul(now, member, maxRecords, size, strict)
	defer w.join()
	defer w.mark(h)
	hidden := in.hidden
	for _, b := range in.visible {
		for len(hidden) > 0 && hidden[0].Start < b.Start {
			w.skip(hidden[0])
			hidden = hidden[1:]
		}
		if h.ended || h.total >= h.max {
			return h.got
		}
		w.takeBatch(h, b)
	}
	for _, r := range hidden {
		w.skip(r)
	}
	return h.got
}

// takeBatch takes what may be handed out of a batch.
func (w *window) takeBatch(h *haul, b base.OffsetRange) {
	first, last := max(b.Start, w.start), b.End-1
	if first > w.end || int(w.end-w.start) >= w.records {
		last = min(last, w.end-1)
	}
	w.extend(last)
	if first > last {
		return
	}
	h.last = last
	for i := w.split(first); i < len(w.spans) && w.spans[i].first <= last && (h.total < h.max || !h.strict); i++ {
		if !w.spans[i].free() {
			continue
		}
		if w.spans[i].count >= w.deliveryCount { // the limit was lowered
			w.split(last + 1)
			w.giveUp(&w.spans[i], tooOften, true)
			continue
		}
		n := min(w.spans[i].last, last) - w.spans[i].first + 1
		if n = min(n, base.Offset(w.room(h, &w.spans[i]))); n <= 0 {
			h.ended = true
			return
		}
		if h.strict {
			n = min(n, base.Offset(h.max-h.total))
		}
		w.split(w.spans[i].first + n)
		s := &w.spans[i]
		s.state, s.member, s.until = Acquired, h.member, h.now.Add(w.lock)
		s.count++
		h.took(acquired{s.first, s.last, s.count}, b.Start)
	}
}

// room is how many records of a span that is free may be taken now.
func (w *window) room(h *haul, s *span) int {
	if s.lot != h.lot {
		if h.slow && h.taken > 0 {
			return 0
		}
		h.lot, h.taken, h.part, h.slow = s.lot, 0, 0, w.isSlow(s.lot, h.deliverySlow)
	}
	if !h.slow {
		return s.len()
	}
	if h.total > h.taken { // of other lots
		return 0
	}
	if h.part == 0 && s.count >= h.deliverySlow {
		h.part = max(1, s.lot.len()>>(s.count-h.deliverySlow+1))
	}
	switch {
	case h.deliveryMax > 2 && s.count == h.deliveryMax-1 && h.taken > 0:
		return 0
	case h.deliveryMax > 2 && s.count == h.deliveryMax-1:
		h.part = 1
	case h.part == 0:
		return s.len()
	}
	return h.part - h.taken
}

// isSlow reports whether a lot holds a record that is free and was delivered so often.
func (w *window) isSlow(l lot, count int16) bool {
	if l == (lot{}) {
		return false
	}
	for i := w.find(l.first); i < len(w.spans) && w.spans[i].first <= l.last; i++ {
		if s := &w.spans[i]; s.lot == l && s.free() && s.count >= count {
			return true
		}
	}
	return false
}

func (h *haul) took(a acquired, batch base.Offset) {
	n := int(a.last - a.first + 1)
	h.total += n
	h.taken += n
	h.got = appendAcquired(h.got, a, batch, h.size)
}

// mark makes a lot of each run that was handed out for the first time. Where a batch was cut, the rest of it belongs to the last one.
func (w *window) mark(h *haul) {
	for n, a := range h.got {
		if a.count > 1 {
			continue
		}
		l := lot{a.first, a.last}
		if h.strict && n == len(h.got)-1 {
			l.last = max(l.last, h.last)
		}
		cut := w.cut(l.first, l.last)
		for i := range cut {
			if s := &cut[i]; s.lot == (lot{}) && !s.ends() {
				s.lot = l
			}
		}
	}
}

// appendAcquired adds a run to the last one, if it goes on with it and the two together are not longer than size, or are of one batch.
func appendAcquired(got []acquired, a acquired, batch base.Offset, size int) []acquired {
	if n := len(got); n > 0 {
		p := &got[n-1]
		if p.last+1 == a.first && p.count == a.count && (a.first > batch || int(a.last-p.first+1) <= size) {
			p.last = a.last
			return got
		}
	}
	return append(got, a)
}
