package msg

// API is one row of what the broker offers to clients.
type API struct {
	Key      int16
	Min, Max int16 // versions that are served
}

// APIs is what the broker serves, in key order: the version ranges of Kafka 4.3, less what is not there yet. A key that always
// errs is not offered. Advertised versions may start lower, see edge/handle.
var APIs = []API{
	{KeyProduce, 3, 13},
	{KeyFetch, 4, 18},
	{KeyListOffsets, 1, 11},
	{KeyMetadata, 0, 13},
	{KeyOffsetCommit, 2, 10},
	{KeyOffsetFetch, 1, 10},
	{KeyFindCoordinator, 0, 6},
	{KeyJoinGroup, 0, 9},
	{KeyHeartbeat, 0, 4},
	{KeyLeaveGroup, 0, 5},
	{KeySyncGroup, 0, 5},
	{KeyDescribeGroups, 0, 6},
	{KeyListGroups, 0, 5},
	{KeySaslHandshake, 0, 1},
	{KeyApiVersions, 0, 4},
	{KeyCreateTopics, 2, 7},
	{KeyDeleteTopics, 1, 6},
	{KeyDeleteRecords, 0, 2},
	{KeyInitProducerId, 0, 5},
	{KeyOffsetForLeaderEpoch, 2, 4},
	{KeyAddPartitionsToTxn, 0, 5},
	{KeyAddOffsetsToTxn, 0, 4},
	{KeyEndTxn, 0, 5},
	{KeyWriteTxnMarkers, 1, 2},
	{KeyTxnOffsetCommit, 0, 5},
	{KeyDescribeAcls, 1, 3},
	{KeyCreateAcls, 1, 3},
	{KeyDeleteAcls, 1, 3},
	{KeyDescribeConfigs, 1, 4},
	{KeyAlterConfigs, 0, 2},
	{KeyAlterReplicaLogDirs, 1, 2},
	{KeyDescribeLogDirs, 1, 5},
	{KeySaslAuthenticate, 0, 2},
	{KeyCreatePartitions, 0, 3},
	{KeyCreateDelegationToken, 1, 3},
	{KeyRenewDelegationToken, 1, 2},
	{KeyExpireDelegationToken, 1, 2},
	{KeyDescribeDelegationToken, 1, 3},
	{KeyDeleteGroups, 0, 2},
	{KeyElectLeaders, 0, 2},
	{KeyIncrementalAlterConfigs, 0, 1},
	{KeyAlterPartitionReassignments, 0, 1},
	{KeyListPartitionReassignments, 0, 0},
	{KeyOffsetDelete, 0, 0},
	{KeyDescribeClientQuotas, 0, 1},
	{KeyAlterClientQuotas, 0, 1},
	{KeyDescribeUserScramCredentials, 0, 0},
	{KeyAlterUserScramCredentials, 0, 0},
	{KeyDescribeQuorum, 0, 2},
	{KeyUpdateFeatures, 0, 2},
	{KeyDescribeCluster, 0, 2},
	{KeyDescribeProducers, 0, 0},
	{KeyUnregisterBroker, 0, 0},
	{KeyDescribeTransactions, 0, 0},
	{KeyListTransactions, 0, 2},
	{KeyConsumerGroupHeartbeat, 0, 1},
	{KeyConsumerGroupDescribe, 0, 1},
	{KeyGetTelemetrySubscriptions, 0, 0},
	{KeyPushTelemetry, 0, 0},
	{KeyListConfigResources, 0, 1},
	{KeyDescribeTopicPartitions, 0, 0},
	{KeyShareGroupHeartbeat, 1, 1},
	{KeyShareGroupDescribe, 1, 1},
	{KeyShareFetch, 1, 2},
	{KeyShareAcknowledge, 1, 2},
	{KeyStreamsGroupHeartbeat, 0, 0},
	{KeyStreamsGroupDescribe, 0, 0},
	{KeyDescribeShareGroupOffsets, 0, 1},
	{KeyAlterShareGroupOffsets, 0, 0},
	{KeyDeleteShareGroupOffsets, 0, 0},
}

// Lookup returns the row of a key, false if it is not offered.
func Lookup(key int16) (API, bool) {
	for _, a := range APIs {
		if a.Key == key {
			return a, true
		}
	}
	return API{}, false
}
