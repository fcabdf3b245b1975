package fetch

import (
	"context"
	"slices"
	"sync/atomic"
	"time"

	"sluice/base"
	"sluice/broker/partition"
	"sluice/wire/kerr"
	"sluice/wire/msg"
)

// Fetcher answers Fetch requests. It is safe for concurrent use.
type Fetcher struct {
	opt      Options
	sessions *cache
	cold     semaphore
	metrics  *metrics
	turn     atomic.Uint32 // whose turn it is to be first in a request without a session
}

// New makes a Fetcher.
func New(opt Options) *Fetcher {
	opt = opt.withDefaults()
	f := &Fetcher{opt: opt, sessions: newCache(opt.Sessions, opt.SessionPartitions, opt.SessionIdle), cold: make(semaphore, opt.ColdReads)}
	f.metrics = newMetrics(opt.Registerer, f.sessions)
	return f
}

// Deliver takes the answer to a fetch. The records in it alias memory that is given back by release, which must be called exactly once,
// when the response has been written or will never be. It must not block for long.
type Deliver func(resp *msg.FetchResponse, release func())

// Fetch answers a request: deliver is called exactly once, before Fetch returns or later from another goroutine. The end of ctx, that of
// the client's connection, ends a wait. req is not used any more when Fetch has returned.
func (f *Fetcher) Fetch(ctx context.Context, version int16, req *msg.FetchRequest, deliver Deliver) {
	f.FetchWhere(ctx, version, req, nil, deliver)
}

// FetchWhere is Fetch for a client that may read only topics of which readable says so; the others are answered TOPIC_AUTHORIZATION_FAILED.
// readable gets the name or the id, whichever the request named topics by, and is not used any more when FetchWhere has returned. Nil: all.
func (f *Fetcher) FetchWhere(ctx context.Context, version int16, req *msg.FetchRequest, readable func(name string, id base.UUID) bool, deliver Deliver) {
	fl := &flight{
		f: f, ctx: ctx, version: version,
		maxBytes: min(max(0, int(req.MaxBytes)), f.opt.MaxBytes),
		deadline: f.opt.Now().Add(min(time.Duration(max(0, req.MaxWaitMs))*time.Millisecond, f.opt.MaxWait)),
	}
	fl.minBytes = min(int(req.MinBytes), fl.maxBytes)
	if req.IsolationLevel != int8(partition.ReadUncommitted) {
		fl.level = partition.ReadCommitted
	}
	if err := f.begin(fl, req, deliver); err != nil {
		resp := &msg.FetchResponse{ErrorCode: int16(err.Code)}
		deliver(resp, func() {})
		return
	}
	if readable != nil {
		for i := range fl.parts {
			fl.parts[i].refused = !readable(fl.parts[i].key.name, fl.parts[i].key.id)
		}
	}
	if req.IsolationLevel != int8(fl.level) && fl.anyKnown() {
		deliver(refuseAll(version, req, kerr.UnknownServerError), func() {}) // as Kafka has it, where there is something to read
		return
	}
	fl.run()
}

// anyKnown reports whether a partition is there, be it on another node, and the client may read it.
func (fl *flight) anyKnown() bool {
	return slices.ContainsFunc(fl.parts, func(pt part) bool {
		pt.resolve(fl.f.opt.Directory, fl.version >= 13)
		code := kerr.CodeOf(pt.err)
		return code != kerr.UnknownTopicOrPartition && code != kerr.UnknownTopicID && code != kerr.TopicAuthorizationFailed
	})
}

// refuseAll answers with one error: before version 13 at every partition as well, because old clients look there.
func refuseAll(version int16, req *msg.FetchRequest, code kerr.Code) *msg.FetchResponse {
	resp := &msg.FetchResponse{ErrorCode: int16(code)}
	if version >= 13 {
		return resp
	}
	for _, p := range requested(req, version) {
		out := msg.FetchResponseFetchableTopicResponse{Topic: p.key.name, Partitions: make([]msg.FetchResponsePartitionData, 1)}
		o := &out.Partitions[0]
		o.SetDefaults()
		o.PartitionIndex, o.ErrorCode, o.HighWatermark = p.key.index, int16(code), -1
		o.AbortedTransactions = []msg.FetchResponseAbortedTransaction{}
		if n := len(resp.Responses); n > 0 && resp.Responses[n-1].Topic == out.Topic {
			resp.Responses[n-1].Partitions = append(resp.Responses[n-1].Partitions, *o)
		} else {
			resp.Responses = append(resp.Responses, out)
		}
	}
	return resp
}

