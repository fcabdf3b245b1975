package parity

import (
	"fmt"
	"time"

	"sluice/wire/batch"
	"sluice/wire/msg"
)

var _ = add(map[string]func(*script){
	"fetch":          fetchVersions,
	"fetch-limits":   fetchLimits,
	"fetch-epochs":   fetchEpochs,
	"fetch-sessions": fetchSessions,
	"fetch-wait":     fetchWait,
	"fetch-zstd":     fetchZstd,
})

func fetchVersions(s *script) {
	topic := s.create("t", 2)
	s.ask("two batches", 9, s.produceOf(topic, -1, values("a", "b"), values("x")))
	s.ask("one more", 9, s.produceOf(topic, -1, values("c")))
	s.versions(msg.KeyFetch, func(v int16) {
		s.ask("from the start", v, s.fetchOf(topic, from(0, 0), from(1, 0)))
		s.ask("within a batch", v, s.fetchOf(topic, from(0, 1)))
		s.ask("the end", v, s.fetchOf(topic, from(0, 3)))
		s.ask("behind the end", v, s.fetchOf(topic, from(0, 4)))
		s.ask("before the start", v, s.fetchOf(topic, from(0, -1)))
		s.ask("unknown partition", v, s.fetchOf(topic, from(0, 0), from(7, 0)))
		s.ask("partition -1", v, s.fetchOf(topic, from(-1, 0)))
		s.ask("unknown topic", v, s.fetchOf(s.topic("unknown"), from(0, 0)))
		s.ask("nothing", v, s.fetchOf(""))
		committed := s.fetchOf(topic, from(0, 0))
		committed.IsolationLevel = 1
		s.ask("read committed", v, committed)
		end := s.fetchOf(topic, from(0, 3))
		end.IsolationLevel = 1
		s.ask("read committed, the end", v, end)
	})
	for _, v := range []int16{4, 12} {
		s.ask("illegal name", v, s.fetchOf("not a name!", from(0, 0)))
	}
}

func fetchLimits(s *script) {
	topic := s.create("t", 2)
	for i := range 4 {
		s.ask(fmt.Sprintf("batch %d", i), 9, s.produceOf(topic, -1, values("aaaaaaaaaaaaaaaaaaaa"), values("b")))
	}
	for _, most := range []int32{-1, 0, 1, 100, 200, 1000} {
		limit := func(p *fetchPartition) { p.PartitionMaxBytes = most }
		for _, v := range []int16{4, 11, 17} {
			s.ask(fmt.Sprintf("%d of a partition", most), v, s.fetchOf(topic, from(0, 0, limit)))
			whole := s.fetchOf(topic, from(0, 0))
			whole.MaxBytes = most
			s.ask(fmt.Sprintf("%d in all", most), v, whole)
		}
	}
}

func fetchEpochs(s *script) {
	topic := s.create("t", 1)
	s.ask("records", 9, s.produceOf(topic, -1, values("a", "b")))
	first := s.names.FirstEpoch
	for _, v := range []int16{9, 12, 16, 18} {
		for _, d := range []int32{0, 1, 5} {
			s.ask(fmt.Sprintf("current epoch first+%d", d), v, s.fetchOf(topic, from(0, 0, func(p *fetchPartition) { p.CurrentLeaderEpoch = first + d })))
			s.ask(fmt.Sprintf("last epoch first+%d", d), v, s.fetchOf(topic, from(0, 1, func(p *fetchPartition) { p.LastFetchedEpoch = first + d })))
		}
		s.ask("last epoch right, offset behind the end", v, s.fetchOf(topic, from(0, 9, func(p *fetchPartition) { p.LastFetchedEpoch = first })))
	}
}

