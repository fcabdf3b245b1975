package balance

import (
	"path"
	"slices"
	"time"

	"sluice/base"
)

// Options tune a [Balancer]. Zero values mean the defaults named.
type Options struct {
	// Threshold is how far a node may be from the mean, as a share of it, before anything is moved; 0.2.
	Threshold float64
	// Margin is by how much of the mean the giving node must still be above the receiving one when half of the move is done; 0.05. It is
	// smaller than Threshold: balancing begins late and then does the work properly.
	Margin float64
	// Sustain is how long a load must be over the threshold; 10 s. Counts of partitions do not wait: they are exact.
	Sustain time.Duration
	// HalfLife is that of the average that smooths the reports; 5 s.
	HalfLife time.Duration
	// Rest is how long a partition that was moved stays where it is; 5 min. One of Coordinators does so whoever has moved it, and why.
	Rest time.Duration
	// Coordinators names the topics whose partitions have a coordinator of groups or of transactions on their leader; Kafka's three. A move of one
	// has its coordinator load anew, and everybody who needs it wait, so it takes a large imbalance, and they go one by one.
	Coordinators []string
	// CoordinatorMargin is what Margin is for the others: by how much of the mean the giving node must still be above the receiving one when half
	// of the move is done; 0.5.
	CoordinatorMargin float64
	// CoordinatorsInFlight bounds the partitions of Coordinators that are on their way when another one is sent; 1.
	CoordinatorsInFlight int
	// InFlight bounds the partitions that are on their way at one time, whoever moves them; 500.
	InFlight int
	// ExcludeTopics names topics that are not moved, as patterns for path.Match. They count nevertheless.
	ExcludeTopics []string
	// ExcludeNodes take no part: nothing is moved to or from them, and the mean is without them.
	ExcludeNodes []base.NodeID
	// DryRun makes plans that nobody is to carry out, at most one a minute.
	DryRun bool
}

func (o Options) withDefaults() Options {
	if o.Threshold <= 0 {
		o.Threshold = 0.2
	}
	if o.Margin <= 0 {
		o.Margin = min(0.05, o.Threshold/2)
	}
	if o.Sustain <= 0 {
		o.Sustain = 10 * time.Second
	}
	if o.HalfLife <= 0 {
		o.HalfLife = 5 * time.Second
	}
	if o.Rest <= 0 {
		o.Rest = 5 * time.Minute
	}
	if o.InFlight <= 0 {
		o.InFlight = 500
	}
	if o.Coordinators == nil {
		o.Coordinators = []string{"__consumer_offsets", "__transaction_state", "__share_group_state"}
	}
	if o.CoordinatorMargin <= 0 {
		o.CoordinatorMargin = max(0.5, o.Margin)
	}
	if o.CoordinatorsInFlight <= 0 {
		o.CoordinatorsInFlight = 1
	}
	return o
}

func (o *Options) excludes(topic string) bool {
	return slices.ContainsFunc(o.ExcludeTopics, func(p string) bool {
		ok, err := path.Match(p, topic)
		return ok && err == nil
	})
}
