package coord

import (
	"container/heap"
	"time"
)

// Deadlines orders the deadlines of a machine. A deadline that is moved later costs nothing: its old entry is found too early when it comes
// up and is queued again.
type Deadlines struct {
	queue entries
	seq   uint64
}

// Deadline is one timer. Fire is called when it has passed.
type Deadline struct {
	at, queued time.Time // at is the truth; queued is the earliest time at which an entry of the queue will look at it
	Fire       func(now time.Time)
}

type entry struct {
	at  time.Time
	seq uint64 // in order of arrival among equals
	d   *Deadline
}

// Set (re)starts d.
func (q *Deadlines) Set(d *Deadline, at time.Time) {
	d.at = at
	if d.queued.IsZero() || at.Before(d.queued) {
		q.push(d)
	}
}

// Cancel stops d.
func (d *Deadline) Cancel() { d.at = time.Time{} }

// Running reports whether d is running.
func (d *Deadline) Running() bool { return !d.at.IsZero() }

func (q *Deadlines) push(d *Deadline) {
	d.queued = d.at
	q.seq++
	heap.Push(&q.queue, entry{d.at, q.seq, d})
}

// FireDue fires the deadlines that have passed, oldest first.
func (q *Deadlines) FireDue(now time.Time) {
	for len(q.queue) > 0 && !q.queue[0].at.After(now) {
		e := heap.Pop(&q.queue).(entry)
		d := e.d
		if !e.at.Equal(d.queued) {
			continue // an earlier entry has taken over
		}
		d.queued = time.Time{}
		switch {
		case d.at.IsZero():
		case d.at.After(now):
			q.push(d)
		default:
			d.Cancel()
			d.Fire(now)
		}
	}
}

// Next returns when FireDue should be called again.
func (q *Deadlines) Next() (time.Time, bool) {
	if len(q.queue) == 0 {
		return time.Time{}, false
	}
	return q.queue[0].at, true
}

type entries []entry

func (q entries) Len() int { return len(q) }
func (q entries) Less(i, j int) bool {
	if q[i].at.Equal(q[j].at) {
		return q[i].seq < q[j].seq
	}
	return q[i].at.Before(q[j].at)
}
func (q entries) Swap(i, j int) { q[i], q[j] = q[j], q[i] }
func (q *entries) Push(x any)   { *q = append(*q, x.(entry)) }
func (q *entries) Pop() any {
	old := *q
	e := old[len(old)-1]
	old[len(old)-1] = entry{}
	*q = old[:len(old)-1]
	return e
}
