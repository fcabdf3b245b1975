package handle

import (
	"sluice/broker/auth"
	"sluice/wire/msg"
)

// guards says for each API who may use it. The comment at the end of a line, where there is one, is what the guard asks for.
var guards = map[int16]guard{
	msg.KeyApiVersions:      open,
	msg.KeySaslHandshake:    open,
	msg.KeySaslAuthenticate: open,

	// Topics and their records.
	msg.KeyProduce:                 guarded(guardProduce),                 // Write topic, Write transactional id
	msg.KeyFetch:                   open,                                  // Read topic: asked for each partition of the session, see fetch.go
	msg.KeyListOffsets:             guarded(guardListOffsets),             // Describe topic
	msg.KeyMetadata:                guarded(guardMetadata),                // Describe topic; Create cluster or topic
	msg.KeyCreateTopics:            guarded(guardCreateTopics),            // Create cluster or topic
	msg.KeyDeleteTopics:            guarded(guardDeleteTopics),            // Delete topic
	msg.KeyDeleteRecords:           guarded(guardDeleteRecords),           // Delete topic
	msg.KeyCreatePartitions:        guarded(guardCreatePartitions),        // Alter topic
	msg.KeyOffsetForLeaderEpoch:    guarded(guardOffsetForLeaderEpoch),    // Describe topic
	msg.KeyDescribeTopicPartitions: guarded(guardDescribeTopicPartitions), // Describe topic

	// Groups.
	msg.KeyFindCoordinator: guarded(guardFindCoordinator), // Describe group or transactional id
	msg.KeyJoinGroup:       guarded(guardJoinGroup),       // Read group
	msg.KeySyncGroup:       guarded(guardSyncGroup),       // Read group
	msg.KeyHeartbeat:       guarded(guardHeartbeat),       // Read group
	msg.KeyLeaveGroup:      guarded(guardLeaveGroup),      // Read group
	msg.KeyOffsetCommit:    guarded(guardOffsetCommit),    // Read group, Read topic
	msg.KeyOffsetFetch:     guarded(guardOffsetFetch),     // Describe group, Describe topic
	msg.KeyOffsetDelete:    guarded(guardOffsetDelete),    // Delete group, Read topic
	msg.KeyDescribeGroups:  guarded(guardDescribeGroups),  // Describe group
	msg.KeyListGroups:      guarded(guardListGroups),      // Describe cluster or group
	msg.KeyDeleteGroups:    guarded(guardDeleteGroups),    // Delete group

	msg.KeyConsumerGroupHeartbeat:    guarded(guardConsumerGroupHeartbeat), // Read group, Describe topic
	msg.KeyConsumerGroupDescribe:     guarded(guardConsumerGroupDescribe),  // Describe group, Describe topic
	msg.KeyShareGroupHeartbeat:       guarded(guardShareGroupHeartbeat),    // Read group, Describe topic
	msg.KeyShareGroupDescribe:        guarded(guardShareGroupDescribe),     // Describe group, Describe topic
	msg.KeyShareFetch:                guarded(guardShareFetch),             // Read group, Read topic: asked again for each of the session, see share.go
	msg.KeyShareAcknowledge:          guarded(guardShareAcknowledge),       // Read group, Read topic
	msg.KeyDescribeShareGroupOffsets: guarded(guardDescribeShareOffsets),   // Describe group, Describe topic
	msg.KeyAlterShareGroupOffsets:    guarded(guardAlterShareOffsets),      // Read group, Read topic
	msg.KeyDeleteShareGroupOffsets:   guarded(guardDeleteShareOffsets),     // Delete group, Read topic
	msg.KeyStreamsGroupHeartbeat:     guarded(guardStreamsGroupHeartbeat),  // Read group, Describe topic; Create cluster or topic, see streams.go
	msg.KeyStreamsGroupDescribe:      guarded(guardStreamsGroupDescribe),   // Describe group, Describe topic

	// Producers and transactions.
	msg.KeyInitProducerId:       guarded(guardInitProducerID),       // Write transactional id; IdempotentWrite cluster, or Write any topic
	msg.KeyAddPartitionsToTxn:   guarded(guardAddPartitionsToTxn),   // Write transactional id, Write topic; of brokers: ClusterAction cluster
	msg.KeyAddOffsetsToTxn:      guarded(guardAddOffsetsToTxn),      // Write transactional id, Read group
	msg.KeyEndTxn:               guarded(guardEndTxn),               // Write transactional id
	msg.KeyTxnOffsetCommit:      guarded(guardTxnOffsetCommit),      // Write transactional id, Read group, Read topic
	msg.KeyWriteTxnMarkers:      guarded(guardWriteTxnMarkers),      // Alter or ClusterAction cluster
	msg.KeyDescribeProducers:    guarded(guardDescribeProducers),    // Read topic
	msg.KeyDescribeTransactions: guarded(guardDescribeTransactions), // Describe transactional id, Describe topic
	msg.KeyListTransactions:     guarded(guardListTransactions),     // Describe transactional id

	// Configurations.
	msg.KeyDescribeConfigs:         guarded(guardDescribeConfigs),                                    // DescribeConfigs of the resource
	msg.KeyAlterConfigs:            guarded(guardAlterConfigs),                                       // AlterConfigs of the resource
	msg.KeyIncrementalAlterConfigs: guarded(guardIncrementalAlterConfigs),                            // AlterConfigs of the resource
	msg.KeyListConfigResources:     onCluster[msg.ListConfigResourcesResponse](auth.DescribeConfigs), // DescribeConfigs cluster

	// The cluster.
	msg.KeyDescribeCluster:              guarded(guardDescribeCluster), // nothing; what may be done is told
	msg.KeyDescribeAcls:                 onCluster[msg.DescribeAclsResponse](auth.Describe),
	msg.KeyCreateAcls:                   guarded(guardCreateAcls), // Alter cluster
	msg.KeyDeleteAcls:                   guarded(guardDeleteAcls), // Alter cluster
	msg.KeyDescribeUserScramCredentials: onCluster[msg.DescribeUserScramCredentialsResponse](auth.Describe),
	msg.KeyAlterUserScramCredentials:    guarded(guardAlterScram),  // Alter cluster
	msg.KeyCreateDelegationToken:        guarded(guardCreateToken), // for another owner: CreateTokens user
	msg.KeyRenewDelegationToken:         open,                      // owner and renewers only: the handler asks
	msg.KeyExpireDelegationToken:        open,                      // owner and renewers only: the handler asks
	msg.KeyDescribeDelegationToken:      open,                      // of others: Describe token or DescribeTokens user, asked for each token
	msg.KeyDescribeClientQuotas:         onCluster[msg.DescribeClientQuotasResponse](auth.DescribeConfigs),
	msg.KeyAlterClientQuotas:            guarded(guardAlterClientQuotas), // AlterConfigs cluster
	msg.KeyGetTelemetrySubscriptions:    open,
	msg.KeyPushTelemetry:                open,
	msg.KeyDescribeLogDirs:              onCluster[msg.DescribeLogDirsResponse](auth.Describe),
	msg.KeyAlterReplicaLogDirs:          guarded(guardAlterReplicaLogDirs), // Alter cluster
	msg.KeyElectLeaders:                 onCluster[msg.ElectLeadersResponse](auth.Alter),
	msg.KeyAlterPartitionReassignments:  onCluster[msg.AlterPartitionReassignmentsResponse](auth.Alter),
	msg.KeyListPartitionReassignments:   onCluster[msg.ListPartitionReassignmentsResponse](auth.Describe),
	msg.KeyDescribeQuorum:               onCluster[msg.DescribeQuorumResponse](auth.Describe),
	msg.KeyUpdateFeatures:               onCluster[msg.UpdateFeaturesResponse](auth.Alter),
	msg.KeyUnregisterBroker:             onCluster[msg.UnregisterBrokerResponse](auth.Alter),
}
