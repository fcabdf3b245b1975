package group

import (
	"strconv"
	"time"
)

// consumerRules are the settings of groups of the consumer protocol; see Config for what they mean.
type consumerRules struct {
	consumerSession  limited
	consumerInterval limited
	consumerAssign   limited       // shortest time between two targets
	regexRefresh     time.Duration // how often an expression is matched anew though the topics are the same
	consumersMax     int
	assignors        []string // the first is the default
	migration        string   // the policy
	// topics shows the cluster's topics as they are now, config what is set for a group. These are the machine's only looks at the
	// world; the log holds what it has made of them.
	topics func() Topics
	config func(group string) map[string]string
}

// limited is a time that may be set for a group within bounds.
type limited struct{ value, min, max time.Duration }

// of returns what is set for a group under a name, or the value for all.
func (l limited) of(config map[string]string, name string) time.Duration {
	ms, err := strconv.ParseInt(config[name], 10, 32)
	if err != nil {
		return l.value
	}
	return min(max(time.Duration(ms)*time.Millisecond, l.min), l.max)
}

func (m *machine) sessionOf(group string, c *consumer) time.Duration {
	if c.classic != nil {
		return c.classic.sessionTimeout
	}
	return m.consumerSession.of(m.config(group), "consumer.session.timeout.ms")
}

func (m *machine) beatIntervalMS(group string) int32 {
	return int32(m.consumerInterval.of(m.config(group), "consumer.heartbeat.interval.ms").Milliseconds())
}
