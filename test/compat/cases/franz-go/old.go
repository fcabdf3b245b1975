//go:build old

package main

import (
	"context"

	"github.com/twmb/franz-go/pkg/kgo"
	"suite"
)

// serverSide: this version has no groups of the consumer protocol.
func serverSide(string) []kgo.Opt { return nil }

func own() []suite.Case { return sessionCases() }

func (c *client) describeNext(context.Context, string) (suite.GroupInfo, bool, error) {
	return suite.GroupInfo{}, false, nil
}
