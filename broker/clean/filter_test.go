package clean

import (
	"fmt"
	"maps"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"sluice/base"
	"sluice/broker/partition"
	"sluice/wire/batch"
)

func TestKeyMap(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		room := rapid.Int64Range(1, 200).Draw(t, "keys")
		m := newKeyMap(room, rapid.Int64Range(0, 8000).Draw(t, "bytes"), 0.9)
		want := map[string]base.Offset{}
		for at := range base.Offset(rapid.IntRange(0, 300).Draw(t, "puts")) {
			key := fmt.Sprint(rapid.IntRange(0, 250).Draw(t, "key"))
			_, known := want[key]
			if ok := m.put([]byte(key), at); ok != (known || len(want) < m.max) {
				t.Fatalf("put says %v with %d of %d keys", ok, len(want), m.max)
			} else if ok {
				want[key] = at
			}
		}
		for k := range 251 {
			key := fmt.Sprint(k)
			w, ok := want[key]
			if !ok {
				w = -1
			}
			if got := m.newest([]byte(key)); got != w {
				t.Fatalf("key %s: %d, want %d", key, got, w)
			}
		}
	})
}

// modelLog is a log in memory, and all that was ever written to it.
type modelLog struct {
	batches []batch.Batch
	aborted []partition.AbortedSpan
	next    int64
	all     []*written
}

type written struct {
	key, value string // "deleted" for a tombstone
	producer   int64
	aborted    bool
	open       bool // its transaction has not ended
}

func value(v []byte) string {
	if v == nil {
		return "deleted"
	}
	return string(v)
}

// newest returns the newest value of every key: by offset, as a reader gets them, without those of aborted transactions.
func (l *modelLog) newest() map[string]string {
	out := map[string]string{}
	for _, w := range l.all {
		if !w.aborted {
			out[w.key] = w.value
		}
	}
	return out
}

// grow appends batches of producers inside and outside of transactions; all transactions end.
func (l *modelLog) grow(t *rapid.T) {
	first := map[int64]base.Offset{}
	for range rapid.IntRange(1, 15).Draw(t, "batches") {
		id := rapid.Int64Range(0, 3).Draw(t, "producer") // 0 and 1 write transactions
		if _, open := first[id]; open && rapid.Bool().Draw(t, "end") {
			l.endTxn(t, first, id)
			continue
		}
		opt := batch.Options{BaseOffset: l.next, Idempotent: true, ProducerID: id, Transactional: id < 2, Codec: batch.Codec(rapid.IntRange(0, 4).Draw(t, "codec"))}
		b := batch.NewBuilder(opt)
		if _, open := first[id]; id < 2 && !open {
			first[id] = base.Offset(l.next)
		}
		for range rapid.IntRange(1, 4).Draw(t, "records") {
			key := fmt.Sprint("k", rapid.IntRange(0, 12).Draw(t, "key"))
			r := batch.Record{Timestamp: 1000 + l.next, Key: []byte(key), Value: fmt.Append(nil, "v", l.next, ".", b.NumRecords())}
			if rapid.IntRange(0, 3).Draw(t, "tombstone") == 0 {
				r.Value = nil
			}
			b.Add(r)
			l.all = append(l.all, &written{key: key, value: value(r.Value), producer: id, open: id < 2})
		}
		l.batches = append(l.batches, b.Batch())
		l.next = b.Batch().NextOffset()
	}
	for id := range int64(2) {
		if _, open := first[id]; open {
			l.endTxn(t, first, id)
		}
	}
}

func (l *modelLog) endTxn(t *rapid.T, first map[int64]base.Offset, id int64) {
	commit := rapid.Bool().Draw(t, "commit")
	raw, _, err := batch.Parse(batch.AppendMarker(nil, batch.Marker{Commit: commit}, id, 0, 1000))
	if err != nil {
		t.Fatal(err)
	}
	raw.SetBaseOffset(l.next)
	l.batches = append(l.batches, raw)
	l.next++
	for _, w := range l.all {
		if w.open && w.producer == id {
			w.open, w.aborted = false, !commit
		}
	}
	if !commit {
		l.aborted = append(l.aborted, partition.AbortedSpan{ProducerID: id, First: first[id], Marker: base.Offset(l.next - 1)})
		slices.SortFunc(l.aborted, func(a, b partition.AbortedSpan) int { return int(a.First - b.First) })
	}
	delete(first, id)
}

// seen is what a reader of committed records gathers from the log; it fails if a transaction that has a batch left lost its end.
func (l *modelLog) seen(t *rapid.T) map[string]string {
	got, open := map[string]string{}, map[int64]int64{}
	for _, b := range l.batches {
		if b.IsControl() {
			delete(open, b.ProducerID())
			continue
		}
		if b.IsTransactional() {
			open[b.ProducerID()] = b.BaseOffset()
		}
		for r, err := range b.Records(batch.Limits{}) {
			if err != nil {
				t.Fatal(err)
			}
			if !l.isAborted(b) {
				got[string(r.Key)] = value(r.Value)
			}
		}
	}
	if len(open) > 0 {
		t.Fatalf("transactions without an end: %v", open)
	}
	return got
}

