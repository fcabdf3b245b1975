package file

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"math/rand/v2"
	"runtime"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"sluice/base"
	"sluice/base/seeded"
	"sluice/storage/wal/block"
	"sluice/storage/wal/commit"
)

// Log is the WAL that this process writes.
type Log struct {
	cfg          Config
	dir          string
	opt          block.Options
	queue        *commit.Queue
	space        *space
	metrics      *commit.Metrics
	watch        *watch
	gauges       []prometheus.Collector
	token        []byte
	lock         io.Closer // nil where DIR is shared
	log          *slog.Logger
	direct       bool // what the file system does for the first segment
	preallocated bool
	writers      sync.WaitGroup
	prepare      sync.WaitGroup

	released chan struct{} // closed when Close, or what it has left behind, has given files and lock back
	closing  sync.Once
	closeErr error
}

var _ block.Log = (*Log)(nil)

// Create starts the WAL of a new node epoch.
func (c Config) Create(ctx context.Context, opt block.Options) (block.Log, error) {
	if err := c.check(opt.Cluster, opt.Node); err != nil {
		return nil, err
	}
	l := &Log{cfg: c, dir: epochName(opt.Node, opt.Epoch), opt: opt, log: opt.Logger, released: make(chan struct{})}
	if l.log == nil {
		l.log = slog.New(slog.DiscardHandler)
	}
	l.space = newSpace(c.Capacity, c.Segment, opt.OnRoom, opt.OnFull)
	l.watch = newWatch(opt.StallTimeout, l.slow, l.hung)
	p, err := l.makeDir()
	if err != nil {
		return nil, err
	}
	l.metrics = commit.NewMetrics(opt.Registerer, "file", opt.Volume)
	l.registerGauges()
	q := commit.Options{
		Cluster: opt.Cluster, Node: opt.Node, Epoch: opt.Epoch, Pool: opt.Pool,
		BlockBytes: int(min(blockBytes, c.Segment/4)), ArenaBytes: arenaBytes, MaxRecordBytes: c.maxRecord(),
		Pace:    commit.Natural{Writers: writers, SecondBytes: c.SecondBytes},
		OnBlock: opt.OnBlock, OnFailed: l.failed, Metrics: l.metrics,
	}
	if c.Shared && !seeded.Bug(seeded.SkipFenceRecheck) {
		q.Confirm = func() error { return l.watch.do(slotConfirm, func() error { return c.confirm(l.dir, l.token) }) }
	}
	l.queue = commit.NewQueue(q)
	p.durable, p.fail = l.queue.Durable, func(err error) { l.queue.Fail(l.cause(slotPrepare, err)) }
	l.prepare.Go(p.run)
	for slot := range writers {
		l.writers.Go(func() { l.write(slot) })
	}
	l.log.Info("WAL started", "dir", c.in(l.dir), "shared", c.Shared, "direct", l.direct, "preallocated", l.preallocated, "capacity", c.Capacity)
	if !l.preallocated && runtime.GOOS == "linux" { // elsewhere it is not even tried
		l.log.Warn("the file system sets no room aside for the WAL: keep its capacity free, for a disk that gets full fails the WAL", "dir", c.in(l.dir), "capacity", c.Capacity)
	}
	return l, nil
}

// makeDir makes the node epoch's directory whole under another name, with token, lock and the first segment, and then gives it
// its own name, which must not be taken.
func (l *Log) makeDir() (*preparer, error) {
	victim := block.Victim{Node: l.opt.Node, Epoch: l.opt.Epoch}
	if _, err := l.cfg.FS.List(l.cfg.in(l.dir)); err == nil {
		return nil, base.Errorf(base.Exists, "%s exists: this node epoch has, or had, a WAL", l.cfg.in(l.dir))
	}
	l.removeLeftovers()
	l.cfg.endRemoved()
	tmp := fmt.Sprintf("%s%s-%016x", tmpPrefix, l.dir, rand.Uint64())
	l.token = newToken(l.opt.Cluster, victim, base.NewUUID())
	p := &preparer{watch: newWatch(0, nil, nil), cfg: l.cfg, dir: tmp, cluster: l.opt.Cluster, victim: victim, space: l.space, durable: func() base.WALPos { return 0 }, log: l.log}
	if err := l.fillDir(tmp, p); err != nil {
		l.abandon(tmp)
		return nil, err
	}
	if err := l.cfg.claim(tmp, l.dir, l.token); err != nil {
		l.abandon(tmp)
		return nil, err
	}
	if err := l.cfg.refuseOver(victim); err != nil {
		l.abandon(tmp)
		return nil, err
	}
	p.dir, p.watch = l.dir, l.watch // up to here nobody waits but who starts
	return p, nil
}

