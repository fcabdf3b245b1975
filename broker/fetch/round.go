package fetch

import (
	"context"
	"math"
	"sync"
	"sync/atomic"
	"time"

	"sluice/base"
	"sluice/base/seeded"
	"sluice/broker/partition"
	"sluice/wire/kerr"
)

// part is one partition of a fetch.
type part struct {
	key     key
	want    want
	refused bool // the client may not read it

	p    *partition.Partition // nil if err says why
	res  partition.ReadResult
	err  error
	cold bool // the bytes are not in memory; res has the watermarks only

	room   int // limits that the turn order left for this partition
	minOne bool
}

func (pt *part) release() {
	if pt.res.Chunk != nil {
		pt.res.Chunk.Release()
		pt.res.Chunk = nil
	}
}

// flight is one fetch on its way.
type flight struct {
	f        *Fetcher
	ctx      context.Context
	version  int16
	level    partition.Isolation
	minBytes int
	maxBytes int
	deadline time.Time
	parts    []part
	first    int  // index of the part whose turn it is to be first
	coldMost int  // partitions that are read from the bucket at most, 0: all; the others have their turn in the next request
	held     bool // it has been held for partitions that are being moved; that is done once
	answer   func(parts []part)
}

// run does rounds until the fetch is answered or parked.
func (fl *flight) run() {
	for {
		last := fl.ctx.Err() != nil || !fl.f.opt.Now().Before(fl.deadline)
		got, final, cold := fl.read()
		switch {
		case cold:
			go fl.finishCold()
			return
		case final && got < fl.minBytes && !fl.held && fl.coming():
			fl.releaseAll()
			fl.held = true
			go fl.hold()
			return
		case last || final || got >= fl.minBytes:
			fl.finish()
			return
		}
		// Too little: give the memory back, and wait for the rest.
		fl.releaseAll()
		if fl.park(fl.minBytes - got) {
			return
		}
	}
}

func (fl *flight) releaseAll() {
	for i := range fl.parts {
		fl.parts[i].release()
	}
}

// coming reports whether the only errors are of partitions that will be served in a moment: then it is better to wait than to send the client
// to where the partition is not yet.
func (fl *flight) coming() bool {
	coming := false
	for i := range fl.parts {
		pt := &fl.parts[i]
		switch {
		case pt.err == nil && pt.res.Diverging == nil:
		case pt.err == nil || kerr.CodeOf(pt.err) != kerr.NotLeaderOrFollower || !pt.coming(fl.f.opt.Directory):
			return false
		default:
			coming = true
		}
	}
	return coming
}

func (pt *part) coming(d Directory) bool {
	if pt.key.name != "" {
		return d.ComingByName(pt.key.name, pt.key.index)
	}
	return d.Coming(pt.key.id, pt.key.index)
}

// hold waits until nothing is coming any more, and goes on: the partitions are here, or it can be told where they are.
func (fl *flight) hold() {
	fl.f.metrics.held.Inc()
	timeout := time.NewTimer(fl.f.opt.HoldMax)
	defer timeout.Stop()
	for {
		changed := fl.f.opt.Directory.Changed()
		if !fl.coming() {
			break
		}
		select {
		case <-changed:
			continue
		case <-timeout.C:
		case <-fl.ctx.Done():
		}
		break
	}
	fl.run()
}

// read reads every partition from memory. It returns the bytes read, whether the fetch is to be answered whatever they are, and whether
// a partition is cold.
func (fl *flight) read() (got int, final, cold bool) {
	room, first, colds := fl.maxBytes, true, 0
	final = len(fl.parts) == 0
	for i := range fl.parts {
		pt := &fl.parts[(fl.first+i)%len(fl.parts)]
		pt.room, pt.minOne, pt.cold = min(room, int(max(0, pt.want.maxBytes))), first, false
		pt.resolve(fl.f.opt.Directory, fl.version >= 13)
		if pt.err == nil {
			pt.res, pt.err = pt.p.Read(fl.ctx, fl.request(pt, true))
		}
		switch {
		case pt.err == partition.ErrCold && fl.coldMost > 0 && colds >= fl.coldMost:
			pt.err = nil
		case pt.err == partition.ErrCold:
			pt.err, pt.cold, cold = nil, true, true
			colds++
			room, first = room-pt.room, false
		case pt.err != nil || pt.res.Diverging != nil:
			final = true
		default:
			n := pt.res.Bytes()
			if got += n; n > 0 {
				room, first = max(0, room-n), false
			}
		}
	}
	return got, final, cold
}

func (fl *flight) request(pt *part, cachedOnly bool) partition.ReadRequest {
	return partition.ReadRequest{
		From: pt.want.offset, MaxBytes: pt.room, MinOne: pt.minOne, Isolation: fl.level,
		LeaderEpoch: pt.want.leaderEpoch, LastEpoch: pt.want.lastEpoch, CachedOnly: cachedOnly,
	}
}

// resolve finds the partition, anew in every round: it may have been closed, or opened under another epoch.
func (pt *part) resolve(d Directory, byID bool) {
	pt.res = partition.ReadResult{HW: -1, LSO: -1, LogStart: -1}
	if pt.refused {
		pt.p, pt.err = nil, kerr.TopicAuthorizationFailed.Err()
		return
	}
	if !byID {
		pt.p, pt.err = d.GetByName(pt.key.name, pt.key.index)
	} else {
		pt.p, pt.err = d.Get(pt.key.id, pt.key.index)
	}
}

