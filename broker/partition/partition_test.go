package partition

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"sluice/base"
	"sluice/broker/partition/memlog"
	"sluice/broker/topicconfig"
	"sluice/storage/stream"
	"sluice/wire/batch"
	"sluice/wire/kerr"
)

var ctx = context.Background()

const testNow = int64(1_700_000_000_000)

// fixture is a partition on streams in memory.
type fixture struct {
	wal        *memlog.WAL
	data, meta *memlog.Log
	p          *Partition
	epoch      base.StreamEpoch
	starts     []EpochStart
	overrides  map[string]string
	snapshot   int64
}

func newFixture(t interface{ Fatal(...any) }, overrides map[string]string) *fixture {
	f := &fixture{wal: &memlog.WAL{}, overrides: overrides, epoch: 2}
	f.data, f.meta = f.wal.New(0), f.wal.New(0)
	f.open(t)
	return f
}

func (f *fixture) open(t interface{ Fatal(...any) }) {
	cfg, err := topicconfig.Parse(f.overrides, nil)
	if err != nil {
		t.Fatal(err)
	}
	f.starts = append(f.starts, EpochStart{f.epoch, f.data.Next()})
	f.p, err = Open(ctx, Options{
		Name: "orders", Index: 3, Epoch: f.epoch, EpochStarts: f.starts, Config: &cfg, Data: f.data, Meta: f.meta,
		SnapshotBytes: f.snapshot, ReplayBytes: 300, Now: func() time.Time { return time.UnixMilli(testNow) },
	})
	if err != nil {
		t.Fatal(err)
	}
}

// records builds a batch of n records.
func records(n int, opt batch.Options) []byte {
	b := batch.NewBuilder(opt)
	for i := range n {
		b.Add(batch.Record{Timestamp: testNow + int64(i), Key: fmt.Append(nil, "k", i), Value: bytes.Repeat([]byte{'v'}, 20)})
	}
	return b.Bytes()
}

func idempotent(id int64, epoch int16, seq int32) batch.Options {
	return batch.Options{Idempotent: true, ProducerID: id, ProducerEpoch: epoch, BaseSequence: seq}
}

// verified is a request for a transactional batch that the coordinator has been asked about.
func (f *fixture) verified(b []byte) AppendRequest {
	view, _, err := batch.Parse(b)
	if err != nil {
		panic(err)
	}
	guard, _ := f.p.Verify(view.ProducerID(), view.ProducerEpoch(), view.BaseSequence(), false)
	return AppendRequest{Batch: b, Version: 11, Transactional: true, Guard: guard}
}

// marker is a request for a transaction marker.
func marker(id int64, epoch int16, coordinator int32, commit bool) AppendRequest {
	return AppendRequest{Batch: batch.AppendMarker(nil, batch.Marker{Commit: commit, CoordinatorEpoch: coordinator}, id, epoch, testNow), Origin: Coordinator}
}

// send appends and returns where the result will be.
func (f *fixture) send(b []byte) *AppendResult {
	return f.sendReq(AppendRequest{Batch: b, Version: 11, Transactional: true})
}

func (f *fixture) sendReq(req AppendRequest) *AppendResult {
	res := &AppendResult{Base: -7}
	f.p.Append(req, func(r AppendResult) {
		if res.Base != -7 {
			panic("answered twice")
		}
		*res = r
	})
	return res
}

func wantCode(t *testing.T, what string, err error, code kerr.Code) {
	t.Helper()
	if kerr.CodeOf(err) != code {
		t.Fatalf("%s: %v, want %v", what, err, code)
	}
}

