package coord

import (
	"bytes"
	"context"
	"sync"
	"time"

	"sluice/base"
	"sluice/broker/partition"
	"sluice/wire/batch"
	"sluice/wire/kerr"
)

// Partition is what PartitionLog needs of a *partition.Partition.
type Partition interface {
	Append(req partition.AppendRequest, done func(partition.AppendResult))
	Read(ctx context.Context, req partition.ReadRequest) (partition.ReadResult, error)
	Bounds() (logStart, hw, lso, leo base.Offset)
}

// PartitionLogOptions are the settings of a PartitionLog.
type PartitionLogOptions struct {
	// Admit waits for room for an append of so many bytes; nil means there always is. Appends wait in order, for as long as it takes.
	Admit func(ctx context.Context, bytes int) error
	// BatchBytesMax returns the largest record batch the partition takes, in bytes, header included; nil means 1 MiB.
	BatchBytesMax func() int
	// Now stamps records; nil means time.Now.
	Now func() time.Time
}

// PartitionLog is the Log of an open partition: it makes batches, waits for admission, and reads them back.
type PartitionLog struct {
	p      Partition
	opt    PartitionLogOptions
	ctx    context.Context // ends with Stop; for the worker that waits for admission
	cancel context.CancelFunc
	ended  sync.WaitGroup

	mu struct {
		sync.Mutex
		queue   []queued
		running bool
	}
}

type queued struct {
	req  partition.AppendRequest
	done func(base.Offset, error)
}

const (
	batchBytesDefault = 1 << 20
	replayReadBytes   = 1 << 20
)

// NewPartitionLog makes a Log. The caller stops it when the partition is given up.
func NewPartitionLog(p Partition, opt PartitionLogOptions) *PartitionLog {
	if opt.BatchBytesMax == nil {
		opt.BatchBytesMax = func() int { return batchBytesDefault }
	}
	if opt.Now == nil {
		opt.Now = time.Now
	}
	l := &PartitionLog{p: p, opt: opt}
	l.ctx, l.cancel = context.WithCancel(context.Background())
	return l
}

// Stop fails the appends that wait for admission, and those to come. It does not block.
func (l *PartitionLog) Stop() { l.cancel() }

// Wait waits, after Stop, until the goroutine has ended.
func (l *PartitionLog) Wait() { l.ended.Wait() }

// BatchBytesMax implements Log.
func (l *PartitionLog) BatchBytesMax() int { return l.opt.BatchBytesMax() - batch.HeaderBytes }

// Append implements Log.
func (l *PartitionLog) Append(records []Record, done func(base.Offset, error)) {
	l.enqueue(queued{l.request(records, batch.Options{}), done})
}

// AppendTxn implements TxnLog.
func (l *PartitionLog) AppendTxn(a Append, done func(base.Offset, error)) {
	var req partition.AppendRequest
	if m := a.Marker; m != nil {
		marker := batch.Marker{Commit: m.Commit, CoordinatorEpoch: m.CoordinatorEpoch}
		req = partition.AppendRequest{
			Batch:  batch.AppendMarker(nil, marker, m.ProducerID, m.Epoch, l.opt.Now().UnixMilli()),
			Origin: partition.Coordinator, TransactionVersion: m.TransactionVersion,
		}
	} else {
		req = l.request(a.Records, batch.Options{
			Idempotent: true, Transactional: true, ProducerID: a.Producer.ID, ProducerEpoch: a.Producer.Epoch, BaseSequence: batch.NoSequence,
		})
		req.Guard = a.Producer.Guard
	}
	l.enqueue(queued{req, func(first base.Offset, err error) {
		switch code := kerr.CodeOf(err); code {
		case kerr.InvalidProducerEpoch, kerr.InvalidTxnState, kerr.TransactionCoordinatorFenced: // only ever said before anything is written
			err = &Refusal{code}
		}
		done(first, err)
	}})
}

