package group

import (
	"container/heap"
	"time"
)

// deadlines orders the machine's deadlines. A deadline that is moved later, as every heartbeat does, costs nothing: its old entry
// is found too early when it comes up and is queued again.
type deadlines struct {
	queue entries
	seq   uint64
}

// deadline is one timer. at is the truth; queued is the earliest time at which an entry of the queue will look at it.
type deadline struct {
	at, queued time.Time
	fire       func(m *machine, now time.Time)
}

type entry struct {
	at  time.Time
	seq uint64 // in order of arrival among equals
	d   *deadline
}

// set (re)starts d.
func (q *deadlines) set(d *deadline, at time.Time) {
	d.at = at
	if d.queued.IsZero() || at.Before(d.queued) {
		q.push(d)
	}
}

// cancel stops d.
func (d *deadline) cancel() { d.at = time.Time{} }

func (q *deadlines) push(d *deadline) {
	d.queued = d.at
	q.seq++
	heap.Push(&q.queue, entry{d.at, q.seq, d})
}

// due takes out one deadline that has passed, nil if there is none.
func (q *deadlines) due(now time.Time) *deadline {
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
			d.cancel()
			return d
		}
	}
	return nil
}

// next returns when due should be asked again.
func (q *deadlines) next() (time.Time, bool) {
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