func TestAppendIsAnsweredWhenDurable(t *testing.T) {
	f := newFixture(t, nil)
	a, b := f.send(records(3, batch.Options{})), f.send(records(2, batch.Options{}))
	if a.Base != -7 || b.Base != -7 {
		t.Fatal("answered before durable")
	}
	if res, err := f.p.Read(ctx, ReadRequest{MaxBytes: 1 << 20, LeaderEpoch: NoEpoch, LastEpoch: NoEpoch}); err != nil || res.Chunk != nil || res.HW != 0 {
		t.Fatal("read above HW", res, err)
	}
	f.wal.Complete(1)
	if a.Base != 0 || a.Err != nil || a.LogAppendTime != -1 || b.Base != -7 {
		t.Fatal(a, b)
	}
	f.wal.Complete(1)
	if b.Base != 3 {
		t.Fatal(b)
	}
	start, hw, lso, leo := f.p.Bounds()
	if start != 0 || hw != 5 || lso != 5 || leo != 5 {
		t.Fatal(start, hw, lso, leo)
	}
	res, err := f.p.Read(ctx, ReadRequest{From: 4, MaxBytes: 1, MinOne: true, LeaderEpoch: 2, LastEpoch: NoEpoch, Isolation: ReadCommitted})
	if err != nil || res.Chunk.Start != 3 || res.Chunk.End != 5 || res.Aborted == nil {
		t.Fatal(res, err)
	}
	got, _, err := batch.Parse(res.Chunk.Segments[0])
	if err != nil || got.Check() != nil || got.BaseOffset() != 3 || got.LeaderEpoch() != 2 {
		t.Fatal(got, err)
	}
}

func TestRefusals(t *testing.T) {
	f := newFixture(t, map[string]string{"max.message.bytes": "400"})
	ok := records(1, batch.Options{})
	flipped := records(1, batch.Options{})
	flipped[len(flipped)-1] ^= 1
	old := records(1, batch.Options{})
	old[16] = 1
	moved := records(1, batch.Options{BaseOffset: 7})
	newer := records(1, batch.Options{})
	newer[16] = 3
	control := batch.AppendMarker(nil, batch.Marker{Commit: true}, 1, 0, testNow)
	gap := batch.NewBuilder(batch.Options{})
	gap.Add(batch.Record{Timestamp: testNow})
	gap.AddAt(batch.Record{Timestamp: testNow, OffsetDelta: 2})
	late := batch.NewBuilder(batch.Options{})
	late.Add(batch.Record{Timestamp: testNow})
	late.Add(batch.Record{Timestamp: testNow + 3_600_001})
	empty := records(1, batch.Options{})[:batch.HeaderBytes]
	empty[11], empty[60] = batch.HeaderBytes-12, 0
	view, _, _ := batch.Parse(empty)
	view.SetMaxTimestamp(testNow)
	zstd := records(1, batch.Options{Codec: batch.Zstd})
	badZstd := slices.Clone(zstd)
	badZstd[len(badZstd)-1] ^= 1
	for _, tc := range []struct {
		what string
		req  AppendRequest
		code kerr.Code
	}{
		{"no batch", AppendRequest{}, kerr.InvalidRecord},
		{"two batches", AppendRequest{Batch: append(records(1, batch.Options{}), ok...)}, kerr.InvalidRecord},
		{"a flipped bit", AppendRequest{Batch: flipped}, kerr.CorruptMessage},
		{"twelve bytes that are no batch", AppendRequest{Batch: make([]byte, 12)}, kerr.CorruptMessage},
		{"twelve bytes behind it that are no batch", AppendRequest{Batch: append(records(1, batch.Options{}), make([]byte, 12)...)}, kerr.CorruptMessage},
		{"zstd in version 6, and another batch", AppendRequest{Batch: slices.Concat(zstd, ok), Version: 6}, kerr.UnsupportedCompressionType},
		{"half a batch", AppendRequest{Batch: ok[:70]}, kerr.InvalidRecord},
		{"a base offset", AppendRequest{Batch: moved}, kerr.InvalidRecord},
		{"magic 3", AppendRequest{Batch: newer}, kerr.CorruptMessage},
		{"magic 1", AppendRequest{Batch: old}, kerr.InvalidRecord},
		{"a control batch", AppendRequest{Batch: control}, kerr.InvalidRecord},
		{"a gap in the offsets", AppendRequest{Batch: gap.Bytes()}, kerr.InvalidRecord},
		{"no records", AppendRequest{Batch: empty}, kerr.InvalidRecord},
		{"too large", AppendRequest{Batch: records(20, batch.Options{})}, kerr.MessageTooLarge},
		{"a time in the future", AppendRequest{Batch: late.Bytes()}, kerr.InvalidTimestamp},
		{"zstd in version 6", AppendRequest{Batch: zstd, Version: 6}, kerr.UnsupportedCompressionType},
		{"zstd in version 6, and a flipped bit", AppendRequest{Batch: badZstd, Version: 6}, kerr.UnsupportedCompressionType},
		{"a transactional batch without a transaction", AppendRequest{Batch: records(1, batch.Options{Idempotent: true, Transactional: true})}, kerr.TransactionalIDAuthorizationFailed},
		{"a producer without a sequence", AppendRequest{Batch: records(1, idempotent(5, 0, -1))}, kerr.InvalidRecord},
	} {
		res := f.sendReq(tc.req)
		wantCode(t, tc.what, res.Err, tc.code)
		start := base.Offset(0)
		if res.unread || slices.Contains(startUntold, tc.code) {
			start = -1
		}
		if res.Base != -1 || res.LogStart != start {
			t.Fatalf("%s: %+v", tc.what, res)
		}
		if tc.what == "a time in the future" && (len(res.RecordErrors) != 1 || res.RecordErrors[0].Index != 1) {
			t.Fatal(res.RecordErrors)
		}
	}
	if f.data.Next() != 0 {
		t.Fatal("something was appended")
	}
}

