package slotlog

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"sluice/base"
	"sluice/storage/objstore"
	"sluice/storage/objstore/driver"
)

// Writer appends to one epoch of a log. All methods are safe for concurrent use.
type Writer struct {
	log     Log
	epoch   uint64
	opt     WriterOptions
	metrics *metrics
	life    context.Context // of all attempts; ends when the writer is stopped
	cancel  context.CancelFunc

	mu struct {
		sync.Mutex
		rules      machine
		appends    []*appendOp // appends[i] is slot rules.head+i
		err        error       // why the writer stopped
		completed  []completion
		completing bool // a goroutine is calling done
		flights    int  // attempts, a goroutine each
		hedger     hedger
		doubts     []doubt
	}
	quiet sync.Cond // on mu: no attempt, no completion
}

// appendOp is one append until it is completed.
type appendOp struct {
	body    [][]byte
	records uint32
	shares  []driver.Share
	done    func(slot uint64, err error)
}

type completion struct {
	done func(slot uint64, err error)
	slot uint64
	err  error
}

// NewWriter returns a writer that appends to the given epoch from slot next on. The caller knows that slots below next are
// filled. At most one writer of an epoch gets acknowledgements; nothing else keeps two of them apart.
func (l Log) NewWriter(epoch, next uint64, opt WriterOptions) *Writer {
	opt = opt.withDefaults()
	w := &Writer{log: l, epoch: epoch, opt: opt, metrics: newMetrics(opt.Registerer, l.Name)}
	w.life, w.cancel = context.WithCancel(driver.WithPurpose(context.Background(), opt.Purpose))
	w.mu.rules = newMachine(next, opt.InFlight)
	w.quiet.L = &w.mu.Mutex
	return w
}

// Append puts body into the next slot. It never blocks; the caller bounds what it hands over. done is called exactly once, in
// the order of the calls to Append, on a goroutine of the writer with no lock held, and must not call Close. The caller leaves
// body alone until then.
//
// An error of kind Fenced says that the epoch was sealed or belongs to another writer, Closed that Close was called, Failed that
// the store refused for good; in each case the append may yet turn out to be in the log, and every later append fails alike.
func (w *Writer) Append(body [][]byte, records uint32, done func(slot uint64, err error)) {
	w.AppendFor(nil, body, records, done)
}

// AppendFor is Append of a body that carries the bytes of these streams; see [driver.WithShares].
func (w *Writer) AppendFor(shares []driver.Share, body [][]byte, records uint32, done func(slot uint64, err error)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.mu.appends = append(w.mu.appends, &appendOp{body: body, records: records, shares: shares, done: done})
	w.mu.rules.admit()
	w.advanceLocked()
}

// Pending returns the number of appends that are not completed.
func (w *Writer) Pending() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.mu.appends)
}

// Next returns the slot that the next append will get.
func (w *Writer) Next() uint64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.mu.rules.tail
}

// Close stops the writer: pending appends fail with kind Closed. It returns when all their done calls have returned.
func (w *Writer) Close() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.stopLocked(base.Errorf(base.Closed, "slot log %s: the writer was closed", w.log.Name))
	w.advanceLocked()
	for w.mu.flights > 0 || w.mu.completing {
		w.quiet.Wait()
	}
}

// stopLocked ends the writer for the given reason unless it has ended before.
func (w *Writer) stopLocked(reason error) {
	if w.mu.err == nil {
		w.mu.err = reason
		w.mu.rules.stop()
		w.cancel()
	}
}

// advanceLocked completes what is at its end and starts what may be started.
func (w *Writer) advanceLocked() {
	for {
		slot, acknowledged, ok := w.mu.rules.complete()
		if !ok {
			break
		}
		c := completion{done: w.mu.appends[0].done, slot: slot}
		if !acknowledged {
			c.err = w.mu.err
		}
		w.mu.completed = append(w.mu.completed, c)
		w.mu.appends[0] = nil
		w.mu.appends = w.mu.appends[1:]
	}
	for {
		slot, ok := w.mu.rules.start()
		if !ok {
			break
		}
		w.mu.flights++
		go w.fly(slot, w.mu.appends[slot-w.mu.rules.head])
	}
	if len(w.mu.completed) > 0 && !w.mu.completing {
		w.mu.completing = true
		go w.complete()
	}
	w.metrics.inFlight.Set(float64(w.mu.rules.started - w.mu.rules.head))
	w.metrics.waiting.Set(float64(w.mu.rules.tail - w.mu.rules.started))
}