// finishCold reads the cold partitions on the bounded workers and answers. The hot ones keep what they have.
func (fl *flight) finishCold() {
	ctx, cancel := context.WithTimeout(fl.ctx, fl.f.opt.ColdTimeout)
	defer cancel()
	var wg sync.WaitGroup
	own := make(semaphore, fl.f.opt.ColdPerFetch)
	for i := range fl.parts {
		pt := &fl.parts[i]
		if !pt.cold {
			continue
		}
		if pt.err = own.acquire(ctx); pt.err != nil {
			pt.err = coldError(pt.err)
			continue
		}
		wg.Add(1)
		go func() {
			defer wg.Done()
			defer own.release()
			fl.readCold(ctx, pt)
		}()
	}
	wg.Wait()
	fl.fillUp()
	fl.finish()
}

// fillUpMisses bounds how many partitions in a row fillUp looks at in vain.
const fillUpMisses = 64

// fillUp gives the room that cold partitions were counted with and did not need to those that had none left, as far as their bytes are in memory by now: what was read
// brought those of neighbours.
func (fl *flight) fillUp() {
	left := fl.maxBytes
	for i := range fl.parts {
		left -= fl.parts[i].res.Bytes()
	}
	for i, misses := 0, 0; i < len(fl.parts) && left > 0 && misses < fillUpMisses; i++ {
		pt := &fl.parts[(fl.first+i)%len(fl.parts)]
		if pt.err != nil || pt.cold || pt.res.Diverging != nil || pt.res.Bytes() > 0 || pt.room >= int(pt.want.maxBytes) || pt.want.offset >= pt.res.Limit(fl.level) {
			continue
		}
		pt.room, pt.minOne = min(left, int(pt.want.maxBytes)), false
		res, err := pt.p.Read(fl.ctx, fl.request(pt, true))
		if err != nil || res.Bytes() == 0 {
			misses++
			if res.Chunk != nil {
				res.Chunk.Release()
			}
			continue
		}
		misses = 0
		pt.release()
		pt.res = res
		left -= pt.res.Bytes()
	}
}

func (fl *flight) readCold(ctx context.Context, pt *part) {
	if err := fl.f.cold.acquire(ctx); err != nil {
		pt.err = coldError(err)
		return
	}
	defer fl.f.cold.release()
	fl.f.metrics.cold.Inc()
	pt.res, pt.err = pt.p.Read(ctx, fl.request(pt, false))
}

// coldError is the answer where the bucket is too slow: the client tries again.
func coldError(err error) error {
	return &kerr.Error{Code: kerr.KafkaStorageError, Message: err.Error()}
}

func (fl *flight) finish() {
	fl.f.metrics.fetches.Inc()
	if why := fl.f.opt.Contact(); why != nil && !seeded.Bug(seeded.ServesAfterFence) {
		for i := range fl.parts {
			fl.parts[i].release()
			fl.parts[i].res.Diverging = nil
			fl.parts[i].err = &kerr.Error{Code: kerr.NotLeaderOrFollower, Message: why.Error()}
		}
	}
	fl.answer(fl.parts)
}

// The states of a parking.
const (
	registering int32 = iota
	parked
	woken
)

// parking is one wait of a flight. Late calls of its waiters find it woken and do nothing, so a flight may park again.
type parking struct {
	fl      *flight
	need    atomic.Int64
	state   atomic.Int32
	waiters []partition.Waiter // by index in fl.parts; registered up to n
	n       int
	timer   *time.Timer
	stop    func() bool // of the context's callback
}

// park registers the fetch at its partitions until need bytes have become readable there, the deadline passes or the client has gone.
// It returns false if that is so already; then the caller goes on.
func (fl *flight) park(need int) bool {
	pk := &parking{fl: fl, waiters: make([]partition.Waiter, len(fl.parts))}
	pk.need.Store(int64(need))
	wake := pk.wake
	for i := range fl.parts {
		pt, w := &fl.parts[i], &pk.waiters[i]
		w.Wake, w.Isolation = wake, fl.level
		if !pt.p.Watch(w, pt.res.Limit(fl.level)) {
			pk.unwatch()
			return false
		}
		pk.n++
	}
	pk.timer = time.AfterFunc(fl.deadline.Sub(fl.f.opt.Now()), pk.end)
	pk.stop = context.AfterFunc(fl.ctx, pk.end)
	fl.f.metrics.parked.Inc()
	if !pk.state.CompareAndSwap(registering, parked) {
		pk.leave()
		return false
	}
	return true
}

// wake counts the bytes that became readable.
func (pk *parking) wake(n int) {
	if n == math.MaxInt || pk.need.Add(-int64(n)) <= 0 {
		pk.end()
	}
}

// end ends the wait. The next round runs on a goroutine of its own: the caller may be the WAL.
func (pk *parking) end() {
	if pk.state.Swap(woken) == parked {
		go func() {
			pk.leave()
			pk.fl.run()
		}()
	}
}

// leave undoes what park has set up.
func (pk *parking) leave() {
	pk.fl.f.metrics.parked.Dec()
	pk.timer.Stop()
	pk.stop()
	pk.unwatch()
}

func (pk *parking) unwatch() {
	for i := range pk.n {
		pk.fl.parts[i].p.Unwatch(&pk.waiters[i])
	}
}

// told is what the client is told of a partition.
func (pt *part) told() (code kerr.Code, hw, lso, logStart base.Offset) {
	code = kerr.CodeOf(pt.err)
	if code == kerr.None || code == kerr.OffsetOutOfRange {
		return code, pt.res.HW, pt.res.LSO, pt.res.LogStart
	}
	return code, -1, -1, -1
}
