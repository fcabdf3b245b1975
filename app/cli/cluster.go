package cli

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"sluice/base"
	"sluice/edge/admin"
)

type clusterCmd struct {
	Describe clusterDescribeCmd `cmd:"" help:"Show nodes, controller, WALs, objects, moves and what is not available."`
	Drain    clusterDrainCmd    `cmd:"" help:"Move all partitions off a node and place nothing there."`
	Undrain  clusterUndrainCmd  `cmd:"" help:"Let a node lead partitions again."`
	Compact  clusterCompactCmd  `cmd:"" help:"Merge and split objects now that the broker which is asked looks after."`
}

type clusterDescribeCmd struct {
	adminFlags
}

func (c *clusterDescribeCmd) Run(ctx context.Context, p *Process) error {
	v, err := c.cluster(ctx)
	if err != nil {
		return err
	}
	if c.JSON {
		return c.print(p, v)
	}
	fmt.Fprintf(p.Stdout, "Cluster %s: %s, %s, %s\n", v.ID, count(len(v.Nodes), "node"), count(v.Topics, "topic"), count(v.Partitions, "partition"))
	fmt.Fprintf(p.Stdout, "Controller: %s, epoch %d, metadata position %d (told by node %d)\n\n", controllerName(v.Controller), v.Controller.Epoch, v.Position, v.AnsweredBy)
	if err := c.nodes(p, v); err != nil {
		return err
	}
	fmt.Fprintln(p.Stdout)
	err = table(p.Stdout, "OBJECTS COUNT BYTES", func(row func(...any)) {
		for _, state := range []string{"committed", "prepared", "destroying"} {
			row(state, v.Objects[state].Count, v.Objects[state].Bytes)
		}
	})
	if err != nil {
		return err
	}
	if err := c.rescues(p, v); err != nil {
		return err
	}
	if err := c.partitions(p, "moving", "No partition is moving.", v.Moving, v.Moves); err != nil {
		return err
	}
	return c.partitions(p, "not available", "All partitions are available.", v.Unavailable, v.Waiting)
}

func controllerName(c admin.ControllerView) string {
	if c.Node == base.NoNode {
		return c.Who + " (not registered yet)"
	}
	return fmt.Sprintf("node %d (%s)", c.Node, c.Who)
}

func (c *clusterDescribeCmd) nodes(p *Process, v *admin.ClusterView) error {
	return table(p.Stdout, "NODE NAME ZONE STATE EPOCH LEADS SINCE ENDPOINTS WAL", func(row func(...any)) {
		for _, n := range v.Nodes {
			row(n.ID, orDash(n.Name), orDash(n.Zone), n.State, n.Epoch, n.Led, when(n.Registered), endpoints(n), wals(n))
		}
	})
}

// wals shows the volumes of a node, with what is special about them.
func wals(n admin.NodeView) string {
	var all []string
	for _, w := range n.WALs {
		var notes []string
		if w.Local {
			notes = append(notes, "local")
		}
		if w.State != "active" {
			notes = append(notes, w.State)
		}
		text := w.URL
		if len(notes) > 0 {
			text += " (" + strings.Join(notes, ", ") + ")"
		}
		all = append(all, text)
	}
	return strings.Join(all, ", ")
}

func (c *clusterDescribeCmd) rescues(p *Process, v *admin.ClusterView) error {
	if len(v.Rescues) == 0 {
		return nil
	}
	fmt.Fprintf(p.Stdout, "\n%s:\n", count(len(v.Rescues), "rescue"))
	return table(p.Stdout, "NODE EPOCH STATE FENCED REASON", func(row func(...any)) {
		for _, r := range v.Rescues {
			row(r.Node, r.Epoch, r.State, when(r.FencedMS), r.Reason)
		}
	})
}

func (c *clusterDescribeCmd) partitions(p *Process, what, none string, total int, list []admin.PartitionView) error {
	if total == 0 {
		fmt.Fprintf(p.Stdout, "\n%s\n", none)
		return nil
	}
	fmt.Fprintf(p.Stdout, "\n%s %s", count(total, "partition"), what)
	if total > len(list) {
		fmt.Fprintf(p.Stdout, ", the first %d", len(list))
	}
	fmt.Fprintln(p.Stdout, ":")
	return partitionTable(p, list)
}