// complete calls done for what is completed, in order, and ends when there is no more.
func (w *Writer) complete() {
	for {
		w.mu.Lock()
		batch := w.mu.completed
		w.mu.completed = nil
		if len(batch) == 0 {
			w.mu.completing = false
			w.quiet.Broadcast()
			w.mu.Unlock()
			return
		}
		w.mu.Unlock()
		for _, c := range batch {
			c.done(c.slot, c.err)
		}
	}
}

// report tells the machine what came of an attempt's last action and returns the next one.
func (w *Writer) report(f *flightIO, e event, cause error) action {
	w.mu.Lock()
	defer w.mu.Unlock()
	rules := &w.mu.rules
	was := rules.decided(f.slot)
	next := rules.report(f.slot, e)
	if rules.stopped && w.mu.err == nil {
		w.stopLocked(cause)
		w.opt.Logger.Warn("slot log writer stopped", "log", w.log.Name, "epoch", w.epoch, "slot", f.slot, "error", cause)
		if e == readForeign {
			w.metrics.fenced.Inc()
		}
	}
	if !was && rules.decided(f.slot) {
		f.cancel() // the other attempt
		if !rules.stopped {
			took := time.Since(f.begun)
			w.mu.hedger.ended(f.size, took)
			w.metrics.puts.Observe(took.Seconds())
			w.metrics.bytes.Add(float64(f.size))
		}
	}
	if base.IsKind(cause, base.Undetermined) {
		w.doubtLocked(f.slot)
	}
	if next == doEnd {
		w.mu.flights--
		w.advanceLocked()
		w.quiet.Broadcast()
	}
	return next
}

// fly makes the first attempt at a slot.
func (w *Writer) fly(slot uint64, op *appendOp) {
	f := &flightIO{Log: w.log, key: w.log.Key(w.epoch, slot), slot: slot, epoch: w.epoch, begun: time.Now()}
	f.life, f.cancel = context.WithCancel(w.life) // report ends it
	if op.shares != nil {
		f.life = driver.WithShares(f.life, op.shares)
	}
	if e, cause := f.encode(w.opt.Nonce, op); e == refused {
		w.report(f, e, cause)
		return
	}
	if !w.opt.Hedge {
		w.attempt(f)
		return
	}
	w.mu.Lock()
	slow := w.mu.hedger.begin(f.size)
	w.mu.Unlock()
	if slow > 0 {
		timer := time.AfterFunc(slow, func() { w.hedge(f) })
		defer timer.Stop()
	}
	w.attempt(f)
}

// hedge makes a second attempt at a slot, if the first one is still under way and hedges are left. It runs on a goroutine of its own.
func (w *Writer) hedge(f *flightIO) {
	w.mu.Lock()
	again := !w.mu.rules.decided(f.slot) && w.mu.hedger.credit >= 1 && w.mu.rules.hedge(f.slot) && w.mu.hedger.take()
	if again {
		w.mu.flights++
	}
	w.mu.Unlock()
	if again {
		w.metrics.hedges.Inc()
		w.attempt(f)
	}
}

// attempt does what the rules say until the slot is stored, the other attempt goes on alone, or the writer has stopped.
func (w *Writer) attempt(f *flightIO) {
	var e event
	var cause error
	next := doPut
	for n := 1; next != doEnd; {
		switch next {
		case doPut:
			e, cause = f.put(f.life, w.opt.PutTimeout*time.Duration(min(n, maxTimeoutFactor)))
		case doReadBack:
			w.metrics.readBacks.Inc()
			e, cause = f.readBack(f.life, w.opt.PutTimeout)
		case doPause:
			w.metrics.retries.Inc()
			w.opt.Logger.Info("slot undetermined, putting it again", "key", f.key, "attempt", n, "error", cause)
			sleep(f.life, pause(n, w.opt.RetryMin, w.opt.RetryMax))
			n++
			e, cause = passed, nil
		}
		next = w.report(f, e, cause)
	}
}

