package ledger_test

import (
	"context"
	"fmt"
	"math"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"pgregory.net/rapid"

	"sluice/base"
	"sluice/storage/objstore/conform"
	"sluice/storage/objstore/driver"
	"sluice/storage/objstore/fault"
	"sluice/storage/objstore/ledger"
	"sluice/storage/objstore/mem"
	"sluice/storage/objstore/retry"
)

func TestConform(t *testing.T) {
	conform.RunWith(t, conform.Options{BigBytes: 1 << 20}, func(*testing.T) driver.Store {
		return ledger.New(ledger.Options{}).Wrap("bucket", mem.New())
	})
}

// counts sums up requests by kind.
func counts(p ledger.Period) map[string]float64 {
	m := map[string]float64{}
	for _, r := range p.Rows {
		m[r.Kind] += r.Requests
	}
	return m
}

func want(t *testing.T, p ledger.Period, want map[string]float64) {
	t.Helper()
	got := counts(p)
	for kind, n := range want {
		if math.Abs(got[kind]-n) > 1e-6 {
			t.Errorf("%v requests of kind %s, want %v; all: %v", got[kind], kind, n, got)
		}
	}
	if len(got) != len(want) {
		t.Errorf("kinds %v, want %v", got, want)
	}
}

// pit keeps nothing.
type pit struct{ driver.Store }

func (pit) Put(context.Context, string, [][]byte, driver.PutOptions) error { return nil }

