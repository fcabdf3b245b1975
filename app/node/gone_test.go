package node

import (
	"context"
	"fmt"
	"testing"
	"time"

	"sluice/base"
	"sluice/cluster/meta"
	"sluice/storage/object"
	"sluice/storage/objstore/fault"
)

// TestReadThatOutlastsTheGrace: a read has found in the metadata where its records are, and takes so long that the objects are compacted away and deleted before it
// gets to them: all brokers have seen the mark, and the grace is over. It is located again, and its client notices nothing.
func TestReadThatOutlastsTheGrace(t *testing.T) {
	t.Parallel()
	const records, uploads = 200, 8
	for request := range 2 { // of those for objects: an index, and a block
		t.Run(fmt.Sprint(request), func(t *testing.T) {
			k := new(clock)
			c := newCluster(t, "upload-interval=1h", "compaction-interval=1h", "delete-grace=1s")
			inner := c.store
			store := fault.New(inner, 1)
			c.store, c.now = store, k.now
			c.start()
			c.createTopic("read", 1)
			cl := c.client()
			for i := range uploads {
				c.produce(cl, "read", i*records, records)
				if err := c.node.volumes.open[0].engine.Flush(c.ctx()); err != nil {
					t.Fatal(err)
				}
			}
			c.stop() // in order, so that nothing has to be replayed, and nothing is left in memory
			n := c.start()
			cluster := n.member.Image().ClusterID()
			old := map[string]bool{}
			for o := range n.member.Image().Objects() {
				if o.State == meta.Committed {
					old[object.Key(cluster, o.ID)] = true
				}
			}
			deleted := make(chan struct{}) // or not, in time
			store.SetRules(fault.Rule{Name: "slow", Op: fault.Get, Match: func(key string) bool { return old[key] }, Skip: request, Times: 1, Before: func(_ fault.Op, key string) {
				defer close(deleted)
				ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
				defer cancel()
				for left := 1; left > 0; {
					rep, err := n.compactNow(ctx)
					if err != nil || rep.Failed > 0 {
						t.Errorf("%+v: %v", rep, err)
						return
					}
					left = rep.Left
				}
				k.ahead.Store(int64(time.Hour))
				for ctx.Err() == nil {
					if _, err := inner.Stat(ctx, key); base.IsKind(err, base.NotFound) {
						return
					}
					time.Sleep(time.Millisecond)
				}
				t.Errorf("%s is still there", key)
			}})
			c.wantEach(c.consume(c.client(reader("read")...), uploads*records), 0, uploads*records)
			if store.Fired("slow") != 1 {
				t.Fatal("no read was slow")
			}
			<-deleted // a client that has waited for too long may have asked again, and been answered
		})
	}
}
