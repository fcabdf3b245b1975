package group

import (
	"context"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"sluice/base"
	"sluice/broker/share"
	"sluice/wire/kerr"
	"sluice/wire/msg"
)

// shareStates keeps no state: everything can be begun and deleted.
type shareStates struct{ ShareStates }

func (shareStates) Initialize(context.Context, share.Key, int32, base.Offset) error { return nil }
func (shareStates) Delete(context.Context, share.Key) error                         { return nil }

func (s *stage) shareBeat(member string, epoch int32) *msg.ShareGroupHeartbeatResponse {
	r := &reply[msg.ShareGroupHeartbeatResponse]{}
	q := &msg.ShareGroupHeartbeatRequest{GroupId: "g", MemberId: member, MemberEpoch: epoch}
	if epoch == 0 {
		q.SubscribedTopicNames = []string{"t"}
	}
	s.c.ShareGroupHeartbeat(CallInfo{ClientID: "c", ClientHost: "h"}, q, r.take)
	synctest.Wait()
	return r.response(s.t)
}

// TestShareWorkIsGivenBack: a node that may not answer when it has told somebody to have state begun, or to end a group, has told nobody. When it may answer again
// others are told; if they were not, no member would ever be assigned a partition.
func TestShareWorkIsGivenBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t)
		defer s.wal.Auto()()
		s.c.opt.Shares = shareStates{}
		s.silent.Store(true)
		if r := s.shareBeat("a", 0); kerr.Code(r.ErrorCode) != kerr.NotCoordinator {
			t.Fatalf("silent: %+v", r)
		}
		s.silent.Store(false)
		if r := s.shareBeat("a", 0); r.ErrorCode != 0 || r.Assignment == nil || len(r.Assignment.TopicPartitions) == 0 {
			t.Fatalf("the member is assigned nothing: %+v", r)
		}
		if r := s.shareBeat("a", -1); r.ErrorCode != 0 {
			t.Fatalf("leave: %+v", r)
		}
		remove := func() (code kerr.Code) {
			code = -1
			s.c.endShare("g", func(c kerr.Code) { code = c }, func() { t.Error("the group is not there") })
			synctest.Wait()
			return code
		}
		s.silent.Store(true)
		if code := remove(); code != kerr.NotCoordinator {
			t.Fatalf("delete while silent: %v", code)
		}
		s.silent.Store(false)
		if code := remove(); code != kerr.None {
			t.Fatalf("delete: %v", code)
		}
	})
}

// TestShareWorkIsReported: that state has begun is said again when the shard was too busy to listen.
func TestShareWorkIsReported(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tries := 0
		c := New(Options{Cluster: &fakeCluster{partitions: 1}})
		defer c.Close()
		var code kerr.Code
		insistOn(c, func(fail func(kerr.Code)) {
			if tries++; tries < 3 {
				fail(kerr.CoordinatorNotAvailable)
			}
		}, func(got kerr.Code) { code = got })
		time.Sleep(time.Second)
		synctest.Wait()
		if tries != 3 || code != 0 {
			t.Errorf("%d tries, %v", tries, code)
		}
	})
}

// TestForgottenOnce: a topic whose offsets are deleted is answered once, however often it is named; one that has none each time.
func TestForgottenOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t)
		defer s.wal.Auto()()
		s.c.opt.Shares = shareStates{}
		if r := s.shareBeat("a", 0); r.ErrorCode != 0 || len(r.Assignment.TopicPartitions) == 0 {
			t.Fatalf("join: %+v", r)
		}
		if r := s.shareBeat("a", -1); r.ErrorCode != 0 {
			t.Fatalf("leave: %+v", r)
		}
		twice := &msg.DeleteShareGroupOffsetsRequest{GroupId: "g", Topics: []msg.DeleteShareGroupOffsetsRequestDeleteShareGroupOffsetsRequestTopic{{TopicName: "t"}, {TopicName: "t"}}}
		for _, want := range [][]kerr.Code{{kerr.None}, {kerr.UnknownTopicOrPartition, kerr.UnknownTopicOrPartition}} {
			r := &reply[msg.DeleteShareGroupOffsetsResponse]{}
			s.c.DeleteShareGroupOffsets(CallInfo{}, twice, r.take)
			synctest.Wait()
			var got []kerr.Code
			for _, o := range r.response(t).Responses {
				got = append(got, kerr.Code(o.ErrorCode))
			}
			if !slices.Equal(got, want) {
				t.Errorf("%v, want %v", got, want)
			}
		}
	})
}
