package slotlog

import (
	"bytes"
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
	"pgregory.net/rapid"

	"sluice/base"
	"sluice/storage/objstore"
	"sluice/storage/objstore/driver"
	"sluice/storage/objstore/fault"
	"sluice/storage/objstore/file"
	"sluice/storage/objstore/mem"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func newLog(s objstore.Store) Log {
	return Log{Store: s, Cluster: base.UUID{1, 2, 3}, Name: "wal/0000002a"}
}

// history records what a writer was answered.
type history struct {
	mu     sync.Mutex
	calls  int
	acked  int
	errors []error
	bad    string // the first thing that must not be
}

// append appends the n-th body of the named writer; the body is overwritten once it is done with.
func (h *history) append(w *Writer, name string, n int) {
	body := [][]byte{[]byte(name), fmt.Appendf(nil, "-%d", n)}
	calls := 0
	w.Append(body, uint32(n), func(slot uint64, err error) {
		for _, b := range body {
			clear(b)
		}
		h.mu.Lock()
		defer h.mu.Unlock()
		h.calls++
		if calls++; calls > 1 {
			h.bad = fmt.Sprintf("append %d was answered %d times", n, calls)
		}
		switch {
		case err != nil:
			h.errors = append(h.errors, err)
		case len(h.errors) > 0:
			h.bad = fmt.Sprintf("append %d acknowledged after %v", n, h.errors[0])
		case h.acked != n || int(slot) != n:
			h.bad = fmt.Sprintf("append %d acknowledged as slot %d after %d acknowledgements", n, slot, h.acked)
		default:
			h.acked++
		}
	})
}

func (h *history) answered() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.calls
}

func TestAppendReadSealTrim(t *testing.T) {
	for name, store := range map[string]objstore.Store{"mem": mem.New(), "file": openFile(t)} {
		t.Run(name, func(t *testing.T) {
			l := newLog(store)
			var h history
			w := l.NewWriter(3, 0, WriterOptions{InFlight: 4})
			for n := range 20 {
				h.append(w, "a", n)
			}
			for h.answered() < 20 {
				time.Sleep(time.Millisecond)
			}
			if h.bad != "" || h.acked != 20 || w.Pending() != 0 || w.Next() != 20 {
				t.Fatalf("acknowledged %d: %s", h.acked, h.bad)
			}
			seal := Seal{Who: "node 7", Why: "no heartbeat", NewEpoch: 4}
			for range 2 {
				if end, err := l.Seal(t.Context(), 3, 5, seal); end != 20 || err != nil {
					t.Fatalf("sealed at %d, %v", end, err)
				}
			}
			h.append(w, "a", 20)
			h.append(w, "a", 21)
			w.Close()
			if len(h.errors) != 2 || !base.IsKind(h.errors[0], base.Fenced) && !base.IsKind(h.errors[0], base.Closed) {
				t.Fatalf("after the seal: %v", h.errors)
			}
			n := 0
			for s, err := range l.ReadRange(t.Context(), 3, 0, 100, 5) {
				if err != nil || s.Slot != uint64(n) || s.Epoch != 3 {
					t.Fatalf("slot %d: %+v, %v", n, s, err)
				}
				if n == 20 {
					if s.Seal == nil || *s.Seal != seal {
						t.Fatalf("seal: %+v", s)
					}
				} else if want := fmt.Sprintf("a-%d", n); string(s.Payload) != want || s.Records != uint32(n) || s.Seal != nil {
					t.Fatalf("slot %d: %+v", n, s)
				}
				n++
			}
			if n != 21 {
				t.Fatalf("read %d slots", n)
			}
			testTrim(t, l)
		})
	}
}

