package file

import (
	"sync"
	"sync/atomic"
	"time"
)

// A disk can hang: the server of an NFS mount is gone, a block volume is detached. A write to it neither ends nor fails, and no error will ever say so. So every
// operation that the log waits for is watched, and one that has been under way for Options.StallTimeout fails the log as EIO would. What is known then, and what follows:
//
//	the block      undetermined, as after EIO: it may lie on the disk whole, torn, not at all, or get there in an hour. So it is refused, now. Its
//	               memory stays as it is until the call returns, for the kernel may still read it
//	blocks behind  were refused too, though some may be durable: nothing is acknowledged over a gap
//	the call       cannot be ended. Its goroutine stays, and with it the segments' files and the lock of a local directory: release waits for it,
//	               Close does not. If it returns after all, with or without an error, that changes nothing
//	a rescuer      must seal the WAL before it counts anything in it. A local one it cannot seal while the call is under way, for the lock is held by
//	               a process that is not gone; a shared one it can, and what lands later lies behind the recorded end
//
// The log itself asks the disk for nothing more. In particular the token is not read again to find out why.
//
// Time is counted in looks, not on a clock: an operation is as old as the number of looks in a row that have found it under way. A process that was stopped
// for an hour, or a machine that was asleep, does not find its disk guilty of it.

// looks is how many looks make up the timeout, and after how many a warning is due.
const (
	looksHung = 10
	looksWarn = looksHung / 5
)

// The operations that may be under way at one time: one of each writer, and these.
const (
	slotPrepare = writers + iota // making and stamping segments
	slotConfirm                  // reading the token
	slotEnd                      // marking the end
	slots
)

var slotNames = [slots]string{"a write of a block", "a write of a block", "preparing a segment", "reading the token", "marking the end"}

// watch knows which disk operations are under way, and tells of those that hang. Its timer runs only while there are any.
type watch struct {
	limit time.Duration                        // 0: nothing ever hangs
	warn  func(what string, age time.Duration) // an operation has been under way for a fifth of the limit; called once for each
	fail  func(what string, age time.Duration) // … for the limit
	hung  chan struct{}                        // closed when fail is called for the first time
	ops   [slots]operation
	armed atomic.Bool
	mu    struct {
		sync.Mutex // held while looking
		reset      func()
		told       bool
	}
}

type operation struct {
	number atomic.Uint64 // counts begins and ends: odd while one is under way
	began  atomic.Int64  // nanoseconds since origin
	seen   uint64        // number at the last look; belongs to who is looking, like looks
	looks  int           // in a row that have found the same one under way, the first not counted
}

// origin is what times are counted from, so that they are monotonic.
var origin = time.Now()

func newWatch(limit time.Duration, warn, fail func(string, time.Duration)) *watch {
	return &watch{limit: limit, warn: warn, fail: fail, hung: make(chan struct{})}
}

// do runs an operation in a slot, in which no other is under way.
func (w *watch) do(slot int, run func() error) error {
	w.begin(slot)
	defer w.end(slot)
	return run()
}

func (w *watch) begin(slot int) {
	o := &w.ops[slot]
	o.began.Store(int64(time.Since(origin)))
	o.number.Add(1)
	if w.limit > 0 && !w.armed.Load() {
		w.arm()
	}
}

func (w *watch) end(slot int) { w.ops[slot].number.Add(1) }

// arm sets the timer unless it is set.
func (w *watch) arm() {
	if !w.armed.CompareAndSwap(false, true) {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.againLocked()
}

func (w *watch) againLocked() {
	if w.mu.reset == nil {
		period := max(w.limit/looksHung, time.Millisecond)
		t := time.AfterFunc(period, w.look)
		w.mu.reset = func() { t.Reset(period) }
		return
	}
	w.mu.reset()
}

// look is the timer's: it looks at all operations, and sets the timer again if one is under way, or was since the last look.
func (w *watch) look() {
	type finding struct {
		tell func(string, time.Duration)
		what string
		age  time.Duration
	}
	var found []finding
	w.mu.Lock()
	busy := false
	for i := range w.ops {
		o := &w.ops[i]
		n := o.number.Load()
		busy = busy || n != o.seen || n%2 == 1
		if n != o.seen || n%2 == 0 {
			o.seen, o.looks = n, 0
			continue
		}
		switch o.looks++; o.looks {
		case looksWarn:
			found = append(found, finding{w.warn, slotNames[i], o.age()})
		case looksHung:
			found = append(found, finding{w.fail, slotNames[i], o.age()})
			if !w.mu.told {
				w.mu.told = true
				close(w.hung)
			}
		}
	}
	if busy {
		w.againLocked()
	} else {
		w.armed.Store(false)
	}
	w.mu.Unlock()
	if !busy && w.oldest() > 0 { // it began between the look and the timer's end, and found the timer set
		w.arm()
	}
	for _, f := range found {
		f.tell(f.what, f.age)
	}
}

func (o *operation) age() time.Duration {
	return time.Since(origin) - time.Duration(o.began.Load())
}

// oldest returns how long the oldest operation has been under way by the clock; 0 if there is none.
func (w *watch) oldest() (age time.Duration) {
	for i := range w.ops {
		if o := &w.ops[i]; o.number.Load()%2 == 1 {
			age = max(age, o.age(), 1)
		}
	}
	return age
}
