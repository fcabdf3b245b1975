package slotlog

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"sluice/base"
	"sluice/storage/objstore"
	"sluice/storage/objstore/driver"
	"sluice/storage/objstore/mem"
)

// slowStore takes time for puts. A put that is called off while it waits is undetermined, and is done all the same when late is called.
// While a put is under way its body must not change.
type slowStore struct {
	objstore.Store
	takes func(n int) time.Duration // of the nth put, from 0

	mu      sync.Mutex
	puts    int
	under   int // way
	changed int // bodies that changed
	given   []func()
}

func (s *slowStore) Put(ctx context.Context, key string, body [][]byte, opt driver.PutOptions) error {
	s.mu.Lock()
	n := s.puts
	s.puts++
	s.under++
	s.mu.Unlock()
	sent := bytes.Join(body, nil)
	timer := time.NewTimer(s.takes(n))
	defer timer.Stop()
	var err error
	select {
	case <-timer.C:
		err = s.Store.Put(context.Background(), key, [][]byte{sent}, opt)
	case <-ctx.Done():
		err = base.Errorf(base.Undetermined, "put %s: %w", key, ctx.Err())
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.under--
	if !bytes.Equal(sent, bytes.Join(body, nil)) {
		s.changed++
	}
	if base.IsKind(err, base.Undetermined) {
		s.given = append(s.given, func() { _ = s.Store.Put(context.Background(), key, [][]byte{sent}, opt) })
	}
	return err
}

// late does the puts that were called off.
func (s *slowStore) late() (n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, put := range s.given {
		put()
	}
	n = len(s.given)
	s.given = nil
	return n
}

// one appends and waits, and returns how long it took. The body is overwritten at once.
func one(t *testing.T, w *Writer, text string) time.Duration {
	t.Helper()
	began := time.Now()
	body := []byte(text)
	done := make(chan error)
	w.Append([][]byte{body}, 1, func(_ uint64, err error) {
		clear(body)
		done <- err
	})
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	return time.Since(began)
}

// TestHedge: a put that takes far too long is made again beside it, and counts when the second one has come through.
func TestHedge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		slow := func(n int) bool { return n >= 50 && n%50 == 0 }
		store := &slowStore{Store: mem.New(), takes: func(n int) time.Duration {
			if slow(n) {
				return 8 * time.Second
			}
			return 50 * time.Millisecond
		}}
		l := newLog(store)
		w := l.NewWriter(1, 0, WriterOptions{Hedge: true})
		defer w.Close()
		const appends = 1000
		for n := range appends {
			if took := one(t, w, fmt.Sprint("body ", n)); took > 151*time.Millisecond {
				t.Fatalf("append %d took %v although a put takes 50ms and is hedged after 100ms", n, took)
			}
		}
		hedges := store.puts - appends
		if hedges < 15 || hedges > 25 || store.changed > 0 || store.under > 0 {
			t.Fatalf("%d hedges, %d bodies changed under a put, %d puts under way", hedges, store.changed, store.under)
		}
		if n := store.late(); n != hedges {
			t.Fatalf("%d puts called off, %d hedges", n, hedges)
		}
		for n := range uint64(appends) {
			if s, err := l.Read(t.Context(), 1, n); err != nil || string(s.Payload) != fmt.Sprint("body ", n) {
				t.Fatalf("slot %d: %q, %v", n, s.Payload, err)
			}
		}
	})
}

// TestHedgesAreBounded: a store that has become slow for good, or for every third put, gets no more than a twentieth of puts on top.
func TestHedgesAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &slowStore{Store: mem.New(), takes: func(n int) time.Duration {
			switch {
			case n < 100:
				return 50 * time.Millisecond
			case n%3 == 0:
				return time.Second
			default:
				return 60 * time.Millisecond
			}
		}}
		w := newLog(store).NewWriter(1, 0, WriterOptions{Hedge: true})
		defer w.Close()
		const appends = 2000
		for range appends {
			one(t, w, "x")
		}
		if hedges := store.puts - appends; hedges == 0 || float64(hedges) > appends*hedgeShare+hedgeCreditMax {
			t.Fatalf("%d hedges of %d puts", hedges, appends)
		}
	})
}

