package differential

import (
	"fmt"
	"strings"
)

// What a field holds follows from its name, in some APIs from its place.

// disturbs are the APIs that would take the groups of other sequences away if they were told to change the topic of offsets.
var disturbs = map[string]bool{
	"DeleteTopics": true, "CreatePartitions": true, "AlterPartitionReassignments": true, "ElectLeaders": true, "DeleteRecords": true, "Produce": true,
	"WriteTxnMarkers": true, "AlterConfigs": true, "IncrementalAlterConfigs": true,
}

func (d *drawer) topic(odd bool) tree {
	if odd && disturbs[d.api] {
		return one[tree](d, object{"in": "none"}, "", ".", "not a name!", object{"long": 250}, object{"in": "new"}, object{"in": "T0"})
	}
	if odd {
		return one[tree](d, object{"in": "none"}, "", ".", "not a name!", object{"long": 250}, object{"in": "new"}, "__consumer_offsets", object{"in": "T0"})
	}
	return object{"in": one(d, "t0", "t0", "t0", "t1", "c0")}
}

func (d *drawer) newTopic(odd bool) tree {
	if odd {
		return d.topic(true)
	}
	return object{"in": one(d, "new", "new.er", "new_er", "t0", "more")}
}

func (d *drawer) group(odd bool) tree {
	if odd {
		return one[tree](d, "", object{"in": "none"}, object{"long": 300}, object{"in": " "})
	}
	return object{"in": one(d, "g0", "g0", "g1", "g2")}
}

func (d *drawer) transactional(odd bool) tree {
	if odd {
		return one[tree](d, "", object{"in": "none"}, object{"long": 300})
	}
	return object{"in": one(d, "x0", "x0", "x1")}
}

func (d *drawer) configName(odd bool, kind int64) tree {
	if odd {
		return one[tree](d, "", "no.such.config", "Retention.ms", "min.insync.replicas ")
	}
	switch kind {
	case 32:
		return one[tree](d, "consumer.session.timeout.ms", "consumer.heartbeat.interval.ms", "share.auto.offset.reset", "share.record.lock.duration.ms")
	case 16:
		return one[tree](d, "metrics", "interval.ms", "match")
	case 4, 8:
		return one[tree](d, "log.retention.ms", "message.max.bytes", "num.io.threads", "node.id")
	}
	return one[tree](d, "retention.ms", "cleanup.policy", "max.message.bytes", "segment.bytes", "compression.type", "message.timestamp.type",
		"min.insync.replicas", "flush.ms", "retention.bytes", "min.cleanable.dirty.ratio", "delete.retention.ms", "unclean.leader.election.enable",
		"message.timestamp.before.max.ms", "leader.replication.throttled.replicas", "min.compaction.lag.ms", "max.compaction.lag.ms", "index.interval.bytes",
		"remote.storage.enable", "preallocate", "file.delete.delay.ms", "local.retention.ms", "segment.ms", "segment.jitter.ms", "compression.gzip.level")
}

func (d *drawer) configValue(odd bool) tree {
	if odd {
		return one[tree](d, nil, "", "x", "-2", "1e3", "99999999999999999999", "compact,compact", " 1000 ", "TRUE", "0.5")
	}
	return one[tree](d, "1000", "100000", "86400000", "-1", "1", "0", "compact", "delete", "compact,delete", "gzip", "zstd", "producer", "CreateTime", "LogAppendTime", "true", "false", "0.3", "*", "0:1")
}

// kindOf is the resource type that was drawn before.
func kindOf(sofar object) int64 {
	var e env
	return e.number(sofar["ResourceType"])
}

func (d *drawer) resource(kind int64, odd bool) tree {
	if odd {
		return one[tree](d, "", "x", object{"in": "none"}, "-1", "99", "99999999999")
	}
	switch kind {
	case 4, 8:
		return object{"$": "node"}
	case 32:
		return d.group(false)
	case 16:
		return object{"in": "sub"}
	}
	return d.topic(false)
}

func (d *drawer) member(odd bool) tree {
	if odd {
		return one[tree](d, "", "nobody", object{"long": 300})
	}
	return one[tree](d, object{"$": "member 1", "or": "m1"}, object{"$": "member 1", "or": "m1"}, object{"$": "member 2", "or": "m2"}, "m1", "")
}

