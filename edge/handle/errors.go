package handle

import (
	"errors"

	"sluice/cluster/meta"
	"sluice/wire/kerr"
)

// rejected maps why the controller refused something to Kafka's code.
var rejected = map[meta.RejectCode]kerr.Code{
	meta.InvalidCommand:           kerr.InvalidRequest,
	meta.TooLarge:                 kerr.PolicyViolation,
	meta.StaleEpoch:               kerr.NotLeaderOrFollower,
	meta.NoLiveNode:               kerr.BrokerNotAvailable,
	meta.TopicExists:              kerr.TopicAlreadyExists,
	meta.UnknownTopic:             kerr.UnknownTopicOrPartition,
	meta.UnknownTopicID:           kerr.UnknownTopicID,
	meta.UnknownPartition:         kerr.UnknownTopicOrPartition,
	meta.InvalidTopic:             kerr.InvalidTopicException,
	meta.InvalidPartitions:        kerr.InvalidPartitions,
	meta.InvalidAssignment:        kerr.InvalidReplicaAssignment,
	meta.InvalidReplicationFactor: kerr.InvalidReplicationFactor,
	meta.InvalidConfig:            kerr.InvalidConfig,
	meta.Conflict:                 kerr.InvalidUpdateVersion,
	meta.NotOwner:                 kerr.NotLeaderOrFollower,
	meta.NotLeader:                kerr.NotLeaderOrFollower,
	meta.NotCommitted:             kerr.OffsetOutOfRange,
}

// codeOf returns the code to answer for err.
func codeOf(err error) kerr.Code {
	var r *meta.Rejection
	if errors.As(err, &r) && r != nil {
		if code, ok := rejected[r.Code]; ok {
			return code
		}
	}
	return kerr.CodeOf(err)
}

// messageOf returns the text for the client's user, nil if there is none.
func messageOf(err error) *string {
	if err == nil {
		return nil
	}
	var r *meta.Rejection
	if errors.As(err, &r) && r != nil {
		return &r.Message
	}
	if m := kerr.MessageOf(err); m != nil {
		return m
	}
	text := err.Error()
	return &text
}

// refusal returns err as an error, nil if it is a nil *meta.Rejection.
func refusal(r *meta.Rejection) error {
	if r == nil {
		return nil
	}
	return r
}
