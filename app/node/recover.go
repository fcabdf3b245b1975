package node

import (
	"context"
	"fmt"
	"slices"

	"sluice/base"
	"sluice/cluster/control"
	"sluice/cluster/meta"
	"sluice/cluster/rescue"
)

// recover brings back what former node epochs left: it fences those that still count as alive, has their WALs rescued, and takes over
// their partitions. The controller runs in this process and has just taken over, so every other broker has lost its own: nobody
// else is there.
func (n *Node) recover(ctx context.Context) error {
	for node := range n.ctl.Image().Nodes() {
		if node.Fenced || node.Ref() == n.self {
			continue
		}
		why := fmt.Sprintf("node %v took over", n.self.ID)
		if _, err := n.ctl.Submit(ctx, &meta.FenceNode{Node: node.Ref(), Why: why}); err != nil {
			return fmt.Errorf("fence node %v: %w", node.ID, err)
		}
	}
	for r := range n.ctl.Image().Rescues() {
		if r.State == meta.RescueDone {
			continue
		}
		if _, err := n.ctl.Submit(ctx, &meta.GrantRescue{Victim: r.Victim, Rescuer: n.self}); err != nil {
			return fmt.Errorf("rescue of node %v, epoch %v: grant: %w", r.Victim.ID, r.Victim.Epoch, err)
		}
	}
	n.rescues = rescue.Start(rescue.Options{
		Self: n.self, Client: n.ctl, Store: n.store, WAL: n.walOptions, SOBytes: int64(n.opt.Config.StreamObjectBytes),
		Logger: n.log, Registerer: n.opt.Registry,
	})
	if err := n.rescues.WaitAll(ctx); err != nil {
		return fmt.Errorf("recover: %w", err)
	}
	return n.takePartitions(ctx)
}

// takePartitions makes this node the leader of every partition that has none, or one that is gone. Partitions whose last records
// lie in a WAL that is out of reach stay as they are.
func (n *Node) takePartitions(ctx context.Context) error {
	img := n.ctl.Image()
	var take []meta.PartitionLeader
	for t := range img.Topics() {
		for p := range img.PartitionsOf(t.ID) {
			if p.Leader != n.self.ID && n.closed(img, p) {
				take = append(take, meta.PartitionLeader{Partition: meta.PartitionID{Topic: t.ID, Index: p.Index}, Leader: n.self.ID})
			}
		}
	}
	for chunk := range slices.Chunk(take, takeMax) {
		res, err := control.Do[meta.Outcomes](ctx, n.ctl, &meta.AssignPartitions{Partitions: chunk})
		if err != nil {
			return fmt.Errorf("take over partitions: %w", err)
		}
		for i, rejected := range res.Errs {
			if rejected != nil {
				n.log.Warn("a partition could not be taken over", "partition", chunk[i].Partition, "error", rejected)
			}
		}
	}
	if len(take) > 0 {
		n.log.Info("took over partitions", "partitions", len(take))
	}
	return nil
}

// takeMax bounds the partitions of one command.
const takeMax = 10_000

func (n *Node) closed(img *meta.Image, p meta.Partition) bool {
	for _, id := range []base.StreamID{p.Data, p.Meta} {
		if s, ok := img.Stream(id); ok && s.State == meta.Open {
			return false
		}
	}
	return true
}
