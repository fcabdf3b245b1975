package coord

import "time"

// Writes are what a machine has yet to do for its appends under way, oldest first. The zero value is none.
type Writes struct{ queue []afterWrite }

type afterWrite struct {
	token Token
	then  func(now time.Time)
}

// Add has then called once an append is replayed. Tokens are added in the order in which [Effects.Append] gives them.
func (w *Writes) Add(t Token, then func(now time.Time)) {
	w.queue = append(w.queue, afterWrite{t, then})
}

// Applied does what was to be done after the oldest append; see [Machine.Applied].
func (w *Writes) Applied(now time.Time, t Token) {
	if len(w.queue) == 0 || w.queue[0].token != t {
		panic("BUG: appends applied out of order")
	}
	oldest := w.queue[0]
	w.queue[0] = afterWrite{}
	w.queue = w.queue[1:]
	oldest.then(now)
}
