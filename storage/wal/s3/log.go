package s3

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"math"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"sluice/base"
	"sluice/base/seeded"
	"sluice/storage/objstore/driver"
	"sluice/storage/slotlog"
	"sluice/storage/wal/block"
	"sluice/storage/wal/commit"
)

const (
	blockBytes     = 8 << 20
	maxRecordBytes = 256 << 20
	inFlight       = 8
	defaultPuts    = 4 // per second
	// A put that was given up may come for so long: the bounds of a request in package objstore/s3 are shorter.
	lateAfter = 5 * time.Minute
)

// Log is the WAL that this process writes.
type Log struct {
	opt      block.Options
	slots    slotlog.Log
	epoch    uint64
	queue    *commit.Queue
	writer   *slotlog.Writer
	metrics  *commit.Metrics
	gauges   []prometheus.Collector
	resweeps prometheus.Counter
	pump     sync.WaitGroup

	late []string // keys to be deleted again; belongs to who is deleting

	mu struct {
		sync.Mutex
		sizes    []int64     // of the blocks [first, …) that are not trimmed
		first    base.WALPos // the trim position
		used     int64
		deleted  base.WALPos // slots below are deleted
		deleting bool
	}
	closing  sync.Once
	closeErr error
}

var _ block.Log = (*Log)(nil)

// store returns where the log is.
func (c Class) store(ctx context.Context, opt block.Options) (driver.Store, error) {
	switch {
	case c.URL != "" && opt.OpenStore != nil:
		return opt.OpenStore(ctx, c.URL)
	case c.URL == "" && opt.Store != nil:
		return opt.Store, nil
	}
	return nil, base.Errorf(base.Invalid, "a WAL of class s3 needs a bucket")
}

func (c Class) slots(ctx context.Context, opt block.Options, node base.NodeID) (slotlog.Log, error) {
	store, err := c.store(ctx, opt)
	if err != nil {
		return slotlog.Log{}, err
	}
	return Slots(store, opt.Cluster, node), nil
}

// Create starts the WAL of a new node epoch.
func (c Class) create(ctx context.Context, opt block.Options) (*Log, error) {
	sl, err := c.slots(ctx, opt, opt.Node)
	if err != nil {
		return nil, err
	}
	l := &Log{opt: opt, slots: sl, epoch: uint64(opt.Epoch)}
	if _, err := sl.Read(driver.WithPurpose(ctx, driver.PurposeWAL), l.epoch, 0); !base.IsKind(err, base.NotFound) {
		if err == nil {
			err = base.Errorf(base.Exists, "%v: this node epoch has, or had, a WAL", l)
		}
		return nil, err
	}
	if l.opt.Logger == nil {
		l.opt.Logger = slog.New(slog.DiscardHandler)
	}
	rate := opt.PutsPerSecond
	if rate <= 0 {
		rate = defaultPuts
	}
	l.metrics = commit.NewMetrics(opt.Registerer, "s3", opt.Volume)
	l.register()
	l.writer = sl.NewWriter(l.epoch, 0, slotlog.WriterOptions{InFlight: inFlight, Hedge: true, Purpose: driver.PurposeWAL, Logger: opt.Logger, Registerer: opt.Registerer})
	l.queue = commit.NewQueue(commit.Options{
		Cluster: opt.Cluster, Node: opt.Node, Epoch: opt.Epoch, Pool: opt.Pool,
		BlockBytes: blockBytes, ArenaBytes: blockBytes, MaxRecordBytes: maxRecordBytes,
		Pace: NewBudget(rate, inFlight), OnBlock: l.onBlock, OnFailed: l.failed, Metrics: l.metrics,
	})
	l.pump.Go(l.write)
	l.opt.Logger.Info("WAL started", "slots", l.String(), "putsPerSecond", rate)
	return l, nil
}

// write hands blocks to the slot log.
func (l *Log) write() {
	for {
		b, ok := l.queue.Next(func(base.WALPos, int) (uint64, error) { return 0, nil })
		if !ok {
			return
		}
		if seeded.Bug(seeded.AckBeforeDurable) {
			l.writer.AppendFor(b.Shares(), [][]byte{bytes.Clone(b.Bytes())}, uint32(b.Count()), func(uint64, error) {})
			l.queue.Finish(b, nil)
			continue
		}
		pos := b.Pos()
		l.writer.AppendFor(b.Shares(), [][]byte{b.Bytes()}, uint32(b.Count()), func(slot uint64, err error) {
			if err == nil && slot != uint64(pos) {
				panic(fmt.Sprintf("BUG: wal: block %d is in slot %d", pos, slot))
			}
			l.queue.Finish(b, err)
			l.queue.Kick()
		})
	}
}