// doubtsMax bounds the slots that are remembered because a put of theirs may come late. Those beyond are left to whoever looks for what
// nobody refers to.
const doubtsMax = 4096

// doubt is a slot that a put which nobody waits for any more may fill again after it was deleted.
type doubt struct {
	slot uint64
	at   time.Time // when the put was given up
}

func (w *Writer) doubtLocked(slot uint64) {
	if len(w.mu.doubts) == doubtsMax {
		w.mu.doubts = slices.Delete(w.mu.doubts, 0, doubtsMax/2)
	}
	w.mu.doubts = append(w.mu.doubts, doubt{slot, time.Now()})
}

// Doubtful returns the slots below below of which a put was given up, because it took too long or another one was quicker, before the
// given time, and forgets them: such a put may have come after the slot was deleted.
func (w *Writer) Doubtful(below uint64, before time.Time) (slots []uint64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.mu.doubts = slices.DeleteFunc(w.mu.doubts, func(d doubt) bool {
		if d.slot >= below || !d.at.Before(before) {
			return false
		}
		slots = append(slots, d.slot)
		return true
	})
	return slots
}

// maxTimeoutFactor bounds how far the deadline of an attempt grows with the attempts: on a link that is too slow for the deadline,
// repeating with the same one would never end.
const maxTimeoutFactor = 6

// sleep waits for d or until ctx ends.
func sleep(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}

// flightIO does the I/O of one slot and says what came of it. Its attempts share it; nothing changes after encode.
type flightIO struct {
	Log
	key         string
	epoch, slot uint64
	begun       time.Time       // of the first attempt
	life        context.Context // of the attempts; ends when it is decided what became of the slot
	cancel      context.CancelFunc
	header      []byte
	whole       [][]byte // header and body; fixed from the first attempt on
	size        int
}

func (f *flightIO) encode(nonce base.UUID, op *appendOp) (event, error) {
	h, err := f.Log.header(kindData, f.epoch, f.slot, nonce, op.records, op.body)
	if err != nil {
		return refused, base.Wrap(base.Failed, err)
	}
	f.header = h
	f.whole = append(append(make([][]byte, 0, len(op.body)+1), h), op.body...)
	for _, b := range f.whole {
		f.size += len(b)
	}
	return passed, nil
}

func (f *flightIO) put(ctx context.Context, timeout time.Duration) (event, error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	err := f.Store.Put(ctx, f.key, f.whole, objstore.PutOptions{IfAbsent: true})
	if err == nil {
		return putStored, nil
	}
	switch base.KindOf(err) {
	case base.Exists:
		return putTaken, err
	case base.Undetermined, base.Unavailable:
		return unknown, err
	default:
		return refused, base.Errorf(base.Failed, "put slot: %w", err)
	}
}

func (f *flightIO) readBack(ctx context.Context, timeout time.Duration) (event, error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	got, err := f.Store.Get(ctx, f.key, 0, int64(len(f.header)), nil)
	switch {
	case err == nil && bytes.Equal(got, f.header): // nonce and CRC included
		return readOurs, nil
	case err == nil:
		return readForeign, base.Errorf(base.Fenced, "slot %s: %s", f.key, f.describe(got))
	case base.KindOf(err) == base.OutOfRange: // too short for one of ours
		return readForeign, base.Errorf(base.Fenced, "slot %s is taken by something that is no slot", f.key)
	default:
		return unknown, fmt.Errorf("read back: %w", err)
	}
}

// describe says what a slot holds that is not ours.
func (f *flightIO) describe(header []byte) string {
	p, err := f.parseHeader(f.epoch, f.slot, header)
	switch {
	case err != nil:
		return "taken: " + err.Error()
	case p.kind == kindSeal:
		return "the epoch was sealed here"
	default:
		return "taken by the writer " + p.nonce.String()
	}
}