func openFile(t *testing.T) objstore.Store {
	s, err := file.Open(filepath.Join(t.TempDir(), "bucket"))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// testTrim trims epoch 3 with data in [0, 20) and a seal at 20. The put of slot 21 was under way when its writer met the seal, so it may be
// there or not, until a trim goes beyond it.
func testTrim(t *testing.T, l Log) {
	left := func() (slots []uint64) {
		for info, err := range l.Store.List(t.Context(), l.EpochPrefix(3), "") {
			slot, ok := l.slotOf(3, info.Key)
			if err != nil || !ok {
				t.Fatalf("%+v, %v", info, err)
			}
			slots = append(slots, slot)
		}
		return slots
	}
	for _, c := range []struct {
		from, to uint64
		want     string
	}{
		{0, 0, "[0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20]"},
		{0, 3, "[0 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20]"},
		{3, 17, "[0 17 18 19 20]"},
		{17, 1 << 60, "[0 20]"},
		{0, 1 << 60, "[0 20]"},
	} {
		if err := l.DeleteBelow(t.Context(), 3, c.from, c.to); err != nil {
			t.Fatal(err)
		}
		got := fmt.Sprint(left())
		if c.to <= 21 {
			got = strings.Replace(got, " 21]", "]", 1)
		}
		if got != c.want {
			t.Fatalf("after trim [%d, %d): %s, want %s", c.from, c.to, got, c.want)
		}
	}
}

func TestSealOfAnEmptyEpoch(t *testing.T) {
	l := newLog(mem.New())
	if end, err := l.Seal(t.Context(), 9, 0, Seal{}); end != 0 || err != nil {
		t.Fatalf("%d, %v", end, err)
	}
	if err := l.DeleteBelow(t.Context(), 9, 0, 10); err != nil {
		t.Fatal(err)
	}
	if s, err := l.Read(t.Context(), 9, 0); err != nil || s.Seal == nil {
		t.Fatalf("%+v, %v", s, err)
	}
	w := l.NewWriter(9, 0, WriterOptions{})
	got := make(chan error)
	w.Append(nil, 0, func(_ uint64, err error) { got <- err })
	if err := <-got; !base.IsKind(err, base.Fenced) {
		t.Fatalf("got %v", err)
	}
	w.Append(nil, 0, func(_ uint64, err error) { got <- err })
	if err := <-got; !base.IsKind(err, base.Fenced) {
		t.Fatalf("got %v", err)
	}
	w.Close()
}

func TestRefusalIsSticky(t *testing.T) {
	s := fault.New(mem.New(), 1, fault.Rule{Name: "denied", Op: fault.Put, Skip: 1, Times: 1, Effect: fault.Refuse, Kind: base.Invalid})
	w := newLog(s).NewWriter(1, 0, WriterOptions{})
	var h history
	for n := range 4 {
		h.append(w, "a", n)
	}
	for h.answered() < 4 {
		time.Sleep(time.Millisecond)
	}
	w.Close()
	if h.bad != "" || h.acked != 1 || len(h.errors) != 3 {
		t.Fatalf("%d acknowledged, %v %s", h.acked, h.errors, h.bad)
	}
	for _, err := range h.errors {
		if !base.IsKind(err, base.Failed) {
			t.Fatalf("got %v", err)
		}
	}
}

func TestCloseWaitsForAttempts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := fault.New(mem.New(), 1, fault.Rule{Name: "hang", Effect: fault.Hang})
		w := newLog(s).NewWriter(1, 0, WriterOptions{InFlight: 2})
		var h history
		for n := range 5 {
			h.append(w, "a", n)
		}
		time.Sleep(time.Hour)
		if h.answered() != 0 || w.Pending() != 5 {
			t.Fatalf("%d answers of a store that hangs", h.answered())
		}
		w.Close()
		if h.bad != "" || len(h.errors) != 5 || !base.IsKind(h.errors[4], base.Closed) {
			t.Fatalf("%v %s", h.errors, h.bad)
		}
		if fired := s.Fired("hang"); fired > 2*3600/10 {
			t.Fatalf("%d attempts in an hour", fired)
		}
		h.append(w, "a", 5)
		synctest.Wait()
		if len(h.errors) != 6 {
			t.Fatal("an append after Close is answered")
		}
	})
}

func TestClusterOf(t *testing.T) {
	l := newLog(mem.New())
	if _, err := l.Seal(t.Context(), 0, 0, Seal{}); err != nil {
		t.Fatal(err)
	}
	if id, err := ClusterOf(t.Context(), l.Store, l.Name); err != nil || id != l.Cluster {
		t.Fatalf("%v, %v", id, err)
	}
	if err := l.Store.Put(t.Context(), l.Key(0, 0), [][]byte{make([]byte, 90)}, driver.PutOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, err := ClusterOf(t.Context(), l.Store, l.Name); !base.IsKind(err, base.Corrupt) {
		t.Fatalf("got %v", err)
	}
}

func TestSealEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLog(fault.New(mem.New(), 1, fault.Outage()))
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if _, err := l.Seal(ctx, 1, 0, Seal{}); !base.IsKind(err, base.Unavailable) {
			t.Fatalf("got %v", err)
		}
	})
}

func TestReadRangeEnds(t *testing.T) {
	l := newLog(mem.New())
	var h history
	w := l.NewWriter(1, 0, WriterOptions{InFlight: 3})
	for n := range 10 {
		h.append(w, "a", n)
	}
	for h.answered() < 10 {
		time.Sleep(time.Millisecond)
	}
	w.Close()
	var last error
	n := 0
	for _, err := range l.ReadRange(t.Context(), 1, 2, 20, 4) {
		last = err
		n++
	}
	if n != 9 || !base.IsKind(last, base.NotFound) {
		t.Fatalf("%d slots, then %v", n, last)
	}
	ctx, cancel := context.WithCancel(t.Context())
	n, last = 0, nil
	for _, err := range l.ReadRange(ctx, 1, 0, 10, 2) {
		if n++; n == 3 {
			cancel()
		}
		last = err
	}
	if n == 10 && last == nil { // what was read ahead may still come, the rest may not
		t.Fatal("a cancelled range must not look complete")
	}
	for range l.ReadRange(t.Context(), 1, 0, 10, 100) {
		break // a range may be left
	}
	cancel()
}

