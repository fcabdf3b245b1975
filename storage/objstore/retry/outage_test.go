package retry_test

import (
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"sluice/storage/objstore/driver"
	"sluice/storage/objstore/fault"
	"sluice/storage/objstore/mem"
	"sluice/storage/objstore/retry"
)

// TestRecoveryIsPrompt: however long everything failed and however many wait, they go on within a second of its end, and the store is
// asked a few times a second meanwhile.
func TestRecoveryIsPrompt(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		lasts := time.Duration(rapid.IntRange(1500, 600_000).Draw(r, "outage ms")) * time.Millisecond
		callers := rapid.IntRange(1, 40).Draw(r, "callers")
		synctest.Test(t, func(t *testing.T) {
			s := fault.New(mem.New(), 1, fault.Outage())
			store := retry.New(s, retry.Options{})
			time.AfterFunc(lasts, func() { s.SetRules() })
			begun := time.Now()
			var wg sync.WaitGroup
			for i := range callers {
				wg.Go(func() {
					if err := store.Put(t.Context(), fmt.Sprint("k", i), nil, driver.PutOptions{IfAbsent: i%2 == 0}); err != nil {
						t.Error(err)
					}
					if late := time.Since(begun) - lasts; late < 0 || late > time.Second {
						t.Errorf("caller %d of %d came back %v after an outage of %v", i, callers, late, lasts)
					}
				})
			}
			wg.Wait()
			most := 20 + 6*lasts.Seconds() + float64(callers)*(10+lasts.Seconds()/4)
			if n := s.Fired("outage"); float64(n) > most {
				t.Errorf("%d requests of %d callers in %v of outage", n, callers, lasts)
			}
		})
	})
}

// TestThrottlingKeepsPauses: while some requests succeed, those that are refused keep away longer and longer.
func TestThrottlingKeepsPauses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := fault.New(mem.New(), 1, fault.Rule{Name: "slow down", Prefix: "busy", Effect: fault.Refuse})
		store := retry.New(s, retry.Options{})
		time.AfterFunc(time.Minute, func() { s.SetRules() })
		done := make(chan error)
		go func() { done <- store.Put(t.Context(), "busy", nil, driver.PutOptions{}) }()
		for range 600 {
			if err := store.Put(t.Context(), "fine", nil, driver.PutOptions{}); err != nil {
				t.Fatal(err)
			}
			time.Sleep(100 * time.Millisecond)
		}
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		if n := s.Fired("slow down"); n > 40 {
			t.Fatalf("%d requests in a minute of throttling", n)
		}
	})
}
