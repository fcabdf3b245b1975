package share

import (
	"sync/atomic"
	"testing"
	"testing/synctest"

	"sluice/wire/msg"
)

// Fetches that wait wake neither themselves nor each other: each looks a few times, not all the time.
func TestWaitingIsQuiet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t)
		var looks atomic.Int64
		s.m.opt.Group = func(string) GroupConfig { looks.Add(1); return s.group }
		s.produce(1)
		s.want("0-0×1 1 batches ", s.fetch(t.Context(), "a", 0))
		s.want("", s.fetch(t.Context(), "a", 1, ack(0, 0, 1)))
		looks.Store(0)
		answers := make(chan *msg.ShareFetchResponse)
		for _, member := range []string{"b", "c", "d"} {
			group := "g"
			req := &msg.ShareFetchRequest{
				GroupId: &group, MemberId: &member, MaxWaitMs: 200, MinBytes: 1, MaxBytes: 1 << 20, MaxRecords: 100, BatchSize: 100,
				Topics: []msg.ShareFetchRequestFetchTopic{{TopicId: topic, Partitions: []msg.ShareFetchRequestFetchPartition{{}}}},
			}
			go s.m.Fetch(t.Context(), 2, req, func(r *msg.ShareFetchResponse) { answers <- r })
		}
		for range 3 {
			if r := <-answers; r.ErrorCode != 0 {
				t.Error(r.ErrorCode)
			}
		}
		if n := looks.Load(); n > 100 {
			t.Errorf("three fetches that wait have looked %d times", n)
		}
	})
}