func TestCorruptSlotsAreFound(t *testing.T) {
	store := mem.New()
	l := newLog(store)
	var h history
	w := l.NewWriter(1, 0, WriterOptions{})
	h.append(w, "data", 0)
	for h.answered() < 1 {
		time.Sleep(time.Millisecond)
	}
	w.Close()
	if _, err := ClusterOf(t.Context(), store, l.Name); !base.IsKind(err, base.NotFound) { // there is no epoch 0
		t.Fatalf("got %v", err)
	}
	good, err := store.Get(t.Context(), l.Key(1, 0), 0, -1, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := range good {
		for _, bad := range [][]byte{flip(good, i), good[:i]} {
			if _, err := l.decode(1, 0, bad); !base.IsKind(err, base.Corrupt) {
				t.Fatalf("byte %d: %v", i, err)
			}
		}
	}
	other := l
	other.Cluster = base.UUID{9}
	if _, err := other.decode(1, 0, good); !base.IsKind(err, base.Corrupt) {
		t.Fatalf("another cluster: %v", err)
	}
	if _, err := l.decode(1, 1, good); !base.IsKind(err, base.Corrupt) {
		t.Fatalf("another slot: %v", err)
	}
	if err := store.Put(t.Context(), l.Key(1, 1), [][]byte{[]byte("rubbish")}, driver.PutOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, err := l.Seal(t.Context(), 1, 0, Seal{}); !base.IsKind(err, base.Corrupt) {
		t.Fatalf("seal over rubbish: %v", err)
	}
}

func flip(b []byte, i int) []byte {
	b = bytes.Clone(b)
	b[i] ^= 0x10
	return b
}

// plan is a scenario that rapid draws.
type plan struct {
	seed                              uint64
	window, appends                   int
	lost, late, slow, hang, get, wait float64
	sealAfter                         time.Duration // < 0: no seal
	from                              float64       // where the sealer starts, as a part of what is acknowledged
	rival                             bool
}

func drawPlan(t *rapid.T) plan {
	p := func(name string) float64 { return rapid.SampledFrom([]float64{0, 0, 0.05, 0.3}).Draw(t, name) }
	return plan{
		seed:      rapid.Uint64().Draw(t, "seed"),
		window:    rapid.IntRange(1, 6).Draw(t, "window"),
		appends:   rapid.IntRange(1, 40).Draw(t, "appends"),
		lost:      p("lost"),
		late:      p("late"),
		slow:      p("slow down"),
		hang:      p("hang"),
		get:       p("get fails"),
		wait:      p("wait"),
		sealAfter: time.Duration(rapid.IntRange(-20, 120).Draw(t, "seal after ms")) * time.Millisecond,
		from:      rapid.Float64Range(0, 1).Draw(t, "from"),
		rival:     rapid.Bool().Draw(t, "rival"),
	}
}

func (p plan) rules() []fault.Rule {
	rule := func(op fault.Op, prob float64, effect fault.Effect, d time.Duration) fault.Rule {
		r := fault.Rule{Name: "f", Op: op, Prob: prob, Effect: effect, Delay: d}
		if prob == 0 {
			r.Match = func(string) bool { return false }
		}
		return r
	}
	return []fault.Rule{
		rule(fault.Any, p.wait, fault.Nothing, 37*time.Millisecond),
		rule(fault.Put, p.lost, fault.LoseAnswer, 0),
		rule(fault.Put, p.late, fault.Late, time.Millisecond),
		rule(fault.Put, p.slow, fault.Refuse, 3*time.Millisecond),
		rule(fault.Put, p.hang/3, fault.Hang, 0),
		rule(fault.Get, p.get, fault.Refuse, 0),
		{Name: "normal", Op: fault.Put, Delay: 5 * time.Millisecond, Effect: fault.Nothing, Times: 1 << 30},
	}
}

// TestWriterUnderFaults runs real writers and a real sealer on a store that misbehaves, in virtual time.
func TestWriterUnderFaults(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		p := drawPlan(rt)
		var problem string
		synctest.Test(t, func(t *testing.T) { problem = p.run(t.Context()) })
		if problem != "" {
			rt.Fatalf("%+v: %s", p, problem)
		}
	})
}