func (l *Log) fillDir(tmp string, p *preparer) (err error) {
	c := l.cfg
	if err := c.FS.Mkdir(c.in(tmp)); err != nil {
		return classify(err)
	}
	if err := c.FS.Put(c.in(tmp, tokenName), l.token); err != nil {
		return classify(err)
	}
	if err := c.FS.Put(c.in(tmp, lockName), nil); err != nil {
		return classify(err)
	}
	if !c.Shared {
		if l.lock, err = c.FS.Lock(c.in(tmp, lockName)); err != nil {
			return fmt.Errorf("lock %s (on a file system that several hosts see, say shared=true): %w", c.in(tmp), classify(err))
		}
	}
	size := min(firstSegment, c.Segment)
	seg, err := p.make(size, func() bool { return false })
	if isFull(err) {
		return base.Errorf(base.Full, "no room for the first WAL segment, %d bytes, in %s: %w", size, c.Dir, err)
	}
	if err != nil {
		return classify(fmt.Errorf("make the first WAL segment: %w", err))
	}
	l.direct, l.preallocated = seg.file.Direct(), seg.file.Preallocated()
	l.space.mu.bytes = size
	l.space.add(seg)
	return nil
}

func (l *Log) abandon(tmp string) {
	for _, seg := range l.space.all() {
		seg.file.Close()
	}
	if l.lock != nil {
		l.lock.Close()
	}
	l.cfg.FS.Remove(l.cfg.in(tmp))
}

// tmpPrefix begins the name of a directory that is being made, oldPrefix that of one that is being removed.
const (
	tmpPrefix = ".new-"
	oldPrefix = ".old-"
)

// removeLeftovers deletes what earlier starts of this node left half made. Whether it is a leftover nobody can tell: a rescuer may be
// about to name it (sealMissing), or another process with this node's number. So it takes the directory out of their way by one
// rename before it deletes what is in it: they find it gone, or it is theirs and whole.
func (l *Log) removeLeftovers() {
	names, _ := l.cfg.FS.List(l.cfg.Dir)
	for _, name := range names {
		if rest, ok := strings.CutPrefix(name, tmpPrefix); ok && strings.HasPrefix(rest, fmt.Sprintf("%d-", l.opt.Node)) {
			if l.cfg.FS.Rename(l.cfg.in(name), l.cfg.in(oldPrefix+rest)) == nil {
				l.cfg.FS.Remove(l.cfg.in(oldPrefix + rest))
			}
		}
		if strings.HasPrefix(name, fmt.Sprintf("%s%d-", oldPrefix, l.opt.Node)) {
			l.cfg.FS.Remove(l.cfg.in(name))
		}
	}
}

// claim gives the directory tmp, which holds that token, its final name. Exists when the name is taken; a rename that was repeated
// by NFS and reports an error has succeeded if the token there is ours.
func (c Config) claim(tmp, dir string, token []byte) error {
	err := c.FS.SyncDir(c.in(tmp))
	if err != nil {
		return classify(err)
	}
	if err := c.FS.Rename(c.in(tmp), c.in(dir)); err != nil {
		b, readErr := c.FS.ReadFile(c.in(dir, tokenName))
		switch {
		case errors.Is(readErr, fs.ErrNotExist):
			return classify(err)
		case readErr != nil:
			return classify(readErr)
		case string(b[:min(len(b), tokenSlot)]) != string(token[:tokenSlot]):
			return base.Errorf(base.Exists, "%s exists: this node epoch has, or had, a WAL", c.in(dir))
		}
	}
	return classify(c.FS.SyncDir(c.Dir))
}

// write is a writer's goroutine.
func (l *Log) write(slot int) {
	for {
		var seg *segment
		var off int64
		b, ok := l.queue.Next(func(pos base.WALPos, size int) (uint64, error) {
			var err error
			if seg, off, err = l.space.place(pos, size); err != nil {
				return 0, err
			}
			return seg.stamp.seq, nil
		})
		if !ok {
			return
		}
		write := seg.file.WriteDurable
		if seeded.Bug(seeded.SkipSync) {
			write = func(p []byte, off int64) error { go seg.file.WriteDurable(bytes.Clone(p), off); return nil }
		}
		err := l.watch.do(slot, func() error { return write(b.Padded(), off) })
		if err != nil {
			err = l.cause(slot, base.Errorf(base.Failed, "write %s, offset %d: %w", l.cfg.in(l.dir, seg.name), off, err))
		}
		l.queue.Finish(b, err)
	}
}

// cause says why an operation has failed with err: where the log was sealed its files may be gone, and that is what counts.
func (l *Log) cause(slot int, err error) error {
	if l.cfg.Shared {
		if fenced := l.watch.do(slot, func() error { return l.cfg.confirm(l.dir, l.token) }); base.IsKind(fenced, base.Fenced) {
			return fmt.Errorf("%w; then: %v", fenced, err)
		}
	}
	return err
}

// slow is told of a disk operation that takes long, hung of one that takes too long.
func (l *Log) slow(what string, age time.Duration) {
	l.log.Warn("the disk of a WAL does not answer; if it goes on, the WAL counts as failed", "dir", l.cfg.in(l.dir), "operation", what, "for", age.Round(time.Millisecond), "wal-stall-timeout", l.watch.limit)
}