// partitionTable prints partitions with where they go and what they wait for.
func partitionTable(p *Process, list []admin.PartitionView) error {
	return table(p.Stdout, "TOPIC PARTITION LEADER EPOCH STATE TARGET REASON", func(row func(...any)) {
		for _, v := range list {
			row(v.Topic, v.Partition, orNone(v.Leader), v.Epoch, v.State, orNone(v.Target), orDash(v.Reason))
		}
	})
}

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

func orNone(id base.NodeID) string {
	if id == base.NoNode {
		return "-"
	}
	return id.String()
}

// when shows a time, in Unix milliseconds.
func when(ms int64) string { return time.UnixMilli(ms).UTC().Format("2006-01-02T15:04:05Z") }

// endpoints shows where a node is reached.
func endpoints(n admin.NodeView) string {
	var all []string
	for name, at := range n.Endpoints {
		all = append(all, name+"="+at)
	}
	slices.Sort(all)
	slices.Reverse(all) // clients' first
	return orDash(strings.Join(all, ","))
}

type clusterDrainCmd struct {
	adminFlags
	waitFlags
	Node string `arg:"" name:"node" help:"Id or name of the node."`
	Undo bool   `help:"Let it lead partitions again instead."`
}

func (c *clusterDrainCmd) Run(ctx context.Context, p *Process) error {
	n, err := c.drain(ctx, c.Node, !c.Undo)
	if err != nil {
		return err
	}
	if c.Wait && !c.Undo {
		began := time.Now()
		err = c.until(ctx, p, &c.adminFlags, func(ctx context.Context) (string, bool, error) {
			v, err := c.node(ctx, n.ID.String())
			if err != nil {
				return "", false, err
			}
			if v.State == "live" {
				return "", false, base.Errorf(base.Failed, "somebody has called the drain of node %d off", v.ID)
			}
			n = v
			return fmt.Sprintf("Node %d leads %s.", v.ID, count(v.Led, "partition")), v.Led == 0, nil
		})
		if err != nil {
			return err
		}
		if !c.JSON {
			fmt.Fprintf(p.Stdout, "Node %d leads nothing after %.1f s; it can be stopped.\n", n.ID, time.Since(began).Seconds())
			return nil
		}
	}
	return c.said(p, n)
}

// drain asks for a drain, or the end of one.
func (f *adminFlags) drain(ctx context.Context, node string, drain bool) (n admin.NodeView, err error) {
	if n, err = f.node(ctx, node); err != nil {
		return n, err
	}
	err = f.call(ctx, http.MethodPost, fmt.Sprintf("/v1/nodes/%d/drain", n.ID), admin.DrainRequest{Drain: drain, Why: "sluice cluster drain"}, &n)
	return n, err
}

// said prints what a node is now.
func (f *adminFlags) said(p *Process, n admin.NodeView) error {
	switch {
	case f.JSON:
		return f.print(p, n)
	case n.State == "live":
		fmt.Fprintf(p.Stdout, "Node %d may lead partitions again.\n", n.ID)
	default:
		fmt.Fprintf(p.Stdout, "Node %d is %s and leads %s.\n", n.ID, n.State, count(n.Led, "partition"))
	}
	return nil
}

type clusterUndrainCmd struct {
	adminFlags
	Node string `arg:"" name:"node" help:"Id or name of the node."`
}

func (c *clusterUndrainCmd) Run(ctx context.Context, p *Process) error {
	n, err := c.drain(ctx, c.Node, false)
	if err != nil {
		return err
	}
	return c.said(p, n)
}

type clusterCompactCmd struct {
	adminFlags
}

func (c *clusterCompactCmd) Run(ctx context.Context, p *Process) error {
	var v admin.CompactionAnswer
	c.Timeout = max(c.Timeout, compactMax)
	if err := c.call(ctx, http.MethodPost, "/v1/compaction", struct{}{}, &v); err != nil {
		return err
	}
	if c.JSON {
		return c.print(p, v)
	}
	fmt.Fprintf(p.Stdout, "Node %d: %s done, %d of them failed, %d left; %s read, %s made; %d bytes read, %d written.\n", v.Node, count(v.Jobs+v.Failed, "job"), v.Failed, v.Left,
		count(v.ObjectsRead, "object"), count(v.ObjectsMade, "object"), v.BytesRead, v.BytesWritten)
	if v.Error != "" {
		return base.Errorf(base.Unavailable, "the last job that failed: %s", v.Error)
	}
	return nil
}

// compactMax is how long to wait for a round at least.
const compactMax = time.Hour
