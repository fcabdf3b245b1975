package differential

import "strings"

// number draws a whole number. What could hold up the brokers is bounded here.
func (d *drawer) number(path, name string, f field, sofar object, odd bool) tree {
	switch name { // never odd
	case "TimeoutMs":
		return 10_000
	case "MaxWaitMs":
		return one[tree](d, 0, 0, 20, 50)
	case "RebalanceTimeoutMs":
		if d.api == "JoinGroup" {
			return 3000 // what comes between a JoinGroup and its SyncGroup takes less
		}
		return one[tree](d, 1000, 60_000, -1, 0)
	case "SessionTimeoutMs":
		return one[tree](d, 6000, 30_000, 30_000, 0, 5999, 1<<31-1)
	case "ReplicaId": // there are no followers
		return -1
	case "BrokerId":
		return one[tree](d, -1, 99, 1<<31-1)
	case "TransactionTimeoutMs":
		return one[tree](d, 60_000, 60_000, 900_000, 900_001, 0, -1)
	}
	if odd {
		e := extremes[f.Type]
		return e[d.IntN(len(e))]
	}
	if v, ok := d.placed(path, name); ok {
		return v
	}
	return d.named(name, f)
}

// placed draws numbers whose meaning follows from their place.
func (d *drawer) placed(path, name string) (tree, bool) {
	switch {
	case name == "ResourceType" && strings.Contains(d.api, "Acl"):
		return one[tree](d, 2, 3, 4), true
	case name == "ResourceType" && d.api == "DescribeConfigs":
		return one[tree](d, 2, 2, 2, 32, 16), true
	case name == "ResourceType":
		return one[tree](d, 2, 2, 2, 2, 32, 16), true
	case name == "ResourceTypes":
		return one[tree](d, 2, 4, 8, 16, 32), true
	case name == "Timestamp":
		return one[tree](d, -1, -2, -3, -4, -5, 0, object{"$": "t0"}, object{"$": "t0", "plus": 1}, object{"$": "t0", "plus": 100_000}), true
	case d.api == "CreateTopics" && name == "NumPartitions":
		return one[tree](d, 1, 1, 2, -1), true
	case d.api == "CreatePartitions" && name == "Count":
		return one[tree](d, 1, 2, 3, 4, 5), true
	case name == "ReplicationFactor":
		return one[tree](d, 1, 1, -1), true
	case name == "BrokerIds", name == "Replicas":
		return object{"$": "node"}, true
	case d.api == "FindCoordinator" && name == "KeyType":
		return one[tree](d, 0, 0, 1, 1, 2), true
	case name == "Iterations":
		return one[tree](d, 4096, 8192, 16384, 16385, 4095, 0), true
	}
	return nil, false
}

func (d *drawer) named(name string, f field) tree {
	switch name {
	case "PartitionIndex", "Partition", "Partitions", "Index", "PartitionIndexes":
		return one[tree](d, 0, 0, 0, 1, 2)
	case "CurrentLeaderEpoch":
		return one[tree](d, -1, -1, object{"$": "epoch"}, object{"$": "epoch", "plus": 1}, object{"$": "epoch", "plus": -1})
	case "LeaderEpoch", "LastFetchedEpoch":
		return one[tree](d, -1, object{"$": "epoch"}, object{"$": "epoch", "plus": 1})
	case "ProducerId", "V3AndBelowProducerId", "ProducerIdFilters":
		return one[tree](d, object{"$": "producer 1", "or": 12345}, object{"$": "producer 1", "or": 12345}, object{"$": "producer 2", "or": 12346}, -1)
	case "ProducerEpoch", "V3AndBelowProducerEpoch":
		return one[tree](d, 0, 0, 0, 1, -1)
	case "FetchOffset", "CommittedOffset", "Offset", "StartOffset", "FirstOffset", "LastOffset":
		return one[tree](d, 0, 0, 1, 2, 3, 5, -1)
	case "LogStartOffset", "SessionEpoch", "ReplicaEpoch":
		return -1
	case "PartitionMaxBytes", "MaxBytes":
		return one[tree](d, 1<<20, 1<<20, 1)
	case "MinBytes":
		return one[tree](d, 0, 1, 1, 100)
	case "IsolationLevel":
		return one[tree](d, 0, 1)
	case "Acks":
		return one[tree](d, -1, -1, 1)
	case "SessionId", "Terminating":
		return 0
	case "GenerationId", "GenerationIdOrMemberEpoch", "MemberEpoch", "ShareSessionEpoch":
		return one[tree](d, -1, 0, 1, 1, 2)
	case "CommittedLeaderEpoch":
		return one[tree](d, -1, 0, object{"$": "epoch"})
	case "RetentionTimeMs":
		return one[tree](d, -1, 1000)
	case "ElectionType":
		return one[tree](d, 0, 1)
	case "ConfigOperation":
		return one[tree](d, 0, 0, 1, 2, 3)
	case "MatchType":
		return one[tree](d, 0, 1, 2)
	case "EndpointType":
		return one[tree](d, 1, 1, 2)
	case "ResponsePartitionLimit":
		return one[tree](d, 1, 2, 2000)
	case "DurationFilter":
		return one[tree](d, -1, 0, 1<<40)
	case "CoordinatorEpoch", "TransactionVersion":
		return one[tree](d, 0, 1, 2)
	case "MaxVersionLevel", "UpgradeType", "Mechanism":
		return one[tree](d, 1, 2, 3, 0)
	}
	if f.Type == "int8" {
		return one[tree](d, 0, 1, 2, 3)
	}
	return one[tree](d, 0, 1, 2, 3, 10)
}

