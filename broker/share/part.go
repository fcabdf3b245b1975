package share

import (
	"context"
	"errors"
	"sync"
	"time"

	"sluice/base"
	"sluice/broker/partition"
	"sluice/wire/kerr"
)

// part is a share partition on the partition's leader: it owns a window, loads it, and has its changes made durable one write after the
// other.
type part struct {
	m      *Manager
	key    Key
	p      *partition.Partition
	epoch  int32  // leader epoch of p
	writer uint64 // this incarnation, for the coordinator
	cancel context.CancelFunc
	aside  func(func(context.Context)) // runs something on a goroutine of its own, until the share partition ends

	mu struct {
		sync.Mutex
		w          *window     // nil until it is loaded
		failure    *kerr.Error // why it serves no more
		stateEpoch int32
		seq        uint64
		waiting    []func(kerr.Code) // acknowledgements that the next write makes durable
		watchers   map[chan struct{}]struct{}
		reading    bool                       // a fetch reads the log; others wait, for it may take what they would read
		passed     map[chan struct{}]struct{} // watchers that came while one was reading
		retiring   bool                       // the group has no session left; it is forgotten when nothing is under way
		held       bool                       // a write has failed; the next one waits for a moment
		burying    bool                       // dead letters are being written
		timer      *time.Timer
	}
}

func newPart(m *Manager, k Key, p *partition.Partition) *part {
	sp := &part{m: m, key: k, p: p, epoch: int32(p.LeaderEpoch()), writer: m.opt.Random()}
	sp.mu.watchers, sp.mu.passed = map[chan struct{}]struct{}{}, map[chan struct{}]struct{}{}
	sp.mu.timer = time.AfterFunc(time.Hour, sp.lockEnded)
	sp.mu.timer.Stop()
	ctx, cancel := context.WithCancel(m.ctx)
	sp.cancel = cancel
	sp.aside = func(fn func(context.Context)) { m.running.Go(func() { fn(ctx) }) }
	m.running.Go(func() { sp.load(ctx) })
	return sp
}

// retryDelay is the pause after the coordinator could not be had.
const retryDelay = 250 * time.Millisecond

// load reads the state, for as long as it takes.
func (sp *part) load(ctx context.Context) {
	for ctx.Err() == nil {
		w, epoch, err := sp.loadOnce(ctx)
		if err == nil {
			sp.mu.Lock()
			if sp.mu.failure == nil {
				sp.mu.w, sp.mu.stateEpoch = w, epoch
				sp.changedLocked()
			}
			sp.mu.Unlock()
			return
		}
		if refused := sp.refusal(err); refused != nil {
			sp.m.drop(sp, refused)
			return
		}
		sp.m.log.Info("cannot load a share partition, trying again", "key", sp.key, "error", err)
		select {
		case <-ctx.Done():
		case <-time.After(retryDelay):
		}
	}
}

func (sp *part) loadOnce(ctx context.Context) (*window, int32, error) {
	s, err := sp.m.opt.Store.Read(ctx, sp.key, sp.epoch)
	if err != nil {
		return nil, 0, err
	}
	g := sp.m.opt.Group(sp.key.Group)
	start := s.Start
	if start == NoOffset {
		if start, err = sp.choose(ctx, g); err != nil {
			return nil, 0, err
		}
	}
	return newWindow(g.limits(), s, start), s.StateEpoch, nil
}

// choose finds where a group begins that has not read the partition yet.
func (sp *part) choose(ctx context.Context, g GroupConfig) (base.Offset, error) {
	at := partition.LatestOffset
	switch {
	case g.Reset == ResetEarliest:
		at = partition.EarliestOffset
	case g.Reset == ResetByDuration:
		at = sp.m.opt.Now().Add(-g.ResetDuration).UnixMilli()
	}
	f, err := sp.p.ListOffset(ctx, at, partition.ReadUncommitted, partition.NoEpoch)
	if err == nil && f.Offset < 0 { // nothing is that young
		f, err = sp.p.ListOffset(ctx, partition.LatestOffset, partition.ReadUncommitted, partition.NoEpoch)
	}
	return f.Offset, err
}

// refusal returns what clients are told when this incarnation can not go on, nil if trying again may help.
func (sp *part) refusal(err error) *kerr.Error {
	switch code := kerr.CodeOf(err); code {
	case kerr.FencedLeaderEpoch, kerr.NotLeaderOrFollower:
		return &kerr.Error{Code: kerr.NotLeaderOrFollower, Message: "another leader has taken the share partition over"}
	case kerr.FencedStateEpoch:
		return &kerr.Error{Code: code, Message: "the share group's state was begun anew"}
	case kerr.InvalidRequest, kerr.UnknownTopicOrPartition, kerr.GroupIDNotFound:
		return &kerr.Error{Code: kerr.UnknownServerError, Message: "the share group has no state for this partition: " + err.Error()}
	}
	return nil
}

