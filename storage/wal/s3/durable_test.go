package s3

import (
	"context"
	"testing"
	"testing/synctest"

	"sluice/base"
	"sluice/base/slab"
	"sluice/storage/objstore/driver"
	"sluice/storage/objstore/mem"
	"sluice/storage/wal/block"
)

// gated is a store whose puts wait for its gate.
type gated struct {
	driver.Store
	gate chan struct{}
}

func (g *gated) Put(ctx context.Context, key string, body [][]byte, opt driver.PutOptions) error {
	select {
	case <-g.gate:
		return g.Store.Put(ctx, key, body, opt)
	case <-ctx.Done():
		return base.Wrap(base.Undetermined, ctx.Err())
	}
}

// TestNothingIsAcknowledgedBeforeItIsStored: an append is answered when its slot is in the store, not when its put is under way.
func TestNothingIsAcknowledgedBeforeItIsStored(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &gated{Store: mem.New(), gate: make(chan struct{})}
		log, err := Class{}.create(context.Background(), block.Options{Cluster: base.UUID{1}, Node: 1, Epoch: 1, Pool: &slab.Pool{}, Store: store})
		if err != nil {
			t.Fatal(err)
		}
		answers := make(chan error, 1)
		log.Append(block.Record{Stream: 1, Epoch: 1, Base: 0, Count: 1, Data: []byte("record")}, func(err error) { answers <- err })
		synctest.Wait()
		if len(answers) != 0 || log.Durable() != 0 {
			t.Errorf("acknowledged with nothing in the store; durable up to %d", log.Durable())
		}
		close(store.gate)
		if err := <-answers; err != nil || log.Durable() != 1 {
			t.Errorf("%v, durable up to %d", err, log.Durable())
		}
		if err := log.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
}
