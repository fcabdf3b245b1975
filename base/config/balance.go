package config

import (
	"path"
	"strconv"
	"strings"

	"sluice/base"
)

// BalanceExclusions returns the topics (patterns for path.Match) and the nodes that balancing leaves alone. The error has kind Invalid;
// Resolve has checked that there is none.
func (c *Config) BalanceExclusions() (topics []string, nodes []base.NodeID, err error) {
	for _, t := range listed(c.BalanceExcludeTopics) {
		if _, err := path.Match(t, ""); err != nil {
			return nil, nil, base.Errorf(base.Invalid, "setting balance-exclude-topics = %q (%s): %q is no pattern", c.BalanceExcludeTopics, c.Origin("balance-exclude-topics"), t)
		}
		topics = append(topics, t)
	}
	for _, n := range listed(c.BalanceExcludeNodes) {
		id, err := strconv.ParseInt(n, 10, 32)
		if err != nil || id < 0 {
			return nil, nil, base.Errorf(base.Invalid, "setting balance-exclude-nodes = %q (%s): %q is no node id", c.BalanceExcludeNodes, c.Origin("balance-exclude-nodes"), n)
		}
		nodes = append(nodes, base.NodeID(id))
	}
	return topics, nodes, nil
}

// listed splits a list at its commas; empty elements do not count.
func listed(text string) (out []string) {
	for e := range strings.SplitSeq(text, ",") {
		if e = strings.TrimSpace(e); e != "" {
			out = append(out, e)
		}
	}
	return out
}