// changedLocked is called after every change of the window that may be good for those who wait: they look again.
func (sp *part) changedLocked() {
	if sp.mu.failure != nil || sp.mu.w == nil {
		return
	}
	sp.settleLocked()
	for ch := range sp.mu.watchers {
		signal(ch)
	}
}

// settleLocked is called after every change of the window: what is to be made durable goes out, and the timer is set.
func (sp *part) settleLocked() {
	if sp.mu.failure != nil || sp.mu.w == nil {
		return
	}
	if !sp.mu.held {
		if out, ok := sp.mu.w.nextWrite(); ok {
			sp.mu.seq++
			out.StateEpoch, out.LeaderEpoch, out.Writer, out.Seq = sp.mu.stateEpoch, sp.epoch, sp.writer, sp.mu.seq
			acks := sp.mu.waiting
			sp.mu.waiting = nil
			sp.m.running.Go(func() { sp.persist(out, acks) })
		}
	}
	sp.buryLocked()
	if at, ok := sp.mu.w.deadline(); ok {
		sp.mu.timer.Reset(max(0, at.Sub(sp.m.opt.Now())))
	} else {
		sp.mu.timer.Stop()
	}
}

// readLocked is called when a fetch has read the log. One that found nothing wakes only those who came meanwhile: whoever looked before it has seen the
// same, and if it woke all, two that wait would wake each other for ever, and one itself.
func (sp *part) readLocked(found bool) {
	sp.mu.reading = false
	if found {
		sp.changedLocked()
	} else {
		sp.settleLocked()
	}
	for ch := range sp.mu.passed {
		signal(ch)
	}
	clear(sp.mu.passed)
}

func signal(ch chan struct{}) {
	select {
	case ch <- struct{}{}:
	default:
	}
}

// persist has a write made durable and says so to those who wait for it.
func (sp *part) persist(out Write, acks []func(kerr.Code)) {
	err := sp.m.opt.Store.Write(sp.m.ctx, sp.key, out)
	code := kerr.CodeOf(err)
	var refused *kerr.Error
	if err != nil {
		refused = sp.refusal(err)
	}
	sp.mu.Lock()
	if sp.mu.failure == nil {
		sp.mu.w.wrote(err == nil)
		if err != nil && refused == nil {
			sp.mu.held = true
			time.AfterFunc(retryDelay, sp.resume)
		}
		sp.changedLocked()
	}
	gone := sp.mu.retiring && sp.quietLocked()
	sp.mu.Unlock()
	if refused != nil {
		sp.m.drop(sp, refused)
		code = refused.Code
	}
	for _, done := range acks {
		done(code)
	}
	if gone {
		sp.m.forget(sp)
	}
}

func (sp *part) resume() {
	sp.mu.Lock()
	defer sp.mu.Unlock()
	sp.mu.held = false
	sp.changedLocked()
}

func (sp *part) lockEnded() {
	sp.mu.Lock()
	defer sp.mu.Unlock()
	if sp.mu.failure == nil && sp.mu.w != nil {
		sp.mu.w.limits = sp.m.opt.Group(sp.key.Group).limits()
		sp.mu.w.expire(sp.m.opt.Now())
		sp.changedLocked()
	}
}

// quietLocked reports whether nothing is under way: then the state can be read back whenever it is needed.
func (sp *part) quietLocked() bool {
	if sp.mu.w == nil || sp.mu.reading || sp.mu.burying || sp.mu.w.writing || sp.mu.w.dirty || len(sp.mu.waiting) > 0 {
		return false
	}
	for i := range sp.mu.w.spans {
		if s := &sp.mu.w.spans[i]; s.phase != settled || s.state == Acquired || s.state == Archiving {
			return false
		}
	}
	return true
}

// fail ends the share partition. It is called by the manager, which has forgotten it.
func (sp *part) fail(why *kerr.Error) {
	sp.cancel()
	sp.mu.Lock()
	if sp.mu.failure != nil {
		sp.mu.Unlock()
		return
	}
	sp.mu.failure = why
	sp.mu.timer.Stop()
	acks := sp.mu.waiting
	sp.mu.waiting = nil
	for ch := range sp.mu.watchers {
		signal(ch)
	}
	sp.mu.Unlock()
	for _, done := range acks {
		done(why.Code)
	}
}

// ended returns why the share partition serves no more, nil if it does.
func (sp *part) ended() *kerr.Error {
	sp.mu.Lock()
	defer sp.mu.Unlock()
	return sp.mu.failure
}

// watch has ch signalled whenever it is worth looking again, until unwatch.
func (sp *part) watch(ch chan struct{}) {
	sp.mu.Lock()
	defer sp.mu.Unlock()
	sp.mu.watchers[ch] = struct{}{}
}