func (l *Log) onBlock(b *block.Block) {
	l.mu.Lock()
	l.mu.sizes = append(l.mu.sizes, int64(b.Bytes))
	l.mu.used += int64(b.Bytes)
	l.mu.Unlock()
	if l.opt.OnBlock != nil {
		l.opt.OnBlock(b)
	} else {
		b.Release()
	}
}

func (l *Log) failed(err error) {
	l.opt.Logger.Error("the WAL has failed and accepts nothing any more", "slots", l.String(), "err", err)
	if l.opt.OnFailed != nil {
		l.opt.OnFailed(err)
	}
}

// Append implements block.Log.
func (l *Log) Append(r block.Record, done func(error)) { l.queue.Append(r, done) }

// Durable implements block.Log.
func (l *Log) Durable() base.WALPos { return l.queue.Durable() }

// Trim implements block.Log. When deleting fails, the room counts as free all the same, and the next Trim deletes the slots.
func (l *Log) Trim(ctx context.Context, to base.WALPos) error {
	if d := l.queue.Durable(); to > d {
		return base.Errorf(base.OutOfRange, "trim WAL to %d, which is past its durable end %d", to, d)
	}
	from, to, work := l.beginDelete(to)
	if l.opt.OnRoom != nil {
		l.opt.OnRoom()
	}
	if !work {
		return nil
	}
	ctx = driver.WithPurpose(ctx, driver.PurposeDelete)
	err := l.slots.DeleteOwn(ctx, l.epoch, uint64(from), uint64(to))
	if err == nil {
		err = l.deleteLate(ctx, uint64(from))
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.mu.deleting = false
	if err == nil {
		l.mu.deleted = to
	}
	return err
}

// deleteLate deletes again the slots below to, deleted before, into which a put that was given up may have come since. What comes later still,
// or after the last Trim, goes with the WAL (see Class.Remove), or is found by who looks for slots below a trim.
func (l *Log) deleteLate(ctx context.Context, to uint64) error {
	for _, slot := range l.writer.Doubtful(to, time.Now().Add(-lateAfter)) {
		if slot > 0 { // which is never deleted
			l.late = append(l.late, l.slots.Key(l.epoch, slot))
		}
	}
	if len(l.late) == 0 {
		return nil
	}
	if err := l.slots.Store.Delete(driver.WithPurpose(ctx, driver.PurposeDelete), l.late...); err != nil {
		return fmt.Errorf("delete slots again: %w", err)
	}
	l.resweeps.Add(float64(len(l.late)))
	l.late = nil
	return nil
}

// beginDelete notes the trim, and gives the caller the slots to delete unless another call is deleting.
func (l *Log) beginDelete(to base.WALPos) (from, until base.WALPos, work bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for l.mu.first < to {
		l.mu.used -= l.mu.sizes[0]
		l.mu.sizes = l.mu.sizes[1:]
		l.mu.first++
	}
	if l.mu.deleting || l.mu.deleted >= l.mu.first {
		return 0, 0, false
	}
	l.mu.deleting = true
	return l.mu.deleted, l.mu.first, true
}

// Capacity implements block.Log: a bucket has no end.
func (l *Log) Capacity() int64 { return math.MaxInt64 }

// Used implements block.Log.
func (l *Log) Used() int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.mu.used + l.queue.Pending()
}

func (l *Log) String() string { return l.slots.Store.String() + "/" + l.slots.EpochPrefix(l.epoch) }

// Close implements block.Log.
func (l *Log) Close(ctx context.Context) error {
	l.closing.Do(func() {
		l.closeErr = l.queue.Close(ctx)
		l.writer.Close() // nothing is pending, or what is pending has to end
		l.pump.Wait()
		<-l.queue.Done()
		l.metrics.Unregister(l.opt.Registerer)
		for _, c := range l.gauges {
			l.opt.Registerer.Unregister(c)
		}
	})
	return l.closeErr
}

// register makes the metrics that only this class has, and those that need the log.
func (l *Log) register() {
	labels := commit.Labels("s3", l.opt.Volume)
	l.resweeps = prometheus.NewCounter(prometheus.CounterOpts{Name: "sluice_wal_slots_deleted_again_total",
		Help: "Trimmed slots that were deleted again because a put that was given up may have come late.", ConstLabels: labels})
	if l.opt.Registerer == nil {
		return
	}
	gauge := func(name, help string, value func() float64) prometheus.Collector {
		return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "sluice_wal_" + name, Help: help, ConstLabels: labels}, value)
	}
	l.gauges = []prometheus.Collector{
		l.resweeps,
		gauge("used_bytes", "Bytes in the WAL that are not trimmed.", func() float64 { return float64(l.Used()) }),
		gauge("pending_bytes", "Bytes that were appended and are not durable yet.", func() float64 { return float64(l.queue.Pending()) }),
		gauge("lag_seconds", "How long the oldest block that is being written has been; 0 when none is.", func() float64 { return l.queue.Stalled().Seconds() }),
	}
	l.opt.Registerer.MustRegister(l.gauges...)
}