func (d *drawer) text(path, name string, f field, sofar object, odd bool) tree {
	nullable := in(f.Nullable, d.version)
	if nullable && d.chance(0.3) && !strings.HasSuffix(path, "Topics.Name") {
		return nil
	}
	switch {
	case strings.HasSuffix(path, "Configs.Name"), name == "ConfigurationKeys":
		return d.configName(odd, kindOf(sofar))
	case d.api == "CreateTopics" && path == "Topics.Name":
		return d.newTopic(odd)
	case strings.Contains(d.api, "Scram"):
		return one[tree](d, object{"in": "u0"}, object{"in": "u1"}, object{"in": "none"}, "")
	case d.api == "AlterClientQuotas" || d.api == "DescribeClientQuotas":
		return d.quota(name, odd)
	case d.api == "JoinGroup" && path == "Protocols.Name":
		return one[tree](d, "range", "range", "roundrobin", "")
	case d.api == "FindCoordinator":
		return one(d, d.group(odd), d.transactional(odd), tree("a:AAAAAAAAAAAAAAAAAAAAAA:0"))
	}
	return d.textOf(name, sofar, odd)
}

func (d *drawer) textOf(name string, sofar object, odd bool) tree {
	switch name {
	case "Name", "Topic", "TopicName", "TopicNames", "SubscribedTopicNames":
		return d.topic(odd)
	case "GroupId", "GroupsNames", "GroupIds", "Groups":
		return d.group(odd)
	case "MemberId":
		return d.member(odd)
	case "GroupInstanceId", "InstanceId":
		return one[tree](d, nil, "i0", "i1", "")
	case "TransactionalId", "TransactionalIds", "V3AndBelowTransactionalId":
		return d.transactional(odd)
	case "ResourceName":
		return d.resource(kindOf(sofar), odd)
	case "Value":
		return d.configValue(odd)
	case "ProtocolType":
		return one[tree](d, "consumer", "consumer", "consumer", "connect", "")
	case "ProtocolName":
		return one[tree](d, "range", "range", "roundrobin", "")
	case "CommittedMetadata":
		return one[tree](d, "", "meta", object{"long": 4096}, object{"long": 4097})
	case "ServerAssignor":
		return one[tree](d, nil, "uniform", "range", "none", "")
	case "SubscribedTopicRegex":
		return one[tree](d, nil, "", "(", "nothing.*")
	case "StatesFilter", "StateFilters":
		return one[tree](d, "Stable", "empty", "Ongoing", "CompleteAbort", "Dead", "x", "")
	case "TypesFilter":
		return one[tree](d, "classic", "Consumer", "share", "x", "")
	case "TransactionalIdPattern":
		return one[tree](d, nil, "", "(", ".*x0", "nothing")
	case "ClientSoftwareName", "ClientSoftwareVersion":
		return one[tree](d, "diff", "1.0", "", "-bad", "not good!", object{"long": 300})
	case "Feature":
		return one[tree](d, "no.such.feature", "Group.version", "metadata.version", "") // group.version is for all sequences
	case "Path":
		return one[tree](d, "/no/such/dir", "", "relative")
	case "Host", "HostFilter":
		return one[tree](d, "*", "127.0.0.1", "")
	case "Principal", "PrincipalFilter":
		return one[tree](d, "User:x", "", "x", "User:*")
	case "Mechanism":
		return one[tree](d, "PLAIN", "SCRAM-SHA-256", "x", "")
	}
	return one[tree](d, "", "x", object{"in": "x"})
}

func (d *drawer) quota(name string, odd bool) tree {
	switch name {
	case "EntityType":
		if odd {
			return one[tree](d, "", "x", "User")
		}
		return one[tree](d, "user", "client-id", "client-id", "ip")
	case "Key":
		if odd {
			return one[tree](d, "", "x", "Producer_byte_rate")
		}
		return one[tree](d, "producer_byte_rate", "consumer_byte_rate", "request_percentage", "controller_mutation_rate", "connection_creation_rate")
	}
	if odd {
		return one[tree](d, "", "10.0.0.1", "no such host", nil)
	}
	return object{"in": one(d, "q0", "q1")}
}

func (d *drawer) rawBytes(path, name string, odd bool) tree {
	switch {
	case odd:
		return one[tree](d, object{"hex": ""}, object{"hex": "00"}, object{"long": 5000})
	case name == "Metadata" && d.api == "JoinGroup": // version 0, no topics, no user data
		return object{"hex": "000000000000ffffffff"}
	case name == "Salt", name == "SaltedPassword":
		return object{"hex": strings.Repeat("5a", 32)}
	}
	return object{"hex": "0102"}
}

func (d *drawer) uuid(path, name string, sofar object, odd bool) tree {
	if odd {
		return one[tree](d, object{"hex": strings.Repeat("00", 16)}, object{"hex": strings.Repeat("00", 15) + "01"}, object{"hex": strings.Repeat("4b", 16)})
	}
	if strings.Contains(name, "TopicId") {
		if n, ok := sofar["Name"]; ok && n != nil && d.api == "Metadata" && !d.chance(0.2) {
			return object{"hex": strings.Repeat("00", 16)}
		}
		return object{"$": fmt.Sprintf("id of @%s 1", one(d, "t0", "t0", "t0", "t1", "c0")), "or": object{"hex": strings.Repeat("4c", 16)}}
	}
	return object{"hex": strings.Repeat("00", 16)}
}