// begin finds out which partitions are to be fetched, and who puts the answer together.
func (f *Fetcher) begin(fl *flight, req *msg.FetchRequest, deliver Deliver) *kerr.Error {
	const none, create = -1, 0
	if fl.version < 7 || req.SessionEpoch == none || req.SessionEpoch == create {
		if fl.version >= 7 && req.SessionId != 0 {
			f.sessions.remove(req.SessionId)
		}
		fl.parts = requested(req, fl.version)
		if fl.version >= 7 && req.SessionEpoch == create {
			// The session will have its partitions in the order of objects; this request names them in any, and maybe few of them: what is read for each would wait in memory for its neighbours.
			fl.coldMost = f.opt.ColdPerFetch
		}
		if n := len(fl.parts); n > 0 {
			fl.first = int(f.turn.Add(1) % uint32(n))
		}
		fl.answer = func(parts []part) {
			f.answerFull(fl.version, parts, fl.version >= 7 && req.SessionEpoch == create, deliver)
		}
		return nil
	}
	s := f.sessions.get(req.SessionId, f.opt.Now())
	if s == nil {
		return kerr.Errorf(kerr.FetchSessionIDNotFound, "fetch session %d is not known", req.SessionId)
	}
	parts, err := f.continueSession(s, req, fl.version)
	if err != nil {
		return err
	}
	fl.parts = parts
	if len(parts) == 0 { // nothing is left in it: the session ends, as in Kafka
		f.sessions.remove(s.id)
		fl.answer = func([]part) { deliver(&msg.FetchResponse{}, func() {}) }
		return nil
	}
	fl.answer = func(parts []part) { f.answerIncremental(s, parts, deliver) }
	return nil
}

// requested lists the partitions of a request, in its order.
func requested(req *msg.FetchRequest, version int16) []part {
	n := 0
	for i := range req.Topics {
		n += len(req.Topics[i].Partitions)
	}
	parts := make([]part, 0, n)
	for i := range req.Topics {
		t := &req.Topics[i]
		for j := range t.Partitions {
			parts = append(parts, part{key: keyOf(version, t.Topic, t.TopicId, t.Partitions[j].Partition), want: wantOf(&t.Partitions[j])})
		}
	}
	return withoutTwice(parts)
}

// withoutTwice leaves of a partition that is asked for several times the place of the first and what the last wants, as Kafka does.
func withoutTwice(parts []part) []part {
	if len(parts) < 2 {
		return parts
	}
	at := make(map[key]int, len(parts))
	kept := parts[:0]
	for _, p := range parts {
		if i, again := at[p.key]; again {
			kept[i].want = p.want
			continue
		}
		at[p.key] = len(kept)
		kept = append(kept, p)
	}
	return kept
}

func keyOf(version int16, name string, id base.UUID, index int32) key {
	if version >= 13 {
		return key{id: id, index: index}
	}
	return key{name: name, index: index}
}

func wantOf(p *msg.FetchRequestFetchPartition) want {
	return want{offset: base.Offset(p.FetchOffset), maxBytes: p.PartitionMaxBytes, leaderEpoch: max(p.CurrentLeaderEpoch, partition.NoEpoch), lastEpoch: p.LastFetchedEpoch}
}

// continueSession applies an incremental request to its session and lists the session's partitions.
func (f *Fetcher) continueSession(s *session, req *msg.FetchRequest, version int16) ([]part, *kerr.Error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.byID != (version >= 13) {
		return nil, kerr.Errorf(kerr.FetchSessionTopicIDError, "fetch session %d names topics in another way", s.id)
	}
	if s.epoch != req.SessionEpoch {
		return nil, kerr.Errorf(kerr.InvalidFetchSessionEpoch, "fetch session %d is at epoch %d, not %d", s.id, s.epoch, req.SessionEpoch)
	}
	var named []part
	for i := range req.Topics {
		t := &req.Topics[i]
		for j := range t.Partitions {
			named = append(named, part{key: keyOf(version, t.Topic, t.TopicId, t.Partitions[j].Partition), want: wantOf(&t.Partitions[j])})
		}
	}
	s.putAll(named)
	for i := range req.ForgottenTopicsData {
		t := &req.ForgottenTopicsData[i]
		for _, index := range t.Partitions {
			s.remove(keyOf(version, t.Topic, t.TopicId, index))
		}
	}
	if !f.sessions.resized(s, len(s.parts)) {
		return nil, kerr.Errorf(kerr.FetchSessionIDNotFound, "fetch session %d has become too large", s.id)
	}
	s.epoch = nextEpoch(s.epoch)
	parts := make([]part, 0, len(s.parts))
	for p := s.head.next; p != &s.head; p = p.next {
		parts = append(parts, part{key: p.key, want: p.want})
	}
	return parts, nil
}

