package config

import "time"

// ShareGroups are the settings of share groups that a group may have its own of, with the bounds for those. They are read under their names, with what is
// set at run time; see the package topicconfig.
type ShareGroups struct {
	Session, SessionMin, SessionMax          time.Duration
	Beat, BeatMin, BeatMax                   time.Duration
	Assign, AssignMin, AssignMax             time.Duration
	Lock, LockMin, LockMax                   time.Duration
	Deliveries, DeliveriesMin, DeliveriesMax int
	Records, RecordsMin, RecordsMax          int
	DeadAutoCreate                           bool
	DeadPrefix                               string
}

var shareSettings = []Setting{
	{Name: "group.share.session.timeout.ms", Group: kafka, Kind: Millis, Default: "45000", Min: "1",
		Doc:   "A member of a share group that sends no heartbeat for so long is taken out, unless its group is configured otherwise.",
		field: func(c *Config) any { return &c.ShareGroups.Session }},
	{Name: "group.share.min.session.timeout.ms", Group: kafka, Kind: Millis, Default: "45000", Min: "1",
		Doc:   "The shortest session timeout that may be configured for a share group.",
		field: func(c *Config) any { return &c.ShareGroups.SessionMin }},
	{Name: "group.share.max.session.timeout.ms", Group: kafka, Kind: Millis, Default: "60000", Min: "1",
		Doc:   "The longest session timeout that may be configured for a share group.",
		field: func(c *Config) any { return &c.ShareGroups.SessionMax }},
	{Name: "group.share.heartbeat.interval.ms", Group: kafka, Kind: Millis, Default: "5000", Min: "1",
		Doc:   "How often members of share groups are told to send heartbeats, unless their group is configured otherwise.",
		field: func(c *Config) any { return &c.ShareGroups.Beat }},
	{Name: "group.share.min.heartbeat.interval.ms", Group: kafka, Kind: Millis, Default: "5000", Min: "1",
		Doc:   "The shortest heartbeat interval that may be configured for a share group.",
		field: func(c *Config) any { return &c.ShareGroups.BeatMin }},
	{Name: "group.share.max.heartbeat.interval.ms", Group: kafka, Kind: Millis, Default: "15000", Min: "1",
		Doc:   "The longest heartbeat interval that may be configured for a share group.",
		field: func(c *Config) any { return &c.ShareGroups.BeatMax }},
	{Name: "group.share.assignment.interval.ms", Group: kafka, Kind: Millis, Default: "1000", Min: "0",
		Doc:   "The shortest time between two assignments of a share group, unless it is configured otherwise.",
		field: func(c *Config) any { return &c.ShareGroups.Assign }},
	{Name: "group.share.min.assignment.interval.ms", Group: kafka, Kind: Millis, Default: "0", Min: "0",
		Doc:   "The shortest assignment interval that may be configured for a share group.",
		field: func(c *Config) any { return &c.ShareGroups.AssignMin }},
	{Name: "group.share.max.assignment.interval.ms", Group: kafka, Kind: Millis, Default: "15000", Min: "0",
		Doc:   "The longest assignment interval that may be configured for a share group.",
		field: func(c *Config) any { return &c.ShareGroups.AssignMax }},
	{Name: "group.share.delivery.count.limit", Group: kafka, Kind: Int, Default: "5", Min: "2", Max: "10",
		Doc:   "How often a record is delivered to a share group at most, unless the group is configured otherwise.",
		field: func(c *Config) any { return &c.ShareGroups.Deliveries }},
	{Name: "group.share.min.delivery.count.limit", Group: kafka, Kind: Int, Default: "2", Min: "2", Max: "5",
		Doc:   "The lowest limit of deliveries that may be configured for a share group.",
		field: func(c *Config) any { return &c.ShareGroups.DeliveriesMin }},
	{Name: "group.share.max.delivery.count.limit", Group: kafka, Kind: Int, Default: "10", Min: "5", Max: "25",
		Doc:   "The highest limit of deliveries that may be configured for a share group.",
		field: func(c *Config) any { return &c.ShareGroups.DeliveriesMax }},
	{Name: "group.share.record.lock.duration.ms", Group: kafka, Kind: Millis, Default: "30000", Min: "1000", Max: "3600000",
		Doc:   "How long a record is held for the member that it was delivered to, unless the group is configured otherwise.",
		field: func(c *Config) any { return &c.ShareGroups.Lock }},
	{Name: "group.share.min.record.lock.duration.ms", Group: kafka, Kind: Millis, Default: "15000", Min: "1000", Max: "30000",
		Doc:   "The shortest hold that may be configured for a share group.",
		field: func(c *Config) any { return &c.ShareGroups.LockMin }},
	{Name: "group.share.max.record.lock.duration.ms", Group: kafka, Kind: Millis, Default: "60000", Min: "30000", Max: "3600000",
		Doc:   "The longest hold that may be configured for a share group.",
		field: func(c *Config) any { return &c.ShareGroups.LockMax }},
	{Name: "group.share.partition.max.record.locks", Group: kafka, Kind: Int, Default: "2000", Min: "100", Max: "10000",
		Doc:   "Records of one partition that a share group may hold at one time, unless it is configured otherwise.",
		field: func(c *Config) any { return &c.ShareGroups.Records }},
	{Name: "group.share.min.partition.max.record.locks", Group: kafka, Kind: Int, Default: "100", Min: "100", Max: "2000",
		Doc:   "The lowest number of records that may be configured for a share group.",
		field: func(c *Config) any { return &c.ShareGroups.RecordsMin }},
	{Name: "group.share.max.partition.max.record.locks", Group: kafka, Kind: Int, Default: "4000", Min: "2000", Max: "10000",
		Doc:   "The highest number of records that may be configured for a share group.",
		field: func(c *Config) any { return &c.ShareGroups.RecordsMax }},
	{Name: "errors.deadletterqueue.auto.create.topics.enable", Group: kafka, Kind: Bool, Default: "false",
		Doc:   "A topic for the dead letters of a share group that is missing is created.",
		field: func(c *Config) any { return &c.ShareGroups.DeadAutoCreate }},
	{Name: "errors.deadletterqueue.topic.name.prefix", Group: kafka, Kind: Text, Default: "dlq.",
		Doc:   "How the names of topics for dead letters must begin; empty is anyhow.",
		field: func(c *Config) any { return &c.ShareGroups.DeadPrefix }},
}
