package cli

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"

	"sluice/base"
	"sluice/edge/admin"
)

type partitionCmd struct {
	List partitionListCmd `cmd:"" help:"List partitions, with where they move and what they wait for."`
	Move partitionMoveCmd `cmd:"" help:"Have other nodes lead partitions."`
}

type partitionListCmd struct {
	adminFlags
	Topic       string `arg:"" optional:"" name:"topic" help:"Only partitions of this topic."`
	Moving      bool   `help:"Only partitions that are moving."`
	Unavailable bool   `help:"Only partitions that nobody serves."`
	Limit       int    `default:"1000" help:"Print at most so many (default: 1000)."`
}

func (c *partitionListCmd) Run(ctx context.Context, p *Process) error {
	if c.Limit < 1 {
		return base.Errorf(base.Invalid, "--limit %d: want a number from 1", c.Limit)
	}
	v, err := c.partitions(ctx, c.Topic, c.Moving, c.Unavailable, c.Limit)
	if err != nil {
		return err
	}
	if c.JSON {
		return c.print(p, v)
	}
	if err := partitionTable(p, v.Partitions); err != nil {
		return err
	}
	if v.Total > len(v.Partitions) {
		fmt.Fprintf(p.Stdout, "… and %d more, see --limit\n", v.Total-len(v.Partitions))
	}
	return nil
}

func (f *adminFlags) partitions(ctx context.Context, topic string, moving, unavailable bool, limit int) (*admin.PartitionsAnswer, error) {
	q := url.Values{"limit": {strconv.Itoa(limit)}, "moving": {strconv.FormatBool(moving)}, "unavailable": {strconv.FormatBool(unavailable)}}
	if topic != "" {
		q.Set("topic", topic)
	}
	v := new(admin.PartitionsAnswer)
	return v, f.call(ctx, http.MethodGet, "/v1/partitions?"+q.Encode(), nil, v)
}

type partitionMoveCmd struct {
	adminFlags
	waitFlags
	Topic      string  `arg:"" name:"topic" help:"Topic of the partitions."`
	Partitions []int32 `arg:"" optional:"" name:"partition" help:"Numbers of the partitions (default: all of the topic)."`
	To         string  `placeholder:"NODE" help:"Id or name of the node that is to lead them."`
	Cancel     bool    `help:"Call off moves that are not done yet."`
}

func (c *partitionMoveCmd) Run(ctx context.Context, p *Process) error {
	if (c.To == "") == !c.Cancel {
		return base.Errorf(base.Invalid, "give a node with --to, or --cancel")
	}
	req := admin.MoveRequest{Topic: c.Topic, Partitions: c.Partitions, To: base.NoNode, Cancel: c.Cancel}
	if c.To != "" {
		n, err := c.node(ctx, c.To)
		if err != nil {
			return err
		}
		req.To = n.ID
	}
	var moved admin.MoveAnswer
	if err := c.call(ctx, http.MethodPost, "/v1/partitions/move", req, &moved); err != nil {
		return err
	}
	var failed error
	accepted := map[int32]bool{}
	for _, m := range moved.Partitions {
		if m.Error != "" {
			failed = errors.Join(failed, fmt.Errorf("partition %d: %s", m.Partition, m.Error))
			continue
		}
		accepted[m.Partition] = true
		switch {
		case c.JSON:
		case c.Cancel || m.From == req.To:
			fmt.Fprintf(p.Stdout, "%s-%d stays on node %s.\n", c.Topic, m.Partition, orNone(m.From))
		default:
			fmt.Fprintf(p.Stdout, "%s-%d moves from node %s to node %d.\n", c.Topic, m.Partition, orNone(m.From), req.To)
		}
	}
	if c.Wait && !c.Cancel && len(accepted) > 0 {
		if err := c.arrived(ctx, p, accepted, req.To); err != nil {
			return errors.Join(failed, err)
		}
	}
	if c.JSON {
		return errors.Join(failed, c.print(p, moved))
	}
	return failed
}

// arrived waits until the partitions are served by the node.
func (c *partitionMoveCmd) arrived(ctx context.Context, p *Process, which map[int32]bool, to base.NodeID) error {
	return c.until(ctx, p, &c.adminFlags, func(ctx context.Context) (string, bool, error) {
		v, err := c.partitions(ctx, c.Topic, false, false, 1<<30)
		if err != nil {
			return "", false, err
		}
		there := 0
		for _, v := range v.Partitions {
			if which[v.Partition] && v.Leader == to && v.Reason == "" {
				there++
			}
		}
		returned := slices.ContainsFunc(v.Partitions, func(v admin.PartitionView) bool {
			return which[v.Partition] && v.Leader != to && v.Target != to
		})
		if returned {
			return "", false, base.Errorf(base.Failed, "a move ended on another node: sluice partition list %s shows where", c.Topic)
		}
		return fmt.Sprintf("%d of %s served by node %d.", there, count(len(which), "partition"), to), there == len(which), nil
	})
}
