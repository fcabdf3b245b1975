package node

import (
	"context"

	"sluice/base"
	"sluice/cluster/control"
	"sluice/storage/compact"
	"sluice/storage/stream"
)

// startCompaction has the objects that fall to this node merged and split in the background.
func (n *Node) startCompaction() {
	c, mem := n.opt.Config, n.opt.Memory
	if !c.Compaction {
		return
	}
	self := stream.NodeRef(n.self)
	n.compact.Store(compact.Start(compact.Options{
		Cluster: n.member.Image().ClusterID(), Node: self, Store: n.store, Catalog: control.NewCompactCatalog(n.member, self), Pool: &n.pool,
		Interval: c.CompactInterval, SplitAge: c.CompactSplitAge, ObjectBytes: int64(c.CompactObject),
		MemoryBytes: int64(mem.Compact), ReaderBytes: int64(mem.Blocks), Bandwidth: n.compactionRate(),
		Logger: n.log, Registerer: n.opt.Registry,
	}))
}

// compactionRate is what compaction of objects and of keys may transfer together. It is asked for while the node starts only.
func (n *Node) compactionRate() *compact.Bandwidth {
	if n.rate == nil {
		n.rate = compact.NewBandwidth(int64(n.opt.Config.CompactRate), n.volumes.set.Busy)
		n.rate.Follow(n.volumes.set.Uploaded, float64(n.opt.Config.CompactFollow))
	}
	return n.rate
}

// stopCompaction ends it at once: what a job has not committed is done again by somebody else.
func (n *Node) stopCompaction() {
	if w := n.compact.Swap(nil); w != nil {
		w.Close()
	}
}

// compactNow runs a round.
func (n *Node) compactNow(ctx context.Context) (compact.Report, error) {
	w := n.compact.Load()
	if w == nil {
		return compact.Report{}, base.Errorf(base.Unavailable, "this broker does not compact: it is starting or stopping, or the setting compaction is off")
	}
	return w.Round(ctx)
}
