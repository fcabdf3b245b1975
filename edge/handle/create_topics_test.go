package handle

import (
	"testing"

	"sluice/base/config"
	"sluice/wire/kerr"
	"sluice/wire/msg"
)

// TestPartitionsOfOneRequest: as in Kafka 10,000 may be asked for at once, however they are named.
func TestPartitionsOfOneRequest(t *testing.T) {
	h := New(Options{Config: &config.Config{NumPartitions: 3}})
	topic := func(n int32, assigned int) msg.CreateTopicsRequestCreatableTopic {
		return msg.CreateTopicsRequestCreatableTopic{NumPartitions: n, Assignments: make([]msg.CreateTopicsRequestCreatableReplicaAssignment, assigned)}
	}
	for _, tc := range []struct {
		first, second msg.CreateTopicsRequestCreatableTopic
		want          kerr.Code
	}{
		{topic(9_999, 0), topic(1, 0), kerr.None},
		{topic(9_999, 0), topic(2, 0), kerr.PolicyViolation},
		{topic(9_997, 0), topic(-1, 0), kerr.None},
		{topic(9_998, 0), topic(-1, 0), kerr.PolicyViolation},
		{topic(-1, 10_000), topic(-5, 0), kerr.None},
		{topic(-1, 10_000), topic(1, 0), kerr.PolicyViolation},
		{topic(1<<31-1, 0), topic(1<<31-1, 0), kerr.PolicyViolation},
	} {
		err := h.tooManyPartitions(&msg.CreateTopicsRequest{Topics: []msg.CreateTopicsRequestCreatableTopic{tc.first, tc.second}})
		if got := codeOf(err); got != tc.want {
			t.Errorf("%d (%d) and %d partitions: %v", tc.first.NumPartitions, len(tc.first.Assignments), tc.second.NumPartitions, err)
		}
	}
}
