package node

import (
	"context"
	"fmt"
	"slices"

	"sluice/base"
	"sluice/cluster/control"
	"sluice/cluster/meta"
	"sluice/storage/stream"
	"sluice/storage/wal"
)

// recover brings back what former node epochs left: it fences those that still count as alive, rescues their WALs, and takes over
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
	for _, r := range slices.Collect(n.ctl.Image().Rescues()) {
		if err := n.rescue(ctx, r); err != nil {
			if kind := base.KindOf(err); kind != base.NotFound && kind != base.Unavailable || ctx.Err() != nil {
				return fmt.Errorf("recover the WAL of node %v, epoch %v, at %s: %w", r.Victim.ID, r.Victim.Epoch, r.WAL, err)
			}
			n.log.Error("a WAL is out of reach; what was written to it last stays offline until it is back",
				"node", r.Victim.ID, "epoch", r.Victim.Epoch, "wal", r.WAL, "open_streams", n.openStreams(r.Victim), "error", err)
		}
	}
	return n.takePartitions(ctx)
}

// rescue brings one fenced epoch's WAL to the bucket and removes it. It goes on from wherever an earlier attempt stopped.
func (n *Node) rescue(ctx context.Context, r meta.Rescue) error {
	victim := wal.Victim{Node: r.Victim.ID, Epoch: r.Victim.Epoch}
	if r.State != meta.RescueDone {
		granted, err := control.Do[meta.Granted](ctx, n.ctl, &meta.GrantRescue{Victim: r.Victim, Rescuer: n.self})
		if err != nil {
			return fmt.Errorf("grant: %w", err)
		}
		r = granted.Rescue
		if err := n.rescueRecords(ctx, r, victim); err != nil {
			return err
		}
		if _, err := n.ctl.Submit(ctx, &meta.CompleteRescue{Victim: r.Victim, Grant: r.Grant}); err != nil {
			return fmt.Errorf("complete: %w", err)
		}
	}
	if err := wal.Remove(ctx, r.WAL, n.walOptions(), victim); err != nil {
		n.log.Warn("a WAL that is not needed any more could not be removed; the next start tries again", "wal", r.WAL, "node", victim.Node, "epoch", victim.Epoch, "error", err)
		return nil
	}
	_, err := n.ctl.Submit(ctx, &meta.ForgetRescue{Victim: r.Victim})
	return err
}

// rescueRecords seals the WAL and uploads what is not committed. With no stream open everything is, and it does not matter if the
// WAL is damaged or gone; it is sealed as far as it can be.
func (n *Node) rescueRecords(ctx context.Context, r meta.Rescue, victim wal.Victim) error {
	who := fmt.Sprintf("node %v, epoch %v", n.self.ID, n.self.Epoch)
	end, err := wal.Seal(ctx, r.WAL, n.walOptions(), victim, r.WALTrim, who)
	open := n.openStreams(r.Victim)
	switch {
	case open == 0:
		return nil
	case err != nil:
		return fmt.Errorf("seal: %w", err)
	}
	n.log.Info("recovering a WAL", "node", victim.Node, "epoch", victim.Epoch, "wal", r.WAL, "from", r.WALTrim, "end", end, "open_streams", open)
	img := n.ctl.Image()
	return stream.Rescue(ctx, stream.RescueOptions{
		Cluster: img.ClusterID(), Store: n.store, Catalog: control.NewCatalog(n.ctl, stream.NodeRef(n.self)),
		SOBytes: int64(n.opt.Config.StreamObjectBytes), Logger: n.log,
		Skip: func(id base.StreamID, _ base.StreamEpoch, r base.OffsetRange) bool {
			s, ok := img.Stream(id)
			return !ok || r.End <= s.CommittedEnd
		},
	}, stream.NodeRef(r.Victim), r.Grant, r.LastUpload+1, wal.Read(ctx, r.WAL, n.walOptions(), victim, r.WALTrim, end))
}

// openStreams counts the streams that are open under a node epoch: what may have acknowledged records in its WAL only.
func (n *Node) openStreams(ref meta.NodeRef) (open int) {
	img := n.ctl.Image()
	for t := range img.Topics() {
		for p := range img.PartitionsOf(t.ID) {
			for _, id := range []base.StreamID{p.Data, p.Meta} {
				if s, ok := img.Stream(id); ok && s.State == meta.Open && s.Owner == ref.ID && s.OwnerEpoch == ref.Epoch {
					open++
				}
			}
		}
	}
	return open
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