// isAborted reports whether a batch is of an aborted transaction, as a client finds out: its producer aborted one that began at or before it, and whose
// marker follows before any other of that producer.
func (l *modelLog) isAborted(b batch.Batch) bool {
	if !b.IsTransactional() {
		return false
	}
	for _, m := range l.batches {
		if m.BaseOffset() > b.BaseOffset() && m.IsControl() && m.ProducerID() == b.ProducerID() {
			marker, _ := m.Marker()
			return !marker.Commit
		}
	}
	return false
}

// TestPasses: whatever is written, by whomever, in transactions or not, and however small the map is: after any number of passes a reader
// sees the newest value of every key, in the same batches at the same offsets; tombstones stay for their time and go in the end.
func TestPasses(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		l := &modelLog{}
		cleaned, now := base.Offset(0), int64(0)
		for range rapid.IntRange(1, 4).Draw(t, "rounds") {
			l.grow(t)
			for range rapid.IntRange(0, 3).Draw(t, "passes") {
				cleaned = l.clean(t, cleaned, now, rapid.IntRange(1, 20).Draw(t, "map"))
				now += rapid.Int64Range(0, 99).Draw(t, "time")
				l.check(t, true)
			}
		}
		for pass := 0; cleaned < base.Offset(l.next); pass++ {
			if pass > 200 {
				t.Fatal("no progress")
			}
			cleaned = l.clean(t, cleaned, now, 3)
			l.check(t, true)
		}
		seen := map[string]int{}
		for _, b := range l.batches {
			for r, err := range b.Records(batch.Limits{}) {
				if err != nil {
					t.Fatal(err)
				}
				if !b.IsControl() {
					seen[string(r.Key)]++
				}
			}
		}
		for k, n := range seen {
			if n > 1 {
				t.Fatalf("key %s is still there %d times", k, n)
			}
		}
		now += 1000 // all horizons have passed
		l.clean(t, cleaned, now, 3)
		l.clean(t, cleaned, now+1000, 3) // markers whose last batch has just gone
		l.check(t, false)
		for _, a := range l.aborted {
			if !slices.ContainsFunc(l.batches, func(b batch.Batch) bool { return partOf(b, a) }) {
				t.Fatalf("%+v is still listed", a)
			}
		}
		for _, b := range l.batches {
			for r := range b.Records(batch.Limits{}) {
				if r.Value == nil {
					t.Fatalf("a tombstone stayed: %d", b.BaseOffset())
				}
			}
		}
	})
}

func (l *modelLog) check(t *rapid.T, tombstones bool) {
	want := l.newest()
	if !tombstones {
		maps.DeleteFunc(want, func(_, v string) bool { return v == "deleted" })
	}
	{
		got := l.seen(t)
		if !tombstones {
			maps.DeleteFunc(got, func(_, v string) bool { return v == "deleted" })
		}
		// A tombstone may have gone, never a value, and nothing comes back.
		for k, w := range want {
			if got[k] != w && !(w == "deleted" && got[k] == "") {
				t.Fatalf("key %s: %q, want %q", k, got[k], w)
			}
		}
		for k := range got {
			if _, ok := want[k]; !ok {
				t.Fatalf("key %s came back", k)
			}
		}
	}
}

// clean is one pass over the log with a map of so many keys, from the dirty offset on. It returns where the next one begins.
func (l *modelLog) clean(t *rapid.T, dirty base.Offset, now int64, keys int) base.Offset {
	m := newKeyMap(int64(keys), 1<<20, 0.9)
	m.max = keys
	end, x := base.Offset(l.next), newTxns(l.aborted)
	for _, b := range l.batches {
		if base.Offset(b.NextOffset()) <= dirty {
			continue
		}
		at, err := scan(m, x, b, dirty)
		if err != nil {
			t.Fatal(err)
		}
		if at < base.Offset(b.NextOffset()) {
			end = at
			break
		}
	}
	f := &filter{keys: m, end: end, nowMS: now, horizonMS: now + 100, txns: newTxns(l.aborted)}
	var left []batch.Batch
	for i, b := range l.batches {
		out, err := f.batch(b)
		if err != nil {
			t.Fatal(err)
		}
		if out.Kept > 0 {
			if out.Batch.BaseOffset() != b.BaseOffset() || out.Batch.NextOffset() != b.NextOffset() || out.Batch.Check() != nil {
				t.Fatal("a batch moved")
			}
			left = append(left, out.Batch)
		} else if i == len(l.batches)-1 { // never without a record
			left = append(left, b.Emptied())
		}
	}
	for _, gone := range f.txns.goneBelow(end) {
		if slices.ContainsFunc(l.batches, func(b batch.Batch) bool { return partOf(b, gone) }) {
			t.Fatalf("%+v is forgotten, and a reader may hold a batch of it", gone)
		}
		l.aborted = slices.DeleteFunc(l.aborted, func(a partition.AbortedSpan) bool { return a == gone })
	}
	l.batches = left
	return end
}

// partOf reports whether a batch belongs to an aborted transaction.
func partOf(b batch.Batch, a partition.AbortedSpan) bool {
	at := base.Offset(b.BaseOffset())
	return !b.IsControl() && b.ProducerID() == a.ProducerID && a.First <= at && at < a.Marker
}