func fetchSessions(s *script) {
	for _, v := range []int16{7, 12, 13, 18} {
		topic := s.create(fmt.Sprintf("t%d", v), 3)
		s.ask("records", 9, s.produceOf(topic, -1, values("a"), values("b")))
		session := func(id, epoch int32, parts ...fetchPartition) *msg.FetchRequest {
			req := s.fetchOf(topic, parts...)
			if len(parts) == 0 {
				req.Topics = nil
			}
			req.SessionId, req.SessionEpoch = id, epoch
			return req
		}
		id := s.ask("create", v, session(0, 0, from(0, 0), from(1, 0), from(2, 0))).(*msg.FetchResponse).SessionId
		s.ask("nothing changed", v, session(id, 1))
		s.ask("on from the records", v, session(id, 2, from(0, 1), from(1, 1)))
		s.ask("nothing new", v, session(id, 3))
		s.ask("more records", 9, s.produceOf(topic, -1, values("c")))
		s.ask("what is new", v, session(id, 4))
		s.ask("out of range", v, session(id, 5, from(1, 77)))
		s.ask("still out of range", v, session(id, 6))
		forget := session(id, 7, from(0, 2))
		forget.ForgottenTopicsData = []msg.FetchRequestForgottenTopic{{Topic: topic, TopicId: s.idOf(topic), Partitions: []int32{1}}}
		s.ask("forget a partition", v, forget)
		s.ask("an unknown partition joins", v, session(id, 8, from(9, 0)))
		s.ask("an epoch of old", v, session(id, 3))
		s.ask("an epoch to come", v, session(id, 20))
		s.ask("the right epoch", v, session(id, 9))
		s.ask("unknown session", v, session(id^0x5555, 1))
		s.ask("close", v, session(id, -1))
		s.ask("closed", v, session(id, 10))
		s.ask("create with nothing", v, session(0, 0))
		other := s.ask("create with an unknown topic", v, func() *msg.FetchRequest {
			req := s.fetchOf(s.topic("unknown"), from(0, 0))
			req.SessionEpoch = 0
			return req
		}()).(*msg.FetchResponse).SessionId
		s.ask("unknown again", v, session(other, 1))
		anew := s.ask("create in place of another", v, session(other, 0, from(0, 0))).(*msg.FetchResponse).SessionId
		all := session(anew, 1)
		all.ForgottenTopicsData = []msg.FetchRequestForgottenTopic{{Topic: topic, TopicId: s.idOf(topic), Partitions: []int32{0}}}
		s.ask("forget all", v, all)
		s.ask("after all is forgotten", v, session(anew, 2))
	}
}

func fetchWait(s *script) {
	topic := s.create("t", 1)
	s.ask("a record", 9, s.produceOf(topic, -1, values("a")))
	waits := func(name string, change func(*msg.FetchRequest)) {
		req := s.fetchOf(topic, from(0, 0))
		req.MaxWaitMs = 400
		change(req)
		at := time.Now()
		s.ask(name, 11, req)
		s.note("waited: "+name, fmt.Sprint(time.Since(at) > 350*time.Millisecond))
	}
	waits("enough", func(*msg.FetchRequest) {})
	waits("too little", func(r *msg.FetchRequest) { r.MinBytes = 10_000 })
	waits("at the end", func(r *msg.FetchRequest) { r.Topics[0].Partitions[0].FetchOffset = 1 })
	waits("at the end, min bytes 0", func(r *msg.FetchRequest) { r.Topics[0].Partitions[0].FetchOffset, r.MinBytes = 1, 0 })
	waits("min above max bytes", func(r *msg.FetchRequest) { r.MinBytes, r.MaxBytes = 10_000, 50 })
	waits("out of range", func(r *msg.FetchRequest) { r.Topics[0].Partitions[0].FetchOffset = 5 })
	waits("no partitions", func(r *msg.FetchRequest) { r.Topics = nil })
	waits("unknown topic", func(r *msg.FetchRequest) { r.Topics[0].Topic = s.topic("unknown") })
	req := s.fetchOf(topic, from(0, 1))
	req.MaxWaitMs = 10_000
	p := s.start(11, req)
	time.Sleep(100 * time.Millisecond)
	s.ask("another record", 9, s.produceOf(topic, -1, values("b")))
	s.await("woken", p)
}

func fetchZstd(s *script) {
	topic := s.create("t", 1, "compression.type", "zstd")
	s.ask("records", 9, s.produceOf(topic, -1, recordsOf(batch.Options{}, t0, "a")))
	for _, v := range []int16{4, 9, 10} {
		s.ask("of a zstd topic", v, s.fetchOf(topic, from(0, 0)))
	}
}