func TestCompactedTopicsNeedKeys(t *testing.T) {
	f := newFixture(t, map[string]string{"cleanup.policy": "compact"})
	for _, codec := range []batch.Codec{batch.None, batch.LZ4} {
		b := batch.NewBuilder(batch.Options{Codec: codec})
		for i := range 4 {
			r := batch.Record{Timestamp: testNow, Key: []byte("k")}
			if i%2 == 1 {
				r.Key = nil
			}
			b.Add(r)
		}
		res := f.send(b.Bytes())
		wantCode(t, "null keys", res.Err, kerr.InvalidRecord)
		if len(res.RecordErrors) != 2 || res.RecordErrors[0].Index != 1 || res.RecordErrors[1].Index != 3 {
			t.Fatal(res.RecordErrors)
		}
	}
	if res := f.send(records(1, batch.Options{})); res.Err != nil {
		t.Fatal(res)
	}
}

func TestLogAppendTime(t *testing.T) {
	f := newFixture(t, map[string]string{"message.timestamp.type": "LogAppendTime"})
	b := batch.NewBuilder(idempotent(1, 0, 0))
	b.Add(batch.Record{Timestamp: 5})
	raw := b.Bytes()
	res, again := f.send(bytes.Clone(raw)), f.send(raw)
	f.wal.Complete(9)
	if res.LogAppendTime != testNow || again.LogAppendTime != testNow || again.Base != 0 {
		t.Fatal(res, again)
	}
	got, _, _ := batch.Parse(f.data.Records()[0].Data)
	if err := got.Check(); err != nil || got.TimestampType() != batch.LogAppendTime || got.MaxTimestamp() != testNow {
		t.Fatal(err, got)
	}
}

func TestTimestampTypeIsTheTopics(t *testing.T) {
	f := newFixture(t, nil)
	res := f.send(records(1, batch.Options{LogAppendTime: true}))
	f.wal.Complete(1)
	got, _, _ := batch.Parse(f.data.Records()[0].Data)
	if err := got.Check(); err != nil || res.Err != nil || got.TimestampType() == batch.LogAppendTime || got.MaxTimestamp() != testNow {
		t.Fatal(err, res, got)
	}
}

func TestWrongMaxTimestampIsCorrected(t *testing.T) {
	for _, codec := range []batch.Codec{batch.None, batch.Gzip} { // sarama before 1.44 leaves it at -1
		f := newFixture(t, nil)
		raw := records(3, batch.Options{Codec: codec})
		b, _, _ := batch.Parse(raw)
		b.SetMaxTimestamp(-1)
		f.send(raw)
		f.wal.Complete(1)
		if r := f.data.Records()[0]; r.MaxTimestamp != testNow+2 {
			t.Error(codec, r.MaxTimestamp)
		}
	}
}

