package batch

import (
	"bytes"
	"testing"
	"testing/synctest"

	"sluice/base"
)

// zeros is a batch of one record of n zeros.
func zeros(n int, codec Codec) Batch {
	b := NewBuilder(Options{Codec: codec})
	b.Add(Record{Value: make([]byte, n)})
	one, _, err := Parse(b.Bytes())
	if err != nil {
		panic(err)
	}
	return one
}

// TestBudgetIsShared: of two large outputs that do not fit together the second one waits until the loop over the first has ended; a small one does not wait.
func TestBudgetIsShared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lim := Limits{Budget: NewBudget(24 << 20)}
		hold, left := make(chan bool), make(chan string, 3)
		open := func(name string, b Batch, hold <-chan bool) {
			for _, err := range b.Records(lim) {
				if err != nil {
					t.Error(err)
				}
				<-hold
			}
			left <- name
		}
		go open("first", zeros(16<<20, Gzip), hold)
		synctest.Wait()
		at := make(chan bool)
		close(at)
		go open("second", zeros(16<<20, Zstd), at)
		synctest.Wait()
		go open("small", zeros(100<<10, Snappy), at)
		synctest.Wait()
		if len(left) != 1 || <-left != "small" {
			t.Fatal("the second one did not wait, or the small one did")
		}
		close(hold)
		synctest.Wait()
		if len(left) != 2 {
			t.Fatalf("%d of 2 have ended", len(left))
		}
	})
}

// TestBudgetChangesNothing: whatever the ratio, the records are those that are read without a budget, and so is the refusal of what is too large.
func TestBudgetChangesNothing(t *testing.T) {
	budget := NewBudget(1) // smaller than all that is large: one at a time
	for codec := Gzip; codec <= Zstd; codec++ {
		for _, n := range []int{0, 1000, 80 << 10, 3 << 20, 20 << 20} {
			got := 0
			for r, err := range zeros(n, codec).Records(Limits{Budget: budget}) {
				if err != nil || !bytes.Equal(r.Value, make([]byte, n)) {
					t.Fatalf("%v, %d zeros: %d bytes, %v", codec, n, len(r.Value), err)
				}
				got++
			}
			if got != 1 {
				t.Errorf("%v, %d zeros: %d records", codec, n, got)
			}
		}
		for _, err := range zeros(3<<20, codec).Records(Limits{Bytes: 2 << 20, Budget: budget}) {
			if !base.IsKind(err, base.Invalid) {
				t.Errorf("%v: too much is not refused: %v", codec, err)
			}
		}
	}
	if !budget.small.TryAcquire(claimSmall) || !budget.large.TryAcquire(budget.bytes) {
		t.Error("something is not given back")
	}
}
