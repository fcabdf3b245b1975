package cli

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/twmb/franz-go/pkg/kadm"

	"sluice/base"
)

type groupCmd struct {
	List     groupListCmd     `cmd:"" help:"List consumer groups."`
	Describe groupDescribeCmd `cmd:"" help:"Show members, committed offsets and lag of groups."`
}

type groupListCmd struct{ brokerFlags }

func (c *groupListCmd) Run(ctx context.Context, p *Process) error {
	return c.admin(ctx, func(ctx context.Context, adm *kadm.Client) error {
		groups, err := adm.ListGroups(ctx)
		if err != nil {
			return err
		}
		return table(p.Stdout, "GROUP STATE PROTOCOL COORDINATOR", func(row func(...any)) {
			for _, g := range groups.Sorted() {
				row(g.Group, g.State, g.ProtocolType, g.Coordinator)
			}
		})
	})
}

type groupDescribeCmd struct {
	brokerFlags
	Names []string `arg:"" name:"group" help:"Groups to describe."`
}

func (c *groupDescribeCmd) Run(ctx context.Context, p *Process) error {
	return c.admin(ctx, func(ctx context.Context, adm *kadm.Client) error {
		lags, err := adm.Lag(ctx, c.Names...)
		if err != nil {
			return err
		}
		var failed error
		for i, g := range lags.Sorted() {
			if err := g.Error(); err != nil {
				failed = errors.Join(failed, base.Errorf(base.Unavailable, "cannot describe group %s: %w", g.Group, err))
				continue
			}
			if g.State == "Dead" && len(g.Lag) == 0 {
				failed = errors.Join(failed, base.Errorf(base.NotFound, "there is no group %s", g.Group))
				continue
			}
			fmt.Fprint(p.Stdout, strings.Repeat("\n", min(i, 1)))
			if err := printGroup(p, g); err != nil {
				return err
			}
		}
		return failed
	})
}

func printGroup(p *Process, g kadm.DescribedGroupLag) error {
	fmt.Fprintf(p.Stdout, "Group %s, state %s, %s, lag %d\n", g.Group, g.State, count(len(g.Members), "member"), g.Lag.Total())
	return table(p.Stdout, "TOPIC PARTITION COMMITTED END LAG MEMBER HOST", func(row func(...any)) {
		for _, l := range g.Lag.Sorted() {
			member, host := "-", "-"
			if l.Member != nil {
				member, host = l.Member.MemberID, l.Member.ClientHost
			}
			committed := any(l.Commit.At)
			if l.Commit.At < 0 {
				committed = "-"
			}
			row(l.Topic, l.Partition, committed, l.End.Offset, l.Lag, member, host)
		}
	})
}