func TestRecompression(t *testing.T) {
	for _, codec := range []string{"uncompressed", "gzip", "snappy", "lz4", "zstd"} {
		f := newFixture(t, map[string]string{"compression.type": codec})
		if res := f.send(records(50, batch.Options{Codec: batch.Snappy, Idempotent: true, ProducerID: 4, BaseSequence: 9})); res.Err != nil {
			t.Fatal(codec, res)
		}
		f.wal.Complete(1)
		got, _, _ := batch.Parse(f.data.Records()[0].Data)
		want, _, _ := codecOf(f.p.Config())
		n := 0
		for r, err := range got.Records(batch.Limits{}) {
			if err != nil || r.OffsetDelta != int32(n) || r.Timestamp != testNow+int64(n) {
				t.Fatal(codec, r, err)
			}
			n++
		}
		if err := got.Check(); err != nil || got.Codec() != want || n != 50 || got.ProducerID() != 4 || got.BaseSequence() != 9 || got.LeaderEpoch() != 2 {
			t.Fatal(codec, err, got.Codec(), n)
		}
	}
}

// TestRecompressionTooLarge: what becomes too large in the codec of its topic is refused as that, and stored in no codec.
func TestRecompressionTooLarge(t *testing.T) {
	for _, codec := range []string{"uncompressed", "gzip"} {
		f := newFixture(t, map[string]string{"compression.type": codec, "max.message.bytes": "1000"})
		b := batch.NewBuilder(batch.Options{Codec: batch.Zstd})
		b.Add(batch.Record{Value: make([]byte, 1<<20), Timestamp: testNow})
		wantCode(t, codec, f.send(b.Bytes()).Err, kerr.MessageTooLarge) // gzip makes more than 1,000 bytes of a MiB of zeros
		if n := len(f.data.Records()); n != 0 {
			t.Errorf("%s: %d batches were stored", codec, n)
		}
	}
}

func TestDuplicateWaitsForItsOriginal(t *testing.T) {
	f := newFixture(t, nil)
	f.send(records(4, batch.Options{}))
	a := f.send(records(2, idempotent(1, 0, 0)))
	dup := f.send(records(2, idempotent(1, 0, 0)))
	if dup.Base != -7 {
		t.Fatal("a duplicate was answered before its original was durable")
	}
	f.wal.Complete(2)
	if a.Base != 4 || dup.Base != 4 || dup.Err != nil {
		t.Fatal(a, dup)
	}
	if again := f.send(records(2, idempotent(1, 0, 0))); again.Base != 4 {
		t.Fatal(again)
	}
	wantCode(t, "gap", f.send(records(2, idempotent(1, 0, 3))).Err, kerr.OutOfOrderSequenceNumber)
}

func TestFailureIsSticky(t *testing.T) {
	f := newFixture(t, nil)
	woken := 0
	w := &Waiter{Wake: func(int) { woken++ }}
	if !f.p.Watch(w, 0) {
		t.Fatal("not registered")
	}
	a := f.send(records(1, idempotent(1, 0, 0)))
	dup := f.send(records(1, idempotent(1, 0, 0)))
	f.wal.Fail(base.Errorf(base.Fenced, "sealed"))
	wantCode(t, "append", a.Err, kerr.NotLeaderOrFollower)
	wantCode(t, "duplicate", dup.Err, kerr.NotLeaderOrFollower)
	wantCode(t, "later append", f.send(records(1, batch.Options{})).Err, kerr.NotLeaderOrFollower)
	_, err := f.p.Read(ctx, ReadRequest{MaxBytes: 1, LeaderEpoch: NoEpoch, LastEpoch: NoEpoch})
	wantCode(t, "read", err, kerr.NotLeaderOrFollower)
	if woken != 1 || f.p.Watch(w, 0) {
		t.Fatal("parked readers were not told", woken)
	}
	f.p.Unwatch(w)
	if err := f.p.Stop(ctx); kerr.CodeOf(err) != kerr.NotLeaderOrFollower {
		t.Fatal(err)
	}
}

func TestWatch(t *testing.T) {
	f := newFixture(t, nil)
	var got [3]int
	var ws [3]Waiter
	for i := range ws {
		ws[i] = Waiter{Wake: func(n int) { got[i] += n }, Isolation: Isolation(i % 2)}
		if !f.p.Watch(&ws[i], 0) {
			t.Fatal("not registered")
		}
	}
	raw := records(2, batch.Options{})
	n := len(raw)
	f.send(raw)
	f.wal.Complete(1)
	f.p.Unwatch(&ws[0])
	f.send(records(2, batch.Options{}))
	f.wal.Complete(1)
	if got != [3]int{n, 2 * n, 2 * n} {
		t.Fatal(got, n)
	}
	if f.p.Watch(&ws[0], 2) {
		t.Fatal("there is something to read already")
	}
	f.p.Unwatch(&ws[2])
	f.p.Unwatch(&ws[1])
}

