package node

import (
	"iter"

	"sluice/base/config"
	"sluice/broker/clean"
	"sluice/broker/partition"
	"sluice/cluster/control"
	"sluice/edge/handle"
	"sluice/storage/compact"
	"sluice/storage/stream"
)

// startCleaning starts what removes data that is not wanted any more.
func (n *Node) startCleaning(c *config.Config) {
	partitions := func() iter.Seq[*partition.Partition] { return n.lead.Directory().All() }
	configs := func() map[string]string { return handle.BrokerValues(n.member.Image(), n.self.ID, c) }
	n.cleaner = clean.Start(clean.Options{
		Partitions: partitions, Image: n.member.Image, BrokerConfigs: configs, Interval: c.RetentionCheck, ExpireInterval: c.ProducerCheck,
		Logger: n.log, Registerer: n.opt.Registry,
	})
	if !c.CleanerEnable {
		return
	}
	mem := n.opt.Memory
	n.compactor = clean.StartCompactor(clean.CompactorOptions{
		Partitions: partitions, Image: n.member.Image, BrokerConfigs: configs,
		Env: &compact.Env{Cluster: n.member.Image().ClusterID(), Node: stream.NodeRef(n.self), Store: n.store, Pool: &n.pool,
			Catalog: control.NewCompactCatalog(n.member, stream.NodeRef(n.self)), Bandwidth: n.compactionRate()},
		Interval: c.CleanerBackoff, Threads: c.CleanerThreads, MapBytes: int64(mem.Keys),
		ObjectBytes: min(int64(mem.Total/32), 32<<20), ReadBytes: min(int64(mem.Total/96), 4<<20),
		Logger: n.log, Registerer: n.opt.Registry,
	})
}

// stopCleaning ends that.
func (n *Node) stopCleaning() {
	if n.compactor != nil {
		n.compactor.Close()
		n.compactor = nil
	}
	if n.cleaner != nil {
		n.cleaner.Close()
		n.cleaner = nil
	}
}