// TestWhatS3WouldBeAsked: calls of a store that reports nothing are counted as the requests that S3 would get.
func TestWhatS3WouldBeAsked(t *testing.T) {
	l := ledger.New(ledger.Options{})
	s := l.Wrap("bucket", pit{mem.New()})
	ctx := driver.WithPurpose(t.Context(), driver.PurposeUpload)
	mib := make([]byte, 1<<20)
	for _, n := range []int{0, 1, driver.WholeMax >> 20, driver.WholeMax>>20 + 1, 300} { // the last two in 64 MiB and in 75 MiB
		if err := s.Put(ctx, "o", slices.Repeat([][]byte{mib}, n), driver.PutOptions{IfAbsent: true}); err != nil {
			t.Fatal(err)
		}
	}
	want(t, l.Report().Total, map[string]float64{"put": 3, "stat": 2, "create": 2, "complete": 2, "part": 3 + 4})

	l = ledger.New(ledger.Options{})
	s = l.Wrap("bucket", mem.New())
	keys := make([]string, 2500)
	for i := range keys {
		keys[i] = fmt.Sprintf("k/%05d", i)
		if err := s.Put(ctx, keys[i], [][]byte{{1}}, driver.PutOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	for range s.List(ctx, "k/", "") {
	}
	for range s.List(ctx, "none/", "") {
	}
	for range s.List(ctx, "k/", "") {
		break
	}
	if _, err := s.Get(ctx, keys[0], 0, 0, nil); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Get(ctx, keys[0], 0, -1, nil); err != nil {
		t.Fatal(err)
	}
	if err := s.Delete(ctx, keys...); err != nil {
		t.Fatal(err)
	}
	want(t, l.Report().Total, map[string]float64{"put": 2500, "list": 5, "get": 1, "delete": 3})
}

// TestEveryAttemptCounts: what is repeated above the ledger is paid for again.
func TestEveryAttemptCounts(t *testing.T) {
	l := ledger.New(ledger.Options{})
	faulty := fault.New(mem.New(), 1, fault.Rule{Name: "slow down", Times: 3, Effect: fault.Refuse})
	s := retry.New(l.Wrap("bucket", faulty), retry.Options{Min: time.Microsecond, Max: time.Microsecond})
	if err := s.Put(t.Context(), "k", nil, driver.PutOptions{}); err != nil {
		t.Fatal(err)
	}
	want(t, l.Report().Total, map[string]float64{"put": 4})
}

// reporter is a store that knows what it asks for.
type reporter struct{ driver.Store }

func (r reporter) Get(ctx context.Context, key string, off, n int64, dst []byte) ([]byte, error) {
	rec := driver.RecorderOf(ctx)
	rec.Record(driver.OpGet, 0, 70)
	rec.Record(driver.OpStat, 0, 0)
	return dst, base.Errorf(base.NotFound, "no")
}

func TestStoresThatReportAreBelieved(t *testing.T) {
	l := ledger.New(ledger.Options{})
	s := l.Wrap("bucket", reporter{mem.New()})
	if _, err := s.Get(t.Context(), "k", 0, 10, nil); !base.IsKind(err, base.NotFound) {
		t.Fatal(err)
	}
	want(t, l.Report().Total, map[string]float64{"get": 1, "stat": 1})
	if r := l.Report().Total.Rows[0]; r.Received != 70 {
		t.Errorf("%+v", r)
	}
}

// TestSharesAddUp: however requests are divided, the rows add up to what was asked for, and each topic has its part by bytes.
func TestSharesAddUp(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		topics := rapid.IntRange(1, 12).Draw(t, "topics")
		bound := rapid.IntRange(1, 12).Draw(t, "bound")
		l := ledger.New(ledger.Options{Topics: bound, TopicOf: func(id base.StreamID) string {
			if id == 0 {
				return "" // nobody knows it
			}
			return fmt.Sprint("t", int(id)%topics)
		}})
		s := l.Wrap("bucket", mem.New())
		puts, bytes, ingested := 0.0, int64(0), int64(0)
		for i := range rapid.IntRange(1, 20).Draw(t, "puts") {
			var shares []driver.Share
			size := int64(0)
			for range rapid.IntRange(0, 30).Draw(t, "shares") {
				n := rapid.Int64Range(0, 1000).Draw(t, "bytes")
				shares = append(shares, driver.Share{Stream: base.StreamID(rapid.IntRange(0, 40).Draw(t, "stream")), Bytes: n})
				size += n
			}
			ctx := driver.WithShares(driver.WithPurpose(context.Background(), driver.PurposeUpload), shares)
			if err := s.Put(ctx, fmt.Sprint("k", i), [][]byte{make([]byte, size+100)}, driver.PutOptions{}); err != nil {
				t.Fatal(err)
			}
			puts, bytes, ingested = puts+1, bytes+size+100, ingested+size
		}
		r := l.Report()
		gotPuts, gotBytes, gotIn, names := 0.0, int64(0), int64(0), map[string]bool{}
		for _, row := range r.Total.Rows {
			gotPuts, gotBytes = gotPuts+row.Requests, gotBytes+row.Sent
			names[row.Topic] = true
			if row.Requests < 0 || row.Sent < 0 {
				t.Fatalf("%+v", row)
			}
		}
		for _, n := range r.Total.Ingested {
			gotIn += n
		}
		if math.Abs(gotPuts-puts) > 1e-6 || gotBytes != bytes || gotIn != ingested {
			t.Fatalf("%v requests of %d bytes, %d ingested; want %v of %d, %d", gotPuts, gotBytes, gotIn, puts, bytes, ingested)
		}
		if len(names) > bound+2 {
			t.Fatalf("%d rows for a bound of %d topics", len(names), bound)
		}
	})
}

func TestATopicPaysByItsBytes(t *testing.T) {
	l := ledger.New(ledger.Options{TopicOf: func(id base.StreamID) string { return map[base.StreamID]string{1: "a", 2: "b", 3: "a"}[id] }})
	s := l.Wrap("bucket", mem.New())
	ctx := driver.WithShares(driver.WithPurpose(t.Context(), driver.PurposeWAL), []driver.Share{{Stream: 1, Bytes: 100}, {Stream: 2, Bytes: 700}, {Stream: 3, Bytes: 200}})
	if err := s.Put(ctx, "k", [][]byte{make([]byte, 2000)}, driver.PutOptions{}); err != nil {
		t.Fatal(err)
	}
	got := map[string]ledger.Row{}
	for _, r := range l.Report().Total.Rows {
		got[r.Topic] = r
	}
	if a, b := got["a"], got["b"]; math.Abs(a.Requests-0.3) > 1e-6 || math.Abs(b.Requests-0.7) > 1e-6 || a.Sent != 600 || b.Sent != 1400 || a.Purpose != "wal" {
		t.Fatalf("%+v", got)
	}
	if n := len(l.Report().Total.Ingested); n != 0 {
		t.Fatal("the WAL is not yet the bucket")
	}
}