func TestTransactionsHoldBackTheStableOffset(t *testing.T) {
	f := newFixture(t, nil)
	txn := idempotent(1, 0, 0)
	txn.Transactional = true
	f.send(records(1, batch.Options{}))
	f.sendReq(f.verified(records(2, txn)))
	f.send(records(1, batch.Options{}))
	f.wal.Complete(3)
	if _, hw, lso, _ := f.p.Bounds(); hw != 4 || lso != 1 {
		t.Fatal(hw, lso)
	}
	woken := 0
	w := &Waiter{Wake: func(n int) { woken += min(n, 1) }, Isolation: ReadCommitted}
	f.p.Watch(w, 1)
	f.send(records(1, batch.Options{}))
	f.wal.Complete(1)
	if woken != 0 {
		t.Fatal("nothing has become stable")
	}
	res := f.sendReq(marker(1, 0, 0, false))
	f.wal.Complete(1)
	if _, hw, lso, _ := f.p.Bounds(); res.Base != 5 || hw != 6 || lso != 6 || woken != 1 {
		t.Fatal(res, hw, lso, woken)
	}
	r, err := f.p.Read(ctx, ReadRequest{From: 0, MaxBytes: 1 << 20, Isolation: ReadCommitted, LeaderEpoch: NoEpoch, LastEpoch: NoEpoch})
	if err != nil || len(r.Aborted) != 1 || r.Aborted[0] != (AbortedTxn{1, 1}) {
		t.Fatal(r, err)
	}
}

func TestReadBounds(t *testing.T) {
	f := newFixture(t, nil)
	f.send(records(5, batch.Options{}))
	f.wal.Complete(1)
	f.send(records(5, batch.Options{}))
	if err := f.data.Trim(ctx, 2); err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		from  base.Offset
		epoch int32
		code  kerr.Code
	}{{0, -1, kerr.OffsetOutOfRange}, {2, -1, kerr.None}, {5, 2, kerr.None}, {7, 2, kerr.None}, {11, 2, kerr.OffsetOutOfRange}, {2, 1, kerr.FencedLeaderEpoch}, {2, 3, kerr.UnknownLeaderEpoch}} {
		res, err := f.p.Read(ctx, ReadRequest{From: tc.from, MaxBytes: 1000, LeaderEpoch: tc.epoch, LastEpoch: NoEpoch})
		wantCode(t, fmt.Sprint(tc), err, tc.code)
		if res.HW != 5 || res.LogStart != 2 || (res.Chunk != nil) != (tc.from == 2 && err == nil) {
			t.Fatal(tc, res)
		}
	}
	f.data.SetCold(4, nil)
	if _, err := f.p.Read(ctx, ReadRequest{From: 2, MaxBytes: 1000, LeaderEpoch: NoEpoch, LastEpoch: NoEpoch, CachedOnly: true}); err != ErrCold {
		t.Fatal(err)
	}
	f.data.SetReadError(errors.New("disk on fire"))
	_, err := f.p.Read(ctx, ReadRequest{From: 2, MaxBytes: 1000, LeaderEpoch: NoEpoch, LastEpoch: NoEpoch})
	wantCode(t, "failing store", err, kerr.KafkaStorageError)
}