func (sp *part) unwatch(ch chan struct{}) {
	sp.mu.Lock()
	defer sp.mu.Unlock()
	delete(sp.mu.watchers, ch)
	delete(sp.mu.passed, ch)
}

// acknowledge takes in what a member did; done is called once, when that is durable or refused.
func (sp *part) acknowledge(member string, batches []ackBatch, done func(kerr.Code)) {
	sp.mu.Lock()
	code := kerr.None
	switch {
	case sp.mu.failure != nil:
		code = sp.mu.failure.Code
	case sp.mu.w == nil:
		code = kerr.InvalidRecordState // whatever was acquired, it was in another life
	default:
		sp.mu.w.limits = sp.m.opt.Group(sp.key.Group).limits()
		var wait bool
		wait, code = sp.mu.w.acknowledge(sp.m.opt.Now(), member, batches)
		if wait {
			sp.mu.waiting = append(sp.mu.waiting, done)
			done = nil
		}
		sp.changedLocked()
	}
	sp.mu.Unlock()
	if done != nil {
		done(code)
	}
}

// release gives back what a member holds.
func (sp *part) release(member string) {
	sp.mu.Lock()
	defer sp.mu.Unlock()
	if sp.mu.w != nil {
		sp.mu.w.release(member)
		sp.changedLocked()
	}
}

// retire forgets the share partition as soon as nothing is under way, unless it is used again.
func (sp *part) retire(yes bool) (now bool) {
	sp.mu.Lock()
	defer sp.mu.Unlock()
	sp.mu.retiring = yes
	return yes && sp.quietLocked()
}

// wants says how much a fetch takes.
type wants struct {
	member            string
	maxBytes, records int
	size              int // of a run of acquired records, in records
	strict            bool
	wake              chan struct{} // of the fetch, if it waits
}

// taken is what a fetch got of a share partition.
type taken struct {
	got     []acquired
	records []byte
	seen    base.Offset // the watermark that bounded the fetch; -1: nothing was read, for the window is full, busy or not there yet
}

// take acquires records for a member and returns them. It may read the bucket.
func (sp *part) take(ctx context.Context, want wants) (taken, *kerr.Error) {
	for {
		t, again, err := sp.takeOnce(ctx, want)
		if err != nil || !again {
			return t, err
		}
	}
}

// takeOnce is one round of take. again says that the log was read, and all that was read is not for members to see.
func (sp *part) takeOnce(ctx context.Context, want wants) (t taken, again bool, _ *kerr.Error) {
	t.seen = -1
	g := sp.m.opt.Group(sp.key.Group)
	logStart, _, _, _ := sp.p.Bounds()
	sp.mu.Lock()
	w := sp.mu.w
	if sp.mu.failure != nil || w == nil || sp.mu.reading {
		defer sp.mu.Unlock()
		if sp.mu.reading && want.wake != nil {
			sp.mu.passed[want.wake] = struct{}{}
		}
		return t, false, sp.mu.failure
	}
	w.limits = g.limits()
	w.trim(logStart)
	w.expire(sp.m.opt.Now())
	from, ok := w.next()
	sp.mu.reading = ok
	sp.settleLocked()
	sp.mu.Unlock()
	if !ok {
		return t, false, nil
	}
	res, err := sp.m.read(ctx, sp.p, partition.ReadRequest{
		From: from, MaxBytes: want.maxBytes, MinOne: true, Isolation: g.Isolation, LeaderEpoch: partition.NoEpoch, LastEpoch: partition.NoEpoch,
	})
	var in contents
	if err == nil && res.Chunk != nil {
		defer res.Chunk.Release()
		in, err = inspect(res.Chunk, from, res.Aborted)
	}
	sp.mu.Lock()
	defer sp.mu.Unlock()
	if sp.mu.failure != nil {
		sp.mu.reading = false
		return t, false, sp.mu.failure
	}
	defer func() { sp.readLocked(len(t.got) > 0 || readError(err) != nil) }()
	if err != nil {
		return t, kerr.CodeOf(err) == kerr.OffsetOutOfRange && from < res.LogStart, readError(err)
	}
	t.seen = res.Limit(g.Isolation)
	t.got = w.takeIn(sp.m.opt.Now(), want.member, in, want.records, max(1, want.size), want.strict)
	t.records = in.bytes(t.got)
	return t, len(t.got) == 0 && len(in.hidden) > 0, nil
}

// readError is what a fetch is told of a failed read.
func readError(err error) *kerr.Error {
	if err == nil {
		return nil
	}
	var ke *kerr.Error
	if errors.As(err, &ke) {
		if ke.Code == kerr.OffsetOutOfRange {
			return nil // deleted just now; the next round begins behind it
		}
		return ke
	}
	return &kerr.Error{Code: kerr.CodeOf(err), Message: err.Error()}
}
