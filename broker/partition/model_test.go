package partition

import (
	"bytes"
	"cmp"
	"errors"
	"runtime"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"sluice/base"
	"sluice/broker/partition/memlog"
	"sluice/wire/batch"
	"sluice/wire/kerr"
)

// TestModel runs random producers against a partition that crashes and is opened again, with tiny snapshots, and compares with the list
// of everything that was appended.
func TestModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		f := &fixture{wal: &memlog.WAL{}, epoch: 1, snapshot: rapid.Int64Range(1, 2000).Draw(t, "snapshot")}
		f.data, f.meta = f.wal.New(0), f.wal.New(0)
		f.open(t)
		m := &model{f: f, producers: map[int64]*modelProducer{}}
		t.Repeat(map[string]func(*rapid.T){
			"produce":  m.produce,
			"retry":    m.retry,
			"gap":      m.gap,
			"write":    m.write,
			"end":      m.end,
			"prune":    m.prune,
			"complete": func(t *rapid.T) { m.complete(t, rapid.IntRange(1, 5).Draw(t, "n")) },
			"crash":    m.crash,
			"restart":  m.restart,
			"trim":     m.trim,
			"":         m.check,
		})
	})
}

type modelBatch struct {
	raw    []byte
	id     int64
	epoch  int16
	seq    int32
	count  int32
	base   base.Offset
	result *AppendResult

	txn, marker, commit bool
}

type modelProducer struct {
	epoch int16
	next  int32
}

type model struct {
	f         *fixture
	log       []modelBatch
	waiting   []*AppendResult // results that must not be there before everything is durable
	producers map[int64]*modelProducer
	pruned    base.Offset // transactions that begin below may not be listed
}

func (m *model) next() base.Offset {
	if len(m.log) == 0 {
		return 0
	}
	b := m.log[len(m.log)-1]
	return b.base + base.Offset(b.count)
}

func (m *model) produce(t *rapid.T) {
	id := rapid.Int64Range(1, 3).Draw(t, "producer")
	p := m.producers[id]
	if p == nil {
		p = &modelProducer{next: rapid.SampledFrom([]int32{0, 5, 1<<31 - 3}).Draw(t, "first")}
		m.producers[id] = p
	}
	if rapid.IntRange(0, 9).Draw(t, "bump") == 0 {
		p.epoch, p.next = p.epoch+1, 0
	}
	b := modelBatch{id: id, epoch: p.epoch, seq: p.next, count: rapid.Int32Range(1, 3).Draw(t, "count"), base: m.next()}
	b.raw = records(int(b.count), idempotent(b.id, b.epoch, b.seq))
	b.result = m.f.send(bytes.Clone(b.raw))
	p.next = batch.AddSequence(p.next, b.count)
	m.log = append(m.log, b)
}

// transactional is the first of the two producers that write in transactions.
const transactional = 10

// write appends to the transaction of a producer, and begins one if need be.
func (m *model) write(t *rapid.T) {
	id := rapid.Int64Range(transactional, transactional+1).Draw(t, "producer")
	p := m.producers[id]
	if p == nil {
		p = &modelProducer{}
		m.producers[id] = p
	}
	b := modelBatch{id: id, epoch: p.epoch, seq: p.next, count: rapid.Int32Range(1, 3).Draw(t, "count"), base: m.next(), txn: true}
	b.raw = records(int(b.count), inTxn(b.id, b.epoch, b.seq))
	guard, needed := m.f.p.Verify(id, b.epoch, b.seq, false)
	if needed == m.open(id) {
		t.Fatalf("verification of producer %d: %v", id, needed)
	}
	if needed && rapid.IntRange(0, 3).Draw(t, "unverified") == 0 {
		res := m.f.sendReq(AppendRequest{Batch: bytes.Clone(b.raw), Version: 11, Transactional: true})
		if kerr.CodeOf(res.Err) != kerr.InvalidTxnState {
			t.Fatalf("outside of a transaction: %+v", res)
		}
		return
	}
	b.result = m.f.sendReq(AppendRequest{Batch: bytes.Clone(b.raw), Version: 11, Transactional: true, Guard: guard})
	p.next = batch.AddSequence(p.next, b.count)
	m.log = append(m.log, b)
}

// end appends a marker, also for a producer that has no transaction here.
func (m *model) end(t *rapid.T) {
	id := rapid.Int64Range(transactional, transactional+1).Draw(t, "producer")
	p := m.producers[id]
	if p == nil {
		p = &modelProducer{}
		m.producers[id] = p
	}
	b := modelBatch{id: id, epoch: p.epoch, seq: -1, count: 1, base: m.next(), txn: true, marker: true, commit: rapid.Bool().Draw(t, "commit")}
	req := marker(id, b.epoch, 0, b.commit)
	if rapid.Bool().Draw(t, "v2") {
		p.epoch, p.next = p.epoch+1, 0
		b.epoch = p.epoch
		req = marker(id, b.epoch, 0, b.commit)
		req.TransactionVersion = 2
	}
	b.raw = bytes.Clone(req.Batch)
	b.result = m.f.sendReq(req)
	m.log = append(m.log, b)
}