func TestEpochEnd(t *testing.T) {
	f := newFixture(t, nil)
	f.send(records(5, batch.Options{}))
	f.wal.Complete(1)
	f.epoch = 4
	f.open(t)
	f.send(records(2, batch.Options{}))
	f.wal.Complete(1)
	for _, tc := range []struct {
		epoch int32
		want  EpochOffset
	}{{0, EpochOffset{0, 0}}, {2, EpochOffset{2, 5}}, {3, EpochOffset{2, 5}}, {4, EpochOffset{4, 7}}, {5, EpochOffset{-1, -1}}} {
		if got, err := f.p.EpochEnd(NoEpoch, tc.epoch); err != nil || got != tc.want {
			t.Fatal(tc, got, err)
		}
	}
	if _, err := f.p.EpochEnd(3, 2); kerr.CodeOf(err) != kerr.FencedLeaderEpoch {
		t.Fatal(err)
	}
	res, err := f.p.Read(ctx, ReadRequest{From: 6, MaxBytes: 1000, LeaderEpoch: NoEpoch, LastEpoch: 2})
	if err != nil || res.Diverging == nil || *res.Diverging != (EpochOffset{2, 5}) || res.Chunk != nil {
		t.Fatal(res, err)
	}
	if res, err := f.p.Read(ctx, ReadRequest{From: 99, MaxBytes: 1000, LeaderEpoch: NoEpoch, LastEpoch: 4}); err != nil || res.Diverging == nil || *res.Diverging != (EpochOffset{4, 7}) {
		t.Fatal("behind the end:", res, err)
	}
	if got := []int32{f.p.epochAt(0), f.p.epochAt(4), f.p.epochAt(5), f.p.epochAt(9)}; fmt.Sprint(got) != "[2 2 4 4]" {
		t.Fatal(got)
	}
}

func TestListOffset(t *testing.T) {
	f := newFixture(t, nil)
	add := func(codec batch.Codec, at ...int64) {
		b := batch.NewBuilder(batch.Options{Codec: codec})
		for _, ts := range at {
			b.Add(batch.Record{Timestamp: ts, Value: []byte("x")})
		}
		if res := f.send(b.Bytes()); res.Err != nil {
			t.Fatal(res)
		}
		f.wal.Complete(1)
	}
	add(batch.None, 10, 30, 20)
	add(batch.Gzip, 40, 35)
	add(batch.None, 5)
	f.send(records(1, batch.Options{})) // not durable
	for _, tc := range []struct {
		ts     int64
		offset int64
		at     int64
	}{{0, 0, 10}, {10, 0, 10}, {11, 1, 30}, {31, 3, 40}, {36, 3, 40}, {41, -1, -1}, {LatestOffset, 6, -1}, {EarliestOffset, 0, -1}, {EarliestLocalOffset, 0, -1}, {MaxTimestampOffset, 3, 40}, {LatestTieredOffset, -1, -1}, {EarliestPendingUpload, -1, -1}} {
		got, err := f.p.ListOffset(ctx, tc.ts, ReadCommitted, NoEpoch)
		if err != nil || int64(got.Offset) != tc.offset || got.Timestamp != tc.at {
			t.Fatalf("%d: %+v, %v", tc.ts, got, err)
		}
	}
	if low, err := f.p.DeleteRecords(ctx, 4); err != nil || low != 4 {
		t.Fatal(low, err)
	}
	if got, err := f.p.ListOffset(ctx, 31, ReadUncommitted, 2); err != nil || got.Offset != 4 || got.Timestamp != 35 || got.LeaderEpoch != 2 {
		t.Fatal(got, err)
	}
	if got, err := f.p.ListOffset(ctx, MaxTimestampOffset, ReadUncommitted, 2); err != nil || got.Offset != 4 {
		t.Fatal(got, err)
	}
	_, err := f.p.ListOffset(ctx, -9, ReadUncommitted, NoEpoch)
	wantCode(t, "unknown marker", err, kerr.UnsupportedVersion)
}

func TestDeleteRecords(t *testing.T) {
	f := newFixture(t, nil)
	f.send(records(5, batch.Options{}))
	f.wal.Complete(1)
	for _, tc := range []struct {
		to, low base.Offset
		code    kerr.Code
	}{{3, 3, kerr.None}, {1, 3, kerr.None}, {6, -1, kerr.OffsetOutOfRange}, {-2, -1, kerr.OffsetOutOfRange}, {-1, 5, kerr.None}} {
		low, err := f.p.DeleteRecords(ctx, tc.to)
		wantCode(t, fmt.Sprint(tc), err, tc.code)
		if low != tc.low {
			t.Fatal(tc, low)
		}
	}
	f = newFixture(t, map[string]string{"cleanup.policy": "compact"})
	_, err := f.p.DeleteRecords(ctx, 0)
	wantCode(t, "compacted", err, kerr.PolicyViolation)
}

