package handle

import (
	"context"
	"time"

	"sluice/base"
	"sluice/base/seeded"
	"sluice/cluster/meta"
	"sluice/wire/kerr"
)

// holdMax bounds how long a Produce is held for partitions that are being moved or opened. It is longer than a move takes, and much
// shorter than clients wait.
const holdMax = 2 * time.Second

// hold calls retry each time that partitions may have come or gone, until it returns false, holdMax is over or ctx has ended.
func (h *Handler) hold(ctx context.Context, retry func() (again bool)) {
	timeout := time.NewTimer(holdMax)
	defer timeout.Stop()
	for {
		changed := h.opt.Directory.Changed()
		if !retry() {
			return
		}
		select {
		case <-changed:
		case <-timeout.C:
			return
		case <-ctx.Done():
			return
		}
	}
}

// contact returns NOT_LEADER_OR_FOLLOWER if this node may be out of date: it has not heard of the cluster for so long that another may lead its
// partitions. It is asked after an answer has been found and before it is given.
func (h *Handler) contact() error {
	if h.opt.Contact == nil {
		return nil
	}
	if err := h.opt.Contact(); err != nil && !seeded.Bug(seeded.TellsAfterFence) {
		return &kerr.Error{Code: kerr.NotLeaderOrFollower, Message: err.Error()}
	}
	return nil
}

// leaderHint is where a partition is (KIP-951).
type leaderHint struct {
	leader base.NodeID
	epoch  base.StreamEpoch
	node   meta.Node
	host   string
	port   int32
}

// hint finds the present leader of a partition. All hints of an answer come from one image, so that ids and endpoints match. There is none
// while nobody serves the partition, and where the clients of the listener cannot reach the leader.
func (h *Handler) hint(img *meta.Image, topic base.UUID, index int32, listener string) (l leaderHint, ok bool) {
	p, ok := img.Partition(topic, index)
	if !ok {
		return l, false
	}
	leader, code := h.leader(img, p)
	if code != kerr.None {
		return l, false
	}
	l.leader, l.epoch = leader, p.LeaderEpoch
	l.node, _ = img.Node(leader)
	l.host, l.port = endpoint(l.node, listener)
	return l, l.port >= 0
}