// bound changes what would harm the brokers, or make later sequences differ.
func (d *drawer) bound(st *step) {
	o, ok := st.Body.(object)
	if !ok {
		return
	}
	switch {
	case d.api == "UpdateFeatures":
		o["ValidateOnly"] = true
	case (d.api == "OffsetCommit" || d.api == "TxnOffsetCommit") && o["GroupId"] == "": // would make a group that all sequences have
		o["GroupId"] = object{"in": "none"}
	case d.api == "DescribeTopicPartitions" && len(list(o["Topics"])) == 0: // pages would hold what others made
		o["Topics"] = []any{object{"Name": object{"in": "t0"}}}
	}
}

// records draws what a Produce writes.
func (d *drawer) records(odd bool) tree {
	if odd && d.chance(0.15) {
		return one[tree](d, object{"hex": ""}, object{"hex": "00"}, object{"long": 60}, object{"long": 61}, object{"long": 200})
	}
	all := []any{d.drawBatch(odd)}
	if odd && d.chance(0.2) {
		all = append(all, d.drawBatch(false))
	}
	return object{"batches": all}
}

func (d *drawer) drawBatch(odd bool) object {
	o := object{"n": one(d, 1, 1, 2, 3)}
	if d.chance(0.3) {
		o["codec"] = one(d, 1, 2, 3, 4)
	}
	if d.chance(0.4) {
		o["id"] = one[tree](d, object{"$": "producer 1", "or": 12345}, object{"$": "producer 2", "or": 12346}, 777)
		o["epoch"], o["seq"] = one(d, 0, 0, 0, 1, -1), one(d, 0, 0, 0, 1, 2, 3, 5, 1<<31-1, -1)
		if d.chance(0.3) {
			o["tx"] = true
		}
	}
	if !odd {
		return o
	}
	set := func(at, bytes int, to tree) { o["set"] = []any{object{"at": at, "bytes": bytes, "to": to}} }
	switch d.IntN(16) {
	case 0:
		o["crc"] = true
	case 1:
		set(16, 1, one(d, 0, 1, 3, 127))
	case 2:
		set(8, 4, one(d, -1, 0, 10, 48, 49, 50, 1<<20, 1<<31-1))
	case 3:
		o["cut"] = one(d, 1, 5, 10)
	case 4:
		o["pad"] = one(d, 1, 12, 70)
	case 5:
		o["garbage"] = true
	case 6:
		set(21, 2, one(d, 5, 6, 7, 8, 16, 32, 64, 128, 1<<15))
	case 7:
		set(23, 4, one(d, -1, 0, 1, 2, 5, 1<<31-1))
	case 8:
		set(57, 4, one(d, -1, 0, 1, 2, 5, 1<<31-1))
	case 9:
		set(0, 8, one(d, -1, 1, 1000))
	case 10:
		set(12, 4, one(d, -1, 0, 7))
	case 11:
		set(43, 8, one(d, -2, 0, 1<<40))
	case 12:
		o["control"] = true
	case 13:
		o["at"] = one(d, -1, -2, 0, 1<<50)
	case 14:
		o["key"] = nil
	default:
		o["step"] = one(d, -1, 0, 1000)
	}
	return o
}
