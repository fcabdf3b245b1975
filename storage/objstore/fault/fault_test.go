package fault_test

import (
	"context"
	"testing"
	"time"

	"sluice/base"
	"sluice/storage/objstore/conform"
	"sluice/storage/objstore/driver"
	"sluice/storage/objstore/fault"
	"sluice/storage/objstore/mem"
)

func TestWithoutRulesItConforms(t *testing.T) {
	conform.RunWith(t, conform.Options{BigBytes: 1 << 20}, func(*testing.T) driver.Store { return fault.New(mem.New(), 1) })
}

func TestEffects(t *testing.T) {
	ctx := t.Context()
	inner := mem.New()
	s := fault.New(inner, 1)
	put := func(key string) error {
		return s.Put(ctx, key, [][]byte{[]byte(key)}, driver.PutOptions{IfAbsent: true})
	}
	there := func(key string) bool {
		_, err := inner.Stat(ctx, key)
		return err == nil
	}

	s.SetRules(fault.Rule{Name: "slow down", Op: fault.Put, Times: 1, Effect: fault.Refuse})
	if err := put("a"); !base.IsKind(err, base.Unavailable) || there("a") {
		t.Fatalf("refused: %v", err)
	}
	if err := put("a"); err != nil {
		t.Fatalf("the rule has run out: %v", err)
	}

	s.SetRules(fault.Rule{Name: "lost", Op: fault.Put, Prefix: "l", Effect: fault.LoseAnswer})
	if err := put("l"); !base.IsKind(err, base.Undetermined) || !there("l") {
		t.Fatalf("lost answer: %v", err)
	}
	if err := put("m"); err != nil {
		t.Fatalf("another key: %v", err)
	}

	s.SetRules(fault.Rule{Name: "late", Op: fault.Put, Effect: fault.Late, Skip: 1})
	if err := put("b"); err != nil {
		t.Fatalf("skipped: %v", err)
	}
	body := []byte("late")
	if err := s.Put(ctx, "c", [][]byte{body}, driver.PutOptions{}); !base.IsKind(err, base.Undetermined) || there("c") {
		t.Fatalf("late put: %v", err)
	}
	clear(body)
	if s.Pending() != 1 || s.Deliver(ctx, 5) != 1 || s.Pending() != 0 {
		t.Fatal("one late put was to be delivered")
	}
	if got, err := inner.Get(ctx, "c", 0, -1, nil); err != nil || string(got) != "late" {
		t.Fatalf("delivered %q, %v", got, err)
	}

	s.SetRules(fault.Rule{Name: "hang", Effect: fault.Hang})
	short, cancel := context.WithTimeout(ctx, time.Millisecond)
	defer cancel()
	if err := s.Put(short, "d", nil, driver.PutOptions{}); !base.IsKind(err, base.Undetermined) || there("d") {
		t.Fatalf("hanging put: %v", err)
	}

	s.SetRules(fault.Outage())
	if _, err := s.Get(ctx, "a", 0, -1, nil); !base.IsKind(err, base.Unavailable) {
		t.Fatalf("outage: %v", err)
	}
	for name, want := range map[string]int{"slow down": 1, "lost": 1, "late": 1, "hang": 1, "outage": 1, "other": 0} {
		if got := s.Fired(name); got != want {
			t.Errorf("%s fired %d times, want %d", name, got, want)
		}
	}
}

func TestSameSeedSameFaults(t *testing.T) {
	run := func(seed uint64) (outcome []bool) {
		s := fault.New(mem.New(), seed, fault.Rule{Name: "half", Prob: 0.5, Effect: fault.Refuse})
		for range 64 {
			outcome = append(outcome, s.Put(t.Context(), "k", nil, driver.PutOptions{}) == nil)
		}
		return outcome
	}
	a, b, c := run(1), run(1), run(2)
	same := func(x, y []bool) bool {
		for i := range x {
			if x[i] != y[i] {
				return false
			}
		}
		return true
	}
	if !same(a, b) || same(a, c) {
		t.Fatal("the seed decides")
	}
}
