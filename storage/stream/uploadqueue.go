package stream

import (
	"sync"
	"time"

	"sluice/base"
)

// uploadQueue decides what is uploaded when. It knows the WAL's positions
//
//	trim ≤ next ≤ durable
//
// Blocks below trim are committed, from there to next frozen in uploads under way, from next to durable waiting. An upload is due when
// enough bytes wait, when the oldest of them has waited long enough, or when somebody asked for a position that is not frozen yet. Nothing waits,
// nothing is due: an idle engine does no requests.
type uploadQueue struct {
	wakeup chan struct{} // holds one token when something changed
	mu     struct {
		sync.Mutex
		trim, next, durable base.WALPos
		waiting, waitingLog int64       // of [next, durable): charge in memory, bytes in the WAL
		memLimit, logLimit  int64       // an upload is due at
		oldest              time.Time   // since when the block at next waits; zero if none
		frozen              []time.Time // what oldest was when each of the uploads under way was frozen
		wanted              base.WALPos
		number              uint64        // of the last upload frozen
		changed             chan struct{} // closed, and replaced, when trim or err changes
		err                 error         // sticky
		last                *upload       // the last one frozen; the next waits for it before it commits
		running             sync.WaitGroup
	}
}

func (q *uploadQueue) init() {
	q.wakeup = make(chan struct{}, 1)
	q.mu.changed = make(chan struct{})
}

func (q *uploadQueue) limitMemory(bytes int64) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.mu.memLimit = bytes
	q.wake()
}

func (q *uploadQueue) limitLog(bytes int64) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.mu.logLimit = bytes
}

// oldest returns since when the oldest block that is not committed is durable, about; zero if there is none.
func (q *uploadQueue) oldest() time.Time {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.mu.frozen) > 0 {
		return q.mu.frozen[0]
	}
	return q.mu.oldest
}

func (q *uploadQueue) wake() {
	select {
	case q.wakeup <- struct{}{}:
	default:
	}
}

// add notes that the block at pos became durable.
func (q *uploadQueue) add(pos base.WALPos, charge, log int64) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if pos != q.mu.durable {
		panic("BUG: stream: WAL blocks out of order")
	}
	q.mu.durable++
	q.mu.waiting += charge
	q.mu.waitingLog += log
	if q.mu.oldest.IsZero() {
		q.mu.oldest = time.Now()
		q.wake()
	} else if q.enoughLocked() {
		q.wake()
	}
}

func (q *uploadQueue) enoughLocked() bool {
	return q.mu.waiting >= q.mu.memLimit || q.mu.logLimit > 0 && q.mu.waitingLog >= q.mu.logLimit
}

// request asks for the blocks below pos to be uploaded without waiting for more.
func (q *uploadQueue) request(pos base.WALPos) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if pos > q.mu.wanted {
		q.mu.wanted = min(pos, q.mu.durable)
		q.wake()
	}
}

// due reports whether an upload should be frozen now, and if not, after how long it has to be asked again (0: only when woken).
func (q *uploadQueue) due(now time.Time, every time.Duration) (bool, time.Duration) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.mu.next == q.mu.durable || q.mu.err != nil {
		return false, 0
	}
	wait := q.mu.oldest.Add(every).Sub(now)
	if q.mu.wanted > q.mu.next || q.enoughLocked() || wait <= 0 {
		return true, 0
	}
	return false, wait
}

// freeze takes n blocks with the given charges off the waiting ones and makes them the next upload.
func (q *uploadQueue) freeze(u *upload, n int, log int64, now time.Time) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.mu.number++
	u.number, u.from = q.mu.number, q.mu.next
	q.mu.next += base.WALPos(n)
	u.to = q.mu.next
	q.mu.waiting -= u.charge
	q.mu.waitingLog -= log
	q.mu.frozen = append(q.mu.frozen, q.mu.oldest)
	q.mu.oldest = time.Time{}
	if q.mu.next < q.mu.durable {
		q.mu.oldest = now
	}
	u.prev, q.mu.last = q.mu.last, u
	q.mu.running.Add(1)
}

// waitingRange returns the positions that wait.
func (q *uploadQueue) waitingRange() (next, durable base.WALPos) {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.mu.next, q.mu.durable
}

// committed moves the trim to the end of an upload that was committed.
func (q *uploadQueue) committed(u *upload) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.mu.trim != u.from {
		panic("BUG: stream: uploads committed out of order")
	}
	q.mu.trim, q.mu.frozen = u.to, q.mu.frozen[1:]
	q.changedLocked()
}

func (q *uploadQueue) changedLocked() {
	close(q.mu.changed)
	q.mu.changed = make(chan struct{})
}

func (q *uploadQueue) trimmed() base.WALPos {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.mu.trim
}

// state returns the trim, a channel that is closed when it moves or the queue fails, and why it failed.
func (q *uploadQueue) state() (base.WALPos, <-chan struct{}, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.mu.trim, q.mu.changed, q.mu.err
}

// fail stops uploads for good.
func (q *uploadQueue) fail(err error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.mu.err == nil {
		q.mu.err = err
		q.changedLocked()
	}
	q.wake()
}

// wait returns when no upload is under way. None may be frozen meanwhile.
func (q *uploadQueue) wait() { q.mu.running.Wait() }