// answerFull answers a request that named all its partitions, and creates a session if it asked for one.
func (f *Fetcher) answerFull(version int16, parts []part, create bool, deliver Deliver) {
	a := f.newAnswer(len(parts))
	var s *session
	if create && len(parts) > 0 {
		s = newSession(version >= 13)
		s.putAll(parts)
	}
	for i := range parts {
		pt := &parts[i]
		if s != nil {
			code, hw, _, logStart := pt.told()
			s.answered(pt.key, code, 0, hw, logStart, true)
		}
		a.add(pt)
	}
	if s != nil {
		if f.sessions.add(s, f.opt.Now()) {
			a.resp.SessionId = s.id
		} else {
			f.metrics.sessionsRefused.Inc()
		}
	}
	a.deliver(deliver)
}

// answerIncremental answers a request within a session: only what is new.
func (f *Fetcher) answerIncremental(s *session, parts []part, deliver Deliver) {
	a := f.newAnswer(0)
	a.resp.SessionId = s.id
	s.mu.Lock()
	for i := range parts {
		pt := &parts[i]
		code, hw, _, logStart := pt.told()
		if s.answered(pt.key, code, pt.res.Bytes(), hw, logStart, pt.res.Diverging != nil) {
			a.add(pt)
		}
	}
	s.mu.Unlock()
	a.deliver(deliver)
}

// answer is a response in the making.
type answer struct {
	f    *Fetcher
	resp *msg.FetchResponse
	held []part // those whose chunks the response refers to
}

func (f *Fetcher) newAnswer(n int) *answer {
	return &answer{f: f, resp: &msg.FetchResponse{}, held: make([]part, 0, n)}
}

// add adds a partition: to the last topic if it is of that one, as Kafka does.
func (a *answer) add(pt *part) {
	n := len(a.resp.Responses)
	if n == 0 || a.resp.Responses[n-1].Topic != pt.key.name || a.resp.Responses[n-1].TopicId != pt.key.id {
		a.resp.Responses = append(a.resp.Responses, msg.FetchResponseFetchableTopicResponse{Topic: pt.key.name, TopicId: pt.key.id})
		n++
	}
	t := &a.resp.Responses[n-1]
	t.Partitions = append(t.Partitions, msg.FetchResponsePartitionData{})
	a.fill(&t.Partitions[len(t.Partitions)-1], pt)
}

func (a *answer) fill(out *msg.FetchResponsePartitionData, pt *part) {
	out.SetDefaults()
	code, hw, lso, logStart := pt.told()
	out.PartitionIndex, out.ErrorCode = pt.key.index, int16(code)
	out.HighWatermark, out.LastStableOffset, out.LogStartOffset = int64(hw), int64(lso), int64(logStart)
	if d := pt.res.Diverging; d != nil {
		out.DivergingEpoch.Epoch, out.DivergingEpoch.EndOffset = d.Epoch, int64(d.End)
	}
	if code != kerr.None {
		if pt.p == nil { // Kafka has an empty list for what is not there, and none for other errors
			out.AbortedTransactions = []msg.FetchResponseAbortedTransaction{}
		}
		return
	}
	if pt.res.Aborted != nil {
		out.AbortedTransactions = make([]msg.FetchResponseAbortedTransaction, len(pt.res.Aborted))
		for i, t := range pt.res.Aborted {
			out.AbortedTransactions[i] = msg.FetchResponseAbortedTransaction{ProducerId: t.ProducerID, FirstOffset: int64(t.FirstOffset)}
		}
	}
	if c := pt.res.Chunk; c != nil {
		out.Records = c.Segments
		a.f.metrics.bytes.Add(float64(c.Bytes))
		a.held = append(a.held, *pt)
	}
}

func (a *answer) deliver(deliver Deliver) {
	deliver(a.resp, func() {
		for i := range a.held {
			a.held[i].release()
		}
		a.held = nil
	})
}
