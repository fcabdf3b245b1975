package slotlog

import (
	"context"
	"fmt"

	"sluice/base"
	"sluice/storage/objstore"
)

// ClusterOf returns the id of the cluster that the log called name in the store belongs to, as slot 0 of its epoch 0 says, which is
// never deleted. The slot is verified. The error is NotFound when there is no such log.
func ClusterOf(ctx context.Context, store objstore.Store, name string) (base.UUID, error) {
	l := Log{Store: store, Name: name}
	b, err := store.Get(ctx, l.Key(0, 0), 0, -1, nil)
	if err != nil {
		return base.UUID{}, fmt.Errorf("read slot: %w", err)
	}
	if len(b) < fixedHeader {
		return base.UUID{}, base.Errorf(base.Corrupt, "slot %s: not a slot", l.Key(0, 0))
	}
	l.Cluster = base.UUID(b[8:24])
	if _, err := l.decode(0, 0, b); err != nil {
		return base.UUID{}, err
	}
	return l.Cluster, nil
}