// open reports whether a producer's transaction is open at the end of the log.
func (m *model) open(id int64) (open bool) {
	for _, b := range m.log {
		if b.id == id && b.txn {
			open = !b.marker
		}
	}
	return open
}

// prune takes aborted transactions out of the index whose records have been deleted, as a compaction does.
func (m *model) prune(t *rapid.T) {
	start, _, _, _ := m.f.p.Bounds()
	m.f.p.ForgetAborted(m.f.p.Aborted(0, start))
	m.pruned = max(m.pruned, start)
}

// unstable returns the last stable offset, and the aborted transactions that overlap [from, to).
func (m *model) unstable(hw, from, to base.Offset) (lso base.Offset, aborted []AbortedTxn) {
	lso = hw
	first := map[int64]base.Offset{}
	for _, b := range m.log {
		at, open := first[b.id]
		switch {
		case b.txn && !b.marker && !open:
			first[b.id] = b.base
		case b.marker && open:
			delete(first, b.id)
			if b.base >= hw {
				lso = min(lso, at)
			}
			if !b.commit && at < to && b.base >= from {
				aborted = append(aborted, AbortedTxn{b.id, at})
			}
		}
	}
	for _, at := range first {
		lso = min(lso, at)
	}
	slices.SortFunc(aborted, func(a, b AbortedTxn) int { return cmp.Compare(a.FirstOffset, b.FirstOffset) })
	return lso, aborted
}

// lastOf returns the indexes in the log of a producer's last five batches under its epoch.
func (m *model) lastOf(id int64) (out []int) {
	p := m.producers[id]
	for i := len(m.log) - 1; i >= 0 && len(out) < batchesKept; i-- {
		if m.log[i].id == id && m.log[i].epoch == p.epoch {
			out = append(out, i)
		}
	}
	return out
}

func (m *model) retry(t *rapid.T) {
	last := m.lastOf(m.anyone(t))
	if len(last) == 0 {
		t.Skip("nothing to repeat")
	}
	b := m.log[rapid.SampledFrom(last).Draw(t, "which")]
	res := m.f.send(bytes.Clone(b.raw))
	switch {
	case b.base+base.Offset(b.count) <= m.f.data.Durable():
		if res.Base != b.base || res.Err != nil {
			t.Fatalf("retry of offset %d: %+v", b.base, res)
		}
	case res.Base != -7:
		t.Fatalf("retry of offset %d answered before it is durable: %+v", b.base, res)
	default:
		m.waiting = append(m.waiting, res)
	}
}

func (m *model) anyone(t *rapid.T) int64 {
	id := rapid.Int64Range(1, 3).Draw(t, "producer")
	if m.producers[id] == nil {
		t.Skip("unknown producer")
	}
	return id
}

func (m *model) gap(t *rapid.T) {
	id := m.anyone(t)
	p := m.producers[id]
	if len(m.lastOf(id)) == 0 {
		t.Skip("its state may be gone")
	}
	res := m.f.send(records(1, idempotent(id, p.epoch, batch.AddSequence(p.next, 1))))
	if kerr.CodeOf(res.Err) != kerr.OutOfOrderSequenceNumber {
		t.Fatalf("gap: %+v", res)
	}
}

func (m *model) complete(t *rapid.T, n int) {
	m.f.wal.Complete(n)
	hw := m.f.data.Durable()
	for _, b := range m.log {
		durable := b.base+base.Offset(b.count) <= hw
		if durable && (b.result.Base != b.base || b.result.Err != nil) || !durable && b.result.Base != -7 {
			t.Fatalf("HW %d, batch at %d: %+v", hw, b.base, b.result)
		}
	}
}

// crash loses what is not durable, and opens under the next epoch.
func (m *model) crash(t *rapid.T) {
	var logs []*memlog.Log
	m.f.wal, logs = m.f.wal.Crash(m.f.data, m.f.meta)
	m.f.data, m.f.meta = logs[0], logs[1]
	for len(m.log) > 0 && m.next() > m.f.data.Next() {
		m.log = m.log[:len(m.log)-1]
	}
	m.reopen(t)
}