// TestBothAttemptsFail: after that the slot is put again until it is known to be stored.
func TestBothAttemptsFail(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &slowStore{Store: mem.New(), takes: func(n int) time.Duration {
			if n >= 40 && n < 44 {
				return time.Hour
			}
			return 50 * time.Millisecond
		}}
		w := newLog(store).NewWriter(1, 0, WriterOptions{Hedge: true, PutTimeout: time.Second})
		defer w.Close()
		for n := range 60 {
			one(t, w, fmt.Sprint(n))
		}
		if store.puts < 63 {
			t.Fatalf("%d puts", store.puts)
		}
		if slots := w.Doubtful(60, time.Now().Add(time.Second)); len(slots) != 4 || slots[0] != 40 {
			t.Fatalf("doubtful: %v", slots)
		}
		if slots := w.Doubtful(60, time.Now().Add(time.Second)); slots != nil {
			t.Fatalf("doubtful once more: %v", slots)
		}
	})
}

// TestHedgedWritersAreFenced: hedging changes nothing about who is acknowledged.
func TestHedgedWritersAreFenced(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		seed := rapid.Uint64().Draw(rt, "seed")
		sealAfter := time.Duration(rapid.IntRange(0, 6_000).Draw(rt, "sealAfterMS")) * time.Millisecond
		problem := ""
		synctest.Test(t, func(t *testing.T) {
			var mu sync.Mutex
			rng := rand.New(rand.NewPCG(seed, 1))
			store := &slowStore{Store: mem.New(), takes: func(int) time.Duration {
				mu.Lock()
				defer mu.Unlock()
				if rng.IntN(20) == 0 {
					return time.Duration(rng.IntN(15_000)) * time.Millisecond // beyond the timeout, some
				}
				return time.Duration(20+rng.IntN(60)) * time.Millisecond
			}}
			l := newLog(store)
			w := l.NewWriter(1, 0, WriterOptions{Hedge: true, InFlight: 4})
			var h history
			for n := range 150 {
				h.append(w, "a", n)
			}
			time.Sleep(sealAfter)
			end, err := l.Seal(t.Context(), 1, 0, Seal{})
			if err != nil {
				problem = err.Error()
			}
			for h.answered() < 150 {
				time.Sleep(time.Second)
			}
			w.Close()
			store.late()
			if h.bad != "" || h.acked > int(end) || h.acked+len(h.errors) != 150 || store.changed > 0 || store.under > 0 {
				problem = fmt.Sprintf("%d acknowledged, sealed at %d: %s; %d bodies changed", h.acked, end, h.bad, store.changed)
			}
			for n := range end {
				if s, err := l.Read(t.Context(), 1, n); err != nil || string(s.Payload) != fmt.Sprintf("a-%d", n) {
					problem = fmt.Sprintf("slot %d: %q, %v", n, s.Payload, err)
				}
			}
		})
		if problem != "" {
			rt.Fatal(problem)
		}
	})
}

// TestHedger: what counts as slow follows the puts of that size.
func TestHedger(t *testing.T) {
	var h hedger
	for range hedgeSure - 1 {
		h.ended(1000, 20*time.Millisecond)
	}
	if d := h.begin(1000); d != 0 {
		t.Fatalf("hedged after %v, which nobody knows to be slow", d)
	}
	h.ended(1000, 20*time.Millisecond)
	if d := h.begin(1000); d != 40*time.Millisecond {
		t.Fatalf("hedged after %v", d)
	}
	if d := h.begin(8 << 20); d != 0 {
		t.Fatalf("a large put is hedged after %v, as if it were small", d)
	}
	for range 2 * hedgeSamples {
		h.ended(1000, time.Microsecond)
	}
	if d := h.begin(1000); d != hedgeLeast {
		t.Fatalf("hedged after %v", d)
	}
	rapid.Check(t, func(rt *rapid.T) {
		var h hedger
		puts, hedges := 0, 0
		for range rapid.IntRange(0, 500).Draw(rt, "steps") {
			if rapid.Bool().Draw(rt, "put") {
				puts++
				h.begin(rapid.IntRange(1, 100<<20).Draw(rt, "size"))
			} else if h.take() {
				hedges++
			}
			if float64(hedges) > float64(puts)*hedgeShare {
				rt.Fatalf("%d hedges of %d puts", hedges, puts)
			}
		}
	})
}
