package s3

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"sluice/base"
	"sluice/base/slab"
	"sluice/storage/objstore/mem"
	"sluice/storage/wal/block"
)

// TestSpentBudget appends one record after the other until long after the bucket of puts is empty: each waits its turn and no longer.
// A block that the budget has let go when it woke the writer must not be paid for again by the writer.
func TestSpentBudget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, err := Class{}.create(context.Background(), block.Options{
			Cluster: base.UUID{1}, Node: 1, Epoch: 1, Pool: &slab.Pool{}, Store: mem.New(), PutsPerSecond: 4,
		})
		if err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		const appends = 42
		for range appends {
			done := make(chan error)
			l.Append(block.Record{Stream: 1, Count: 1, Data: []byte("x")}, func(err error) { done <- err })
			select {
			case err := <-done:
				if err != nil {
					t.Fatal(err)
				}
			case <-time.After(time.Minute):
				t.Fatal("a record waits for ever")
			}
		}
		if took := time.Since(began); took < 9*time.Second || took > 11*time.Second {
			t.Fatalf("%d puts at 4 per second took %v", appends, took)
		}
		if err := l.Close(context.Background()); err != nil {
			t.Fatal(err)
		}
	})
}