// restart closes in an orderly way.
func (m *model) restart(t *rapid.T) {
	if _, err := m.f.p.beginStop(errClosing); err != nil {
		t.Fatal(err)
	}
	m.f.wal.Complete(1 << 20)
	if err := m.f.p.Stop(ctx); err != nil {
		t.Fatal(err)
	}
	if m.f.data.Next() > 0 {
		m.f.data.SetReadError(errors.New("a clean start needs no replay"))
	}
	m.reopen(t)
	m.f.data.SetReadError(nil)
}

func (m *model) reopen(t *rapid.T) {
	if m.waiting = nil; rapid.Bool().Draw(t, "trim meta") {
		if err := m.f.meta.Trim(ctx, min(m.f.p.MetaNeeded(), m.f.meta.Next())); err != nil {
			t.Fatal(err)
		}
	}
	m.f.epoch++
	m.f.open(t)
	// What was not durable never was: the producers go on behind what is there.
	for id, p := range m.producers {
		delete(m.producers, id)
		for _, b := range m.log {
			if b.id == id {
				next := batch.AddSequence(b.seq, b.count)
				if b.marker {
					next = 0
					if q := m.producers[id]; q != nil && q.epoch == b.epoch {
						next = q.next
					}
				}
				m.producers[id] = &modelProducer{epoch: b.epoch, next: next}
			}
		}
		_ = p
	}
}

func (m *model) trim(t *rapid.T) {
	_, hw, _, _ := m.f.p.Bounds()
	to := rapid.Int64Range(0, int64(hw)).Draw(t, "to")
	done := make(chan error, 1)
	go func() {
		_, err := m.f.p.DeleteRecords(ctx, base.Offset(to))
		done <- err
	}()
	for {
		select {
		case err := <-done:
			if err != nil {
				t.Fatal(err)
			}
			return
		default:
			runtime.Gosched()
			m.complete(t, 1) // it may wait for a snapshot
		}
	}
}

func (m *model) check(t *rapid.T) {
	start, hw, lso, leo := m.f.p.Bounds()
	wantLSO, _ := m.unstable(hw, 0, 0)
	if hw != m.f.data.Durable() || lso != max(start, wantLSO) || leo != m.next() || start > hw {
		t.Fatalf("start %d, HW %d, LSO %d, LEO %d; durable %d, next %d", start, hw, lso, leo, m.f.data.Durable(), m.next())
	}
	at := start
	for at < hw {
		res, err := m.f.p.Read(ctx, ReadRequest{From: at, MaxBytes: 500, MinOne: true, LeaderEpoch: NoEpoch, LastEpoch: NoEpoch})
		if err != nil || res.Chunk == nil || res.Chunk.End > hw {
			t.Fatalf("read at %d: %+v, %v", at, res, err)
		}
		for b, err := range batches(res.Chunk) {
			if err != nil || b.Check() != nil {
				t.Fatal(err)
			}
			m.checkBatch(t, b)
		}
		at = res.Chunk.End
		res.Chunk.Release()
	}
	for at = start; at < lso; {
		res, err := m.f.p.Read(ctx, ReadRequest{From: at, MaxBytes: 500, MinOne: true, LeaderEpoch: NoEpoch, LastEpoch: NoEpoch, Isolation: ReadCommitted})
		if err != nil || res.Chunk == nil || res.Chunk.End > lso {
			t.Fatalf("read committed at %d: %+v, %v", at, res, err)
		}
		_, want := m.unstable(hw, at, res.Chunk.End)
		if !slices.Equal(m.told(res.Aborted), m.told(want)) {
			t.Fatalf("aborted in [%d, %d): %v, want %v", at, res.Chunk.End, res.Aborted, want)
		}
		at = res.Chunk.End
		res.Chunk.Release()
	}
}

// told leaves out what begins below the point up to which the index was pruned.
func (m *model) told(all []AbortedTxn) []AbortedTxn {
	return slices.DeleteFunc(slices.Clone(all), func(a AbortedTxn) bool { return a.FirstOffset < m.pruned })
}

func (m *model) checkBatch(t *rapid.T, b batch.Batch) {
	for _, want := range m.log {
		if int64(want.base) == b.BaseOffset() && want.marker {
			if mk, ok := b.Marker(); !ok || mk.Commit != want.commit || b.ProducerEpoch() != want.epoch {
				t.Fatalf("offset %d holds another marker", want.base)
			}
			return
		}
		if int64(want.base) == b.BaseOffset() {
			if b.ProducerID() != want.id || b.BaseSequence() != want.seq || b.NumRecords() != want.count || !bytes.Equal(b.Payload(), want.raw[batch.HeaderBytes:]) {
				t.Fatalf("offset %d holds another batch", want.base)
			}
			return
		}
	}
	t.Fatalf("offset %d was never appended", b.BaseOffset())
}