func (l *Log) hung(what string, age time.Duration) {
	l.queue.GiveUp(base.Errorf(base.Failed, "%s in %s has not ended for %v (wal-stall-timeout): the disk hangs", what, l.cfg.in(l.dir), age.Round(time.Millisecond)))
}

// failed is called once when the queue has failed.
func (l *Log) failed(err error) {
	l.log.Error("the WAL has failed and accepts nothing any more", "dir", l.cfg.in(l.dir), "err", err)
	l.space.fail(err)
	if l.opt.OnFailed != nil {
		l.opt.OnFailed(err)
	}
}

// Append implements block.Log.
func (l *Log) Append(r block.Record, done func(error)) { l.queue.Append(r, done) }

// Durable implements block.Log.
func (l *Log) Durable() base.WALPos { return l.queue.Durable() }

// Trim implements block.Log.
func (l *Log) Trim(_ context.Context, to base.WALPos) error {
	if d := l.queue.Durable(); to > d {
		return base.Errorf(base.OutOfRange, "trim WAL to %d, which is past its durable end %d", to, d)
	}
	l.space.trim(to)
	return nil
}

// Capacity implements block.Log. It is less while the disk is full.
func (l *Log) Capacity() int64 { return l.space.capacityBytes() }

// Used implements block.Log.
func (l *Log) Used() int64 { return l.space.usedBytes() + l.queue.Pending() }

func (l *Log) String() string { return l.cfg.String() }

// Close implements block.Log.
func (l *Log) Close(ctx context.Context) error {
	l.closing.Do(func() { l.closeErr = l.close(ctx) })
	return l.closeErr
}

func (l *Log) close(ctx context.Context) error {
	err := l.queue.Close(ctx)
	l.space.fail(base.Errorf(base.Closed, "the WAL is closed"))
	inOrder := err == nil && l.queue.Err() == nil
	go l.release(inOrder)
	select {
	case <-l.released:
	case <-l.watch.hung:
		err = base.Errorf(base.Unavailable, "close WAL %s: the disk hangs; files and lock are held until its calls return", l.cfg.in(l.dir))
	case <-ctx.Done():
		if err == nil {
			err = base.Errorf(base.Unavailable, "close WAL %s: %w", l.cfg.in(l.dir), context.Cause(ctx))
		}
	}
	l.unregisterGauges()
	return err
}

// release gives files and lock back, when nothing is done any more that they are needed for: calls that hang have returned.
func (l *Log) release(inOrder bool) {
	defer close(l.released)
	l.writers.Wait()
	if inOrder {
		l.watch.do(slotEnd, l.writeEnd)
	}
	l.prepare.Wait()
	<-l.queue.Done()
	for _, seg := range l.space.all() {
		seg.file.Close()
	}
	if l.lock != nil {
		l.lock.Close()
	}
}

// writeEnd marks the end of a log that is closed in order, so that a bad last block will not be taken for a torn one. It is a
// help and no more: no error, no waiting for room.
func (l *Log) writeEnd() error {
	l.space.mu.Lock()
	var seg *segment
	if n := len(l.space.mu.live); n > 0 && l.space.mu.live[n-1].room() >= block.Align {
		seg = l.space.mu.live[n-1]
	}
	l.space.mu.Unlock()
	if seg == nil {
		return nil
	}
	end := aligned(block.Align)
	l.queue.PutEnd(end, seg.stamp.seq)
	if err := seg.file.WriteDurable(end, seg.at); err != nil {
		l.log.Warn("write the end mark of the WAL", "err", err)
	}
	return nil
}

func (l *Log) registerGauges() {
	if l.opt.Registerer == nil {
		return
	}
	gauge := func(name, help string, value func() float64) prometheus.Collector {
		return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "sluice_wal_" + name, Help: help, ConstLabels: commit.Labels("file", l.opt.Volume)}, value)
	}
	l.gauges = []prometheus.Collector{
		gauge("used_bytes", "Bytes in the WAL that are not trimmed.", func() float64 { return float64(l.Used()) }),
		gauge("capacity_bytes", "Bytes the WAL can hold.", func() float64 { return float64(l.Capacity()) }),
		gauge("stalled_seconds", "Age of the oldest disk operation of the WAL that has not ended, a write above all; 0 when none is going on.", func() float64 { return l.watch.oldest().Seconds() }),
		gauge("waiting_for_room", "1 while writing waits for a segment.", func() float64 {
			if l.space.urgent() {
				return 1
			}
			return 0
		}),
	}
	l.opt.Registerer.MustRegister(l.gauges...)
}

func (l *Log) unregisterGauges() {
	l.metrics.Unregister(l.opt.Registerer)
	for _, g := range l.gauges {
		l.opt.Registerer.Unregister(g)
	}
}
