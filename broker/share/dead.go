package share

import "sluice/base"

// The dead letters of a share group (KIP-1191), as its window sees them. A record that was delivered and is given up goes two steps: it is made
// Archiving, durably; then its dead letter is written, and when that is durable, or can never be, the record is made Archived. What is found
// Archiving when a share partition is loaded has its letter written then, which may be once more: a letter is written at least once.

// cause says why a record is given up. It is not durable.
type cause uint8

const (
	unknownCause cause = iota
	rejected
	tooOften
)

// String is what Kafka says in the header of a dead letter.
func (c cause) String() string {
	if c == rejected {
		return "Offset rejected by client."
	}
	return "Offset delivery count exceeded the threshold."
}

// grave is a run of records whose dead letters are to be written.
type grave struct {
	first, last base.Offset
	count       int16
	cause       cause
}

// graveMax bounds the records of a run.
const graveMax = 1000

// nextGrave returns the next run that is to be buried, false if there is none. buried must follow.
func (w *window) nextGrave() (g grave, ok bool) {
	for i := range w.spans {
		s := &w.spans[i]
		if s.state != Archiving || s.phase != settled || s.burying {
			continue
		}
		if s.len() > graveMax {
			w.split(s.first + graveMax)
			s = &w.spans[i]
		}
		s.burying = true
		g = grave{s.first, s.last, s.count, s.cause}
		if g.cause == unknownCause { // it was lost with the leader that knew it
			if g.cause = rejected; g.count >= w.deliveryCount {
				g.cause = tooOften
			}
		}
		return g, true
	}
	return g, false
}

// buried archives a run whose dead letters are durable, or can never be.
func (w *window) buried(g grave) {
	cut := w.cut(g.first, g.last)
	for i := range cut {
		if s := &cut[i]; s.state == Archiving && s.burying {
			s.change(Archived, s.count, true)
			s.cause, s.burying = unknownCause, false
		}
	}
	w.join()
}