func TestStop(t *testing.T) {
	f := newFixture(t, nil)
	a := f.send(records(1, idempotent(9, 0, 0)))
	stopped := make(chan error, 1)
	go func() { stopped <- StopAll(ctx, []*Partition{f.p}) }()
	for f.wal.Pending() < 2 { // the batch and the snapshot
		time.Sleep(time.Millisecond)
	}
	wantCode(t, "append", f.send(records(1, batch.Options{})).Err, kerr.NotLeaderOrFollower)
	f.wal.Complete(2)
	if err := <-stopped; err != nil || a.Err != nil {
		t.Fatal(err, a)
	}
	if err := f.p.Stop(ctx); err != nil {
		t.Fatal("second stop", err)
	}
	f.p.Abandon(kerr.NotLeaderOrFollower, "closed")
	_, err := f.p.Read(ctx, ReadRequest{MaxBytes: 1, LeaderEpoch: NoEpoch, LastEpoch: NoEpoch})
	wantCode(t, "read", err, kerr.NotLeaderOrFollower)
	f.data.SetReadError(errors.New("no replay is needed"))
	f.epoch++
	f.open(t)
	if f.p.mu.producers.byID[9] == nil || f.p.MetaNeeded() != 0 {
		t.Fatal("the snapshot was not used")
	}
}

func TestPauseCanBeUndone(t *testing.T) {
	f := newFixture(t, nil)
	first := f.send(records(2, idempotent(7, 0, 0)))
	drained, err := f.p.Pause()
	if err != nil {
		t.Fatal(err)
	}
	held := records(1, idempotent(7, 0, 2))
	if r := f.send(held); !r.Held || kerr.CodeOf(r.Err) != kerr.NotLeaderOrFollower || !f.p.Paused() {
		t.Fatal("appended while paused", r)
	}
	if err := f.p.TrimData(ctx, 1); kerr.CodeOf(err) != kerr.NotLeaderOrFollower {
		t.Fatal("a trim may append a snapshot while paused", err)
	}
	select {
	case <-drained:
		t.Fatal("drained with an append under way")
	default:
	}
	f.wal.Complete(1 << 20)
	if err := f.p.Drained(ctx, drained); err != nil || first.Base != 0 {
		t.Fatal(err, first)
	}
	if res, err := f.p.Read(ctx, ReadRequest{MaxBytes: 1 << 20, LeaderEpoch: NoEpoch, LastEpoch: NoEpoch}); err != nil || res.Bytes() == 0 {
		t.Fatal("no reads while paused", err)
	}
	f.p.Resume()
	again := f.send(held)
	f.wal.Complete(1 << 20)
	if again.Err != nil || again.Base != 2 || again.Held {
		t.Fatal(again)
	}
	// A pause that ends in a stop cannot be undone.
	if _, err := f.p.Pause(); err != nil {
		t.Fatal(err)
	}
	f.wal.Complete(1 << 20)
	if err := f.p.Stop(ctx); err != nil {
		t.Fatal(err)
	}
	f.p.Resume()
	if r := f.send(records(1, batch.Options{})); r.Held || kerr.CodeOf(r.Err) != kerr.NotLeaderOrFollower {
		t.Fatal(r)
	}
}

func TestCanceledStop(t *testing.T) {
	f := newFixture(t, nil)
	f.send(records(1, batch.Options{}))
	done, cancel := context.WithCancel(ctx)
	cancel()
	if err := f.p.Stop(done); !base.IsKind(err, base.Unavailable) {
		t.Fatal(err)
	}
	f.wal.Complete(9)
	if err := f.p.Stop(ctx); err != nil {
		t.Fatal(err)
	}
}

// TestAppendAllocates holds the hot path to what the stream in memory itself allocates: its copy of the batch.
func TestAppendAllocates(t *testing.T) {
	f := newFixture(t, nil)
	raw := records(16, batch.Options{})
	done := func(AppendResult) {}
	n := testing.AllocsPerRun(1000, func() {
		copy(raw, make([]byte, 8)) // the base offset, which the last round has stamped
		f.p.Append(AppendRequest{Batch: raw, Version: 11}, done)
		f.wal.Complete(1)
	})
	if n > 2 {
		t.Fatalf("%v allocations per append", n)
	}
}

