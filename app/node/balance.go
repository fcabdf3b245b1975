package node

import (
	"fmt"
	"time"

	"sluice/base/config"
	"sluice/cluster/balance"
	"sluice/cluster/meta"
)

// newBalancer returns what evens the load out while this node is the controller, nil if the settings say that nobody should.
func (n *Node) newBalancer(c *config.Config) (func(*meta.Image, balance.Loads, time.Time) ([]meta.PartitionLeader, string), error) {
	if !c.Balance {
		return nil, nil
	}
	topics, nodes, err := c.BalanceExclusions()
	if err != nil {
		return nil, err
	}
	b := balance.NewBalancer(balance.Options{
		Threshold: float64(c.BalanceThreshold) / 100, InFlight: c.BalanceMoves, ExcludeTopics: topics, ExcludeNodes: nodes, DryRun: c.BalanceDryRun,
	})
	return func(img *meta.Image, loads balance.Loads, now time.Time) (moves []meta.PartitionLeader, why string) {
		plan := b.Plan(img, loads, now)
		for _, m := range plan.Moves {
			t, _ := img.TopicByID(m.Partition.Topic)
			n.log.Debug("balance", "topic", t.Name, "partition", m.Partition.Index, "from", m.From, "to", m.To, "why", m.Why)
		}
		switch {
		case len(plan.Moves) == 0:
			return nil, ""
		case plan.DryRun:
			n.log.Info("balance: dry run", "moves", len(plan.Moves), "first", plan.Moves[0].Why, "before", fmt.Sprint(plan.Before), "after", fmt.Sprint(plan.After))
		}
		return plan.Leaders(), plan.Moves[0].Why
	}, nil
}

// load measures this node, for its heartbeats.
func (n *Node) load() balance.NodeLoad {
	if m := n.meter.Load(); m != nil {
		return m.Sample()
	}
	return balance.NodeLoad{}
}