// TestRates walks through an hour: the last ten minutes are told apart from the rest, also after a pause.
func TestRates(t *testing.T) {
	now := time.Unix(6000, 0)
	l := ledger.New(ledger.Options{Now: func() time.Time { return now }})
	s := l.Wrap("bucket", mem.New())
	put := func(n int) {
		for range n {
			if err := s.Put(t.Context(), "k", nil, driver.PutOptions{}); err != nil {
				t.Fatal(err)
			}
		}
	}
	recent := func(what string, requests, seconds float64) {
		t.Helper()
		r := l.Report().Recent
		if n := counts(r)["put"]; n != requests || r.Seconds < seconds || r.Seconds > seconds+60 {
			t.Fatalf("%s: %v requests in %v s, want %v in %v", what, n, r.Seconds, requests, seconds)
		}
	}
	put(1)
	now = now.Add(30 * time.Second)
	recent("the first half minute", 1, 30)
	for range 30 { // half an hour, one a minute
		now = now.Add(time.Minute)
		put(1)
	}
	recent("one a minute", 11, 600)
	now = now.Add(5 * time.Minute)
	recent("five minutes of nothing", 6, 600)
	now = now.Add(4 * time.Hour)
	recent("a pause", 0, 600)
	put(7)
	recent("after a pause", 7, 600)
	if n := counts(l.Report().Total)["put"]; n != 38 {
		t.Fatalf("%v in all", n)
	}
}

func TestMetrics(t *testing.T) {
	reg := prometheus.NewRegistry()
	l := ledger.New(ledger.Options{Registerer: reg})
	s := l.Wrap("bucket", mem.New())
	for range 4 {
		if err := s.Put(driver.WithPurpose(t.Context(), driver.PurposeUpload), "k", [][]byte{make([]byte, 10)}, driver.PutOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]float64{}
	for _, f := range families {
		for _, m := range f.Metric {
			name := f.GetName()
			for _, p := range m.Label {
				name += " " + p.GetValue()
			}
			got[name] = m.Counter.GetValue()
		}
	}
	for name, want := range map[string]float64{
		"sluice_store_requests_total put upload bucket": 4, // labels are in the order of their names: kind, purpose, store
		"sluice_store_bytes_total sent upload bucket":   40,
		"sluice_store_dollars_total upload bucket":      4 * 5e-6,
	} {
		if v, ok := got[name]; !ok || math.Abs(v-want) > 1e-12 {
			t.Errorf("%s = %v, want %v", name, v, want)
		}
	}
}

func TestCountingCostsLittle(t *testing.T) {
	l := ledger.New(ledger.Options{})
	bare := mem.New()
	s := l.Wrap("bucket", bare)
	ctx := driver.WithPurpose(context.Background(), driver.PurposeRead)
	if err := s.Put(ctx, "k", [][]byte{make([]byte, 100)}, driver.PutOptions{}); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 0, 100)
	get := func(s driver.Store) float64 {
		return testing.AllocsPerRun(200, func() {
			if _, err := s.Get(ctx, "k", 0, 100, buf); err != nil {
				t.Fatal(err)
			}
		})
	}
	if more := get(s) - get(bare); more > 2 {
		t.Errorf("%v allocations more than without", more)
	}
}

// TestConcurrentCounts: nothing is lost when many count at once, and reports are taken meanwhile.
func TestConcurrentCounts(t *testing.T) {
	l := ledger.New(ledger.Options{TopicOf: func(id base.StreamID) string { return fmt.Sprint(id) }})
	s := l.Wrap("bucket", mem.New())
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			ctx := driver.WithShares(t.Context(), []driver.Share{{Stream: base.StreamID(i), Bytes: 1}, {Stream: base.StreamID(i + 1), Bytes: 2}})
			for range 200 {
				_, _ = s.Stat(ctx, "k")
				l.Report()
			}
		})
	}
	wg.Wait()
	want(t, l.Report().Total, map[string]float64{"stat": 1600})
}
