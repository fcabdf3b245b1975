package config

import "time"

// Streams are the settings of streams groups (KIP-1071). The group's own settings go before those that have no min or max in their names.
type Streams struct {
	Session, SessionMin, SessionMax, Beat, BeatMin, BeatMax, Assign, AssignMin, AssignMax, Delay time.Duration
	Standbys, StandbysMax, MaxSize                                                               int
}

var streamsSettings = []Setting{
	{Name: "group.streams.session.timeout.ms", Group: kafka, Kind: Millis, Default: "45000", Min: "1",
		Doc:   "A member of a streams group that is not heard of for so long is removed.",
		field: func(c *Config) any { return &c.Streams.Session }},
	{Name: "group.streams.min.session.timeout.ms", Group: kafka, Kind: Millis, Default: "45000", Min: "1",
		Doc:   "The shortest session timeout that may be configured for a streams group.",
		field: func(c *Config) any { return &c.Streams.SessionMin }},
	{Name: "group.streams.max.session.timeout.ms", Group: kafka, Kind: Millis, Default: "60000", Min: "1",
		Doc:   "The longest session timeout that may be configured for a streams group.",
		field: func(c *Config) any { return &c.Streams.SessionMax }},
	{Name: "group.streams.heartbeat.interval.ms", Group: kafka, Kind: Millis, Default: "5000", Min: "1",
		Doc:   "How often members of a streams group are to send heartbeats.",
		field: func(c *Config) any { return &c.Streams.Beat }},
	{Name: "group.streams.min.heartbeat.interval.ms", Group: kafka, Kind: Millis, Default: "5000", Min: "1",
		Doc:   "The shortest heartbeat interval that may be configured for a streams group.",
		field: func(c *Config) any { return &c.Streams.BeatMin }},
	{Name: "group.streams.max.heartbeat.interval.ms", Group: kafka, Kind: Millis, Default: "15000", Min: "1",
		Doc:   "The longest heartbeat interval that may be configured for a streams group.",
		field: func(c *Config) any { return &c.Streams.BeatMax }},
	{Name: "group.streams.assignment.interval.ms", Group: kafka, Kind: Millis, Default: "1000", Min: "0",
		Doc:   "Shortest time between two assignments of a streams group.",
		field: func(c *Config) any { return &c.Streams.Assign }},
	{Name: "group.streams.min.assignment.interval.ms", Group: kafka, Kind: Millis, Default: "0", Min: "0",
		Doc:   "The shortest assignment interval that may be configured for a streams group.",
		field: func(c *Config) any { return &c.Streams.AssignMin }},
	{Name: "group.streams.max.assignment.interval.ms", Group: kafka, Kind: Millis, Default: "15000", Min: "0",
		Doc:   "The longest assignment interval that may be configured for a streams group.",
		field: func(c *Config) any { return &c.Streams.AssignMax }},
	{Name: "group.streams.initial.rebalance.delay.ms", Group: kafka, Kind: Millis, Default: "3000", Min: "0",
		Doc:   "How long an empty streams group waits for more members after the first one has joined.",
		field: func(c *Config) any { return &c.Streams.Delay }},
	{Name: "group.streams.num.standby.replicas", Group: kafka, Kind: Int, Default: "0", Min: "0", Max: "1000",
		Doc:   "Standby tasks of every task with state.",
		field: func(c *Config) any { return &c.Streams.Standbys }},
	{Name: "group.streams.max.standby.replicas", Group: kafka, Kind: Int, Default: "2", Min: "0", Max: "1000",
		Doc:   "The most standby tasks that may be configured for a streams group.",
		field: func(c *Config) any { return &c.Streams.StandbysMax }},
	{Name: "group.streams.max.size", Group: kafka, Kind: Int, Default: "2147483647", Min: "1", Max: "2147483647",
		Doc:   "Members of one streams group.",
		field: func(c *Config) any { return &c.Streams.MaxSize }},
}