func TestDeletedTransactionDoesNotHoldBackReaders(t *testing.T) {
	f := newFixture(t, nil)
	stop := f.wal.Auto()
	defer stop()
	txn := idempotent(1, 0, 0)
	txn.Transactional = true
	res := make(chan AppendResult, 1)
	f.p.Append(f.verified(records(3, txn)), func(r AppendResult) { res <- r })
	<-res
	if _, err := f.p.DeleteRecords(ctx, 2); err != nil {
		t.Fatal(err)
	}
	found, err := f.p.ListOffset(ctx, LatestOffset, ReadCommitted, NoEpoch)
	if err != nil || found.Offset != 2 {
		t.Fatal(found, err)
	}
	w := &Waiter{Isolation: ReadCommitted}
	if !f.p.Watch(w, 2) {
		t.Fatal("a reader at the end cannot park")
	}
	f.p.Unwatch(w)
}

func BenchmarkAppend(b *testing.B) {
	f := newFixture(b, nil)
	raw := records(16, batch.Options{})
	done := func(AppendResult) {}
	b.ReportAllocs()
	for b.Loop() {
		f.p.Append(AppendRequest{Batch: raw, Version: 11}, done)
		f.wal.Complete(1)
	}
}

// later is a clock that has gone on by so many milliseconds.
func later(ms int64) func() time.Time {
	return func() time.Time { return time.UnixMilli(testNow + ms) }
}

// pruningLog lets the first read be overtaken by a compaction that removes the aborted transactions.
type pruningLog struct {
	Log
	f     *fixture
	reads int
}

func (l *pruningLog) Read(ctx context.Context, from, to base.Offset, maxBytes int, minOne bool) (*stream.Chunk, error) {
	c, err := l.Log.Read(ctx, from, to, maxBytes, minOne)
	if l.reads++; l.reads == 1 {
		l.f.p.ForgetAborted(l.f.p.Aborted(0, to))
	}
	return c, err
}

// TestReplayIsBoundedInBatches: small batches lie in many uploads, so a partition whose leader dies is replayed from a thousand batches back at most, however few
// bytes they are. With a state that is large beside what was appended there is no snapshot each time.
func TestReplayIsBoundedInBatches(t *testing.T) {
	f := newFixture(t, nil)
	const batches = 2*snapshotBatches + 10
	for i := range batches {
		f.send(records(1, idempotent(7, 0, int32(i))))
	}
	f.wal.Complete(f.wal.Pending())
	if f.p.mu.covered != 2*snapshotBatches || f.meta.Next() != 2 {
		t.Fatalf("snapshots cover %d of %d batches, there are %d", f.p.mu.covered, batches, f.meta.Next())
	}
	f.epoch++
	f.open(t) // as after a crash
	if f.p.mu.batchesSince != batches-2*snapshotBatches {
		t.Fatalf("%d batches were replayed", f.p.mu.batchesSince)
	}
	f.p.mu.snapshotSize = 1 << 20
	for i := range snapshotBatches {
		f.send(records(1, idempotent(7, 0, int32(batches+i))))
	}
	f.wal.Complete(f.wal.Pending())
	if f.meta.Next() != 2 {
		t.Fatal("a snapshot was written that is larger than what it covers")
	}
}

// What stands where a batch may begin is one, is none, or does not say.
func TestPeek(t *testing.T) {
	whole := records(1, batch.Options{})
	with := func(at int, value byte, n int) []byte {
		b := slices.Clone(whole)
		b[at] = value
		return b[:n]
	}
	for _, tc := range []struct {
		what string
		raw  []byte
		want peeked
	}{
		{"nothing", nil, nothing},
		{"eleven bytes", make([]byte, 11), nothing},
		{"a size that is none", make([]byte, 12), noBatch},
		{"a size, and no more", with(0, 0, 16), nothing},
		{"a format to come", with(magicAt, 3, 17), noBatch},
		{"a format of old", with(magicAt, 1, len(whole)), aBatch},
		{"half a batch", with(0, 0, len(whole)-1), nothing},
		{"a negative size", with(sizeAt, 0xff, len(whole)), noBatch},
		{"a batch", whole, aBatch},
		{"a batch and more", append(slices.Clone(whole), 1, 2), aBatch},
	} {
		if got := peek(tc.raw); got != tc.want {
			t.Errorf("%s: %d, want %d", tc.what, got, tc.want)
		}
	}
}