func (l *PartitionLog) request(records []Record, opt batch.Options) partition.AppendRequest {
	b := batch.NewBuilder(opt)
	now := l.opt.Now().UnixMilli()
	for _, r := range records {
		b.Add(batch.Record{Timestamp: now, Key: r.Key, Value: r.Value})
	}
	return partition.AppendRequest{Batch: b.Bytes(), Origin: partition.Coordinator}
}

func (l *PartitionLog) enqueue(q queued) {
	if l.opt.Admit == nil {
		l.append(q)
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.mu.queue = append(l.mu.queue, q)
	if !l.mu.running {
		l.mu.running = true
		l.ended.Add(1)
		go l.work()
	}
}

// work admits and appends, oldest first, until nothing waits.
func (l *PartitionLog) work() {
	defer l.ended.Done()
	for {
		l.mu.Lock()
		if len(l.mu.queue) == 0 {
			l.mu.running = false
			l.mu.queue = nil
			l.mu.Unlock()
			return
		}
		q := l.mu.queue[0]
		l.mu.queue[0] = queued{}
		l.mu.queue = l.mu.queue[1:]
		l.mu.Unlock()
		if err := l.opt.Admit(l.ctx, len(q.req.Batch)); err != nil {
			q.done(0, err)
			continue
		}
		l.append(q)
	}
}

func (l *PartitionLog) append(q queued) {
	l.p.Append(q.req, func(r partition.AppendResult) {
		q.done(r.Base, r.Err)
	})
}

// Replay implements Log.
func (l *PartitionLog) Replay(ctx context.Context, fn func(Record) error) error {
	from, end, _, _ := l.p.Bounds()
	for from < end {
		res, err := l.p.Read(ctx, partition.ReadRequest{
			From: from, MaxBytes: replayReadBytes, MinOne: true, LeaderEpoch: partition.NoEpoch, LastEpoch: partition.NoEpoch,
		})
		if err != nil {
			return err
		}
		if res.Chunk == nil || res.Chunk.End <= from {
			return base.Errorf(base.Corrupt, "the log ends at %d, not at %d", from, end)
		}
		err = replayChunk(res.Chunk.Segments, base.OffsetRange{Start: from, End: end}, fn)
		from = res.Chunk.End
		res.Chunk.Release()
		if err != nil {
			return err
		}
	}
	return nil
}

func replayChunk(segments [][]byte, within base.OffsetRange, fn func(Record) error) error {
	for _, seg := range segments {
		for b, err := range batch.All(seg) {
			if err == nil {
				err = replayBatch(b, within, fn)
			}
			if err != nil {
				return err
			}
		}
	}
	return nil
}

// replayBatch replays the records of a batch that are in the range; their bytes are copied, for the batch is borrowed.
func replayBatch(b batch.Batch, within base.OffsetRange, fn func(Record) error) error {
	if b.IsControl() {
		return replayMarker(b, within, fn)
	}
	producer := int64(-1)
	if b.IsTransactional() {
		producer = b.ProducerID()
	}
	for r, err := range b.Records(batch.Limits{}) {
		if err != nil {
			return err
		}
		offset := base.Offset(b.BaseOffset() + int64(r.OffsetDelta))
		if !within.Contains(offset) {
			continue
		}
		rec := Record{Offset: offset, Timestamp: r.Timestamp, ProducerID: producer, Key: bytes.Clone(r.Key), Value: bytes.Clone(r.Value)}
		if err := fn(rec); err != nil {
			return err
		}
	}
	return nil
}

// replayMarker replays a marker. A control batch without one is what a compaction has left.
func replayMarker(b batch.Batch, within base.OffsetRange, fn func(Record) error) error {
	m, ok := b.Marker()
	offset := base.Offset(b.BaseOffset())
	if !ok || !within.Contains(offset) {
		return nil
	}
	return fn(Record{Offset: offset, Timestamp: b.MaxTimestamp(), ProducerID: b.ProducerID(), Marker: &Marker{
		ProducerID: b.ProducerID(), Epoch: b.ProducerEpoch(), CoordinatorEpoch: m.CoordinatorEpoch, Commit: m.Commit,
	}})
}