func (p plan) run(ctx context.Context) string {
	store := fault.New(mem.New(), p.seed, p.rules()...)
	l := newLog(store)
	opt := WriterOptions{InFlight: p.window, PutTimeout: 200 * time.Millisecond, RetryMax: 50 * time.Millisecond}
	names := []string{"a"}
	if p.rival {
		names = append(names, "b")
	}
	histories := make([]history, len(names))
	var wg sync.WaitGroup
	for i, name := range names {
		w := l.NewWriter(1, 0, opt)
		defer w.Close()
		wg.Go(func() {
			for n := range p.appends {
				histories[i].append(w, name, n)
				time.Sleep(time.Duration(n%3) * 4 * time.Millisecond)
			}
			for histories[i].answered() < p.appends {
				time.Sleep(10 * time.Millisecond)
			}
		})
	}
	delivered := make(chan struct{})
	go func() {
		for i := range 400 { // then faults end, and everything must come to an end
			time.Sleep(7 * time.Millisecond)
			store.Deliver(ctx, i%2)
		}
		store.SetRules()
		close(delivered)
	}()
	end := int64(-1)
	var sealErr error
	if p.sealAfter >= 0 {
		wg.Go(func() {
			time.Sleep(p.sealAfter)
			histories[0].mu.Lock()
			from := uint64(p.from * float64(histories[0].acked))
			histories[0].mu.Unlock()
			var e uint64
			e, sealErr = l.Seal(ctx, 1, from, Seal{Who: "test"})
			end = int64(e)
		})
	}
	wg.Wait()
	<-delivered
	if sealErr != nil {
		return sealErr.Error()
	}
	for range 2 {
		if problem := p.check(ctx, l, names, histories, end); problem != "" {
			return problem
		}
		store.Deliver(ctx, 1<<20) // whatever still comes late changes nothing
	}
	return ""
}

func (p plan) check(ctx context.Context, l Log, names []string, histories []history, end int64) string {
	winners := 0
	for i := range histories {
		h := &histories[i]
		if h.bad != "" {
			return h.bad
		}
		if h.acked+len(h.errors) != p.appends {
			return fmt.Sprintf("%d answers to %d appends", h.acked+len(h.errors), p.appends)
		}
		if end < 0 && !p.rival && h.acked != p.appends {
			return fmt.Sprintf("nobody sealed, and only %d of %d were acknowledged: %v", h.acked, p.appends, h.errors)
		}
		for _, err := range h.errors {
			if !base.IsKind(err, base.Fenced) {
				return "failed with " + err.Error()
			}
		}
		if h.acked == 0 {
			continue
		}
		winners++
		if end >= 0 && int64(h.acked) > end {
			return fmt.Sprintf("%d acknowledged, sealed at %d", h.acked, end)
		}
		for n := range h.acked {
			s, err := l.Read(ctx, 1, uint64(n))
			if want := fmt.Sprintf("%s-%d", names[i], n); err != nil || string(s.Payload) != want {
				return fmt.Sprintf("slot %d: %q, %v; %q was acknowledged", n, s.Payload, err, want)
			}
		}
	}
	if winners > 1 {
		return "two writers were acknowledged"
	}
	if end < 0 {
		return ""
	}
	n := int64(0)
	for s, err := range l.ReadRange(ctx, 1, 0, uint64(end)+1, 8) {
		if err != nil || (s.Seal != nil) != (n == end) {
			return fmt.Sprintf("slot %d of %d: %+v, %v", n, end, s, err)
		}
		n++
	}
	return ""
}

func TestSealText(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		s := Seal{Who: rapid.String().Draw(rt, "who"), Why: string(rapid.SliceOf(rapid.Byte()).Draw(rt, "why")), NewEpoch: rapid.Uint64().Draw(rt, "epoch")}
		b := appendSeal(nil, s)
		got, err := decodeSeal(b)
		if err != nil || fixedHeader+nameMax+len(b) > sealMax {
			rt.Fatalf("%d bytes: %v", len(b), err)
		}
		if got.NewEpoch != s.NewEpoch || got.Who != cut(s.Who, whoMax) || got.Why != cut(s.Why, whyMax) {
			rt.Fatalf("%+v became %+v", s, *got)
		}
	})
}

func FuzzDecode(f *testing.F) {
	l := newLog(nil)
	h, _ := l.header(kindData, 1, 2, base.UUID{5}, 3, [][]byte{[]byte("body")})
	f.Add(append(h, "body"...))
	body := appendSeal(nil, Seal{Who: "me", Why: "because"})
	h, _ = l.header(kindSeal, 1, 2, base.UUID{5}, 0, [][]byte{body})
	f.Add(append(h, body...))
	f.Fuzz(func(t *testing.T, b []byte) {
		if s, err := l.decode(1, 2, b); err == nil && s.Seal == nil && len(s.Payload)+l.headerLen() != len(b) {
			t.Fatalf("%+v", s)
		}
		_, _ = decodeSeal(b)
	})
}
