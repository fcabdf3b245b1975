//go:build !old

package main

import (
	"context"

	"github.com/twmb/franz-go/pkg/kgo"
	"suite"
)

func serverSide(string) []kgo.Opt { return []kgo.Opt{kgo.ServerSideBalancer()} }

func own() []suite.Case { return sessionCases() }

func (c *client) describeNext(ctx context.Context, group string) (suite.GroupInfo, bool, error) {
	all, err := c.adm.DescribeConsumerGroups(ctx, group)
	g := all[group]
	if err != nil || g.Err != nil {
		return suite.GroupInfo{}, false, nil // a classic group
	}
	info := suite.GroupInfo{State: g.State, ProtocolType: "consumer", Protocol: g.AssignorName, Members: len(g.Members)}
	for _, m := range g.Members {
		if m.InstanceID != nil {
			info.Instances = append(info.Instances, *m.InstanceID)
		}
	}
	return info, true, nil
}
