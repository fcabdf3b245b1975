package streamtest

import (
	"context"
	"iter"
	"slices"
	"sync"

	"sluice/base"
	"sluice/base/slab"
	"sluice/storage/wal"
)

// Log is a WAL in memory. Appends collect in the open block until Commit makes it durable; in automatic mode a goroutine commits
// whatever is there. What is durable survives the engine and can be read with Blocks.
type Log struct {
	Pool     *slab.Pool
	OnBlock  func(*wal.Block)
	OnRoom   func()
	OnTrim   func(to base.WALPos) // before anything is trimmed, if not nil
	Limit    int64                // capacity in bytes; 0: unbounded
	commitMu sync.Mutex

	mu struct {
		sync.Mutex
		open    []wal.Record // Data copied
		dones   []func(error)
		durable []savedBlock // from trim on
		trim    base.WALPos
		next    base.WALPos
		used    int64
		err     error
	}
	kick chan struct{} // automatic mode
	done chan struct{}
}

type savedBlock struct {
	records []wal.Record
	bytes   int64
}

var _ wal.Log = (*Log)(nil)

// Auto starts automatic mode. Close ends it.
func (l *Log) Auto() *Log {
	l.kick, l.done = make(chan struct{}, 1), make(chan struct{})
	go func() {
		defer close(l.done)
		for range l.kick {
			l.Commit()
		}
	}()
	return l
}

// Append implements wal.Log.
func (l *Log) Append(r wal.Record, done func(error)) {
	r.Data = slices.Clone(r.Data)
	l.mu.Lock()
	l.mu.open = append(l.mu.open, r)
	l.mu.dones = append(l.mu.dones, done)
	l.mu.used += int64(len(r.Data))
	l.mu.Unlock()
	if l.kick != nil {
		select {
		case l.kick <- struct{}{}:
		default:
		}
	}
}

// Commit makes the open block durable and completes its appends. It reports whether there was one.
func (l *Log) Commit() bool {
	l.commitMu.Lock()
	defer l.commitMu.Unlock()
	l.mu.Lock()
	records, dones, err := l.mu.open, l.mu.dones, l.mu.err
	l.mu.open, l.mu.dones = nil, nil
	if len(records) == 0 {
		l.mu.Unlock()
		return false
	}
	saved := savedBlock{records: records}
	for _, r := range records {
		saved.bytes += int64(len(r.Data))
	}
	pos := l.mu.next
	if err == nil {
		l.mu.durable = append(l.mu.durable, saved)
		l.mu.next++
	}
	l.mu.Unlock()
	if err == nil && l.OnBlock != nil {
		l.OnBlock(saved.block(pos, l.Pool))
	}
	for _, done := range dones {
		done(err)
	}
	return true
}

// block copies a saved block into fresh memory, as reading it from a disk would.
func (s *savedBlock) block(pos base.WALPos, pool *slab.Pool) *wal.Block {
	buf := pool.Get(int(s.bytes))
	b := &wal.Block{Pos: pos, Records: slices.Clone(s.records), Buf: buf, Bytes: int(s.bytes), Mem: len(buf.B)}
	used := 0
	for i := range b.Records {
		n := copy(buf.B[used:], b.Records[i].Data)
		b.Records[i].Data = buf.B[used : used+n]
		used += n
	}
	return b
}

// Seal makes every append that is not durable fail, now and for ever.
func (l *Log) Seal() { l.fail(base.Errorf(base.Fenced, "the WAL is sealed")) }

// Fail does the same as a disk that refuses a write.
func (l *Log) Fail() { l.fail(base.Errorf(base.Failed, "the disk is broken")) }

func (l *Log) fail(err error) {
	l.mu.Lock()
	if l.mu.err == nil {
		l.mu.err = err
	}
	l.mu.Unlock()
	l.Commit()
}

// Blocks yields the durable blocks from a position on, in fresh memory of pool.
func (l *Log) Blocks(pool *slab.Pool, from base.WALPos) iter.Seq2[*wal.Block, error] {
	return func(yield func(*wal.Block, error) bool) {
		l.mu.Lock()
		saved, trim := slices.Clone(l.mu.durable), l.mu.trim
		l.mu.Unlock()
		if from < trim {
			yield(nil, base.Errorf(base.Corrupt, "block %d is trimmed up to %d", from, trim))
			return
		}
		for i := int(from - trim); i < len(saved); i++ {
			if !yield(saved[i].block(trim+base.WALPos(i), pool), nil) {
				return
			}
		}
	}
}

// Durable implements wal.Log.
func (l *Log) Durable() base.WALPos {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.mu.next
}

// Trim implements wal.Log.
func (l *Log) Trim(ctx context.Context, to base.WALPos) error {
	if l.OnTrim != nil {
		l.OnTrim(to)
	}
	l.mu.Lock()
	if to > l.mu.next {
		l.mu.Unlock()
		return base.Errorf(base.OutOfRange, "trim to %d, durable is %d", to, l.mu.next)
	}
	for l.mu.trim < to {
		l.mu.used -= l.mu.durable[0].bytes
		l.mu.durable = l.mu.durable[1:]
		l.mu.trim++
	}
	l.mu.Unlock()
	if l.OnRoom != nil {
		l.OnRoom()
	}
	return nil
}

// Close implements wal.Log.
func (l *Log) Close(ctx context.Context) error {
	for l.Commit() {
	}
	l.mu.Lock()
	if l.mu.err == nil {
		l.mu.err = base.Errorf(base.Closed, "the WAL is closed")
	}
	l.mu.Unlock()
	if l.kick != nil {
		close(l.kick)
		<-l.done
		l.kick = nil
	}
	return nil
}

// Capacity implements wal.Log.
func (l *Log) Capacity() int64 { return l.Limit }

// Used implements wal.Log.
func (l *Log) Used() int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.mu.used
}

func (l *Log) String() string { return "mem://" }
