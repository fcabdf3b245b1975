package meta

import (
	"sync"
	"testing"

	"sluice/base"
)

// TestSnapshotLeavesTheImageAlone: an image is written while others read it, so writing must not store anything, not even what is there
// already; the race detector sees that.
func TestSnapshotLeavesTheImageAlone(t *testing.T) {
	d := Empty().Draft()
	do := func(cmd Command) {
		if _, _, err := d.Execute(cmd, 1); err != nil {
			t.Fatal(err)
		}
	}
	if err := d.Apply(&clusterCreated{ID: base.NewUUID(), MS: 1}); err != nil {
		t.Fatal(err)
	}
	do(&Register{Incarnation: base.NewUUID(), Reclaim: base.NoNode, Name: "n", WAL: "s3"})
	ref := NodeRef{1, 1}
	do(&CreateTopics{Topics: []NewTopic{{Name: "t", Partitions: 2, ID: base.NewUUID(), Configs: map[string]string{"a": "b"}}}})
	do(&PrepareObjects{Node: ref, Count: 2})
	do(&ExpireObjects{AgeMS: -1, Limit: 1})
	do(&AlterConfigs{Changes: []ConfigChange{{Kind: BrokerConfig, Configs: map[string]string{"c": "d"}}}})
	do(&FenceNode{Node: ref, Why: "test"})
	img := d.Image()
	var wg sync.WaitGroup
	for range 2 {
		wg.Go(func() { img.AppendSnapshot(nil) })
	}
	for range img.Nodes() {
		img.AppliedByAll()
	}
	wg.Wait()
}
