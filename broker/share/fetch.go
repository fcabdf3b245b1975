package share

import (
	"context"
	"sync"
	"time"

	"sluice/base"
	"sluice/broker/partition"
	"sluice/wire/kerr"
	"sluice/wire/msg"
)

// Fetch serves ShareFetch, versions 1 and 2. deliver is called exactly once, before Fetch returns or later from another goroutine; the end
// of ctx, that of the client's connection, ends a wait and the member's session. req is not used any more when Fetch has returned.
func (m *Manager) Fetch(ctx context.Context, version int16, req *msg.ShareFetchRequest, deliver func(*msg.ShareFetchResponse)) {
	m.FetchWhere(ctx, version, req, nil, deliver)
}

// FetchWhere is Fetch of those topics of the session that may be read; the others are answered with TOPIC_AUTHORIZATION_FAILED. It asks before it returns. Nil
// lets all be read.
func (m *Manager) FetchWhere(ctx context.Context, version int16, req *msg.ShareFetchRequest, readable func(topic base.UUID) bool, deliver func(*msg.ShareFetchResponse)) {
	g := m.opt.Group(text(req.GroupId))
	fl := &flight{m: m, ctx: ctx, key: sessionKey{text(req.GroupId), text(req.MemberId)}, deliver: deliver, acks: &ackResults{}}
	fl.deadline = m.opt.Now().Add(min(time.Duration(max(0, req.MaxWaitMs))*time.Millisecond, m.opt.MaxWait))
	fl.wants = wants{member: fl.key.member, records: int(req.MaxRecords), size: int(req.BatchSize), strict: req.ShareAcquireMode == acquireStrict}
	fl.maxBytes = min(max(0, int(req.MaxBytes)), m.opt.MaxBytes)
	fl.res = &msg.ShareFetchResponse{}
	if err := fl.begin(version, req, g); err != nil {
		fl.res.ErrorCode, fl.res.ErrorMessage = int16(err.Code), pointer(err.Message)
		deliver(fl.res)
		return
	}
	if readable != nil {
		fl.refused = map[base.UUID]bool{}
		for _, pl := range fl.places {
			if _, asked := fl.refused[pl.topic]; !asked {
				fl.refused[pl.topic] = !readable(pl.topic)
			}
		}
	}
	fl.res.AcquisitionLockTimeoutMs = int32(g.LockDuration.Milliseconds())
	m.mu.Lock()
	closed := m.mu.closed
	if !closed {
		m.running.Add(1)
	}
	m.mu.Unlock()
	if closed {
		fl.finish()
		return
	}
	go func() {
		defer m.running.Done()
		fl.run()
	}()
}

// acquireStrict is the mode in which a fetch gets no more records than it asked for.
const acquireStrict int8 = 1

// flight is one ShareFetch on its way.
type flight struct {
	m        *Manager
	ctx      context.Context
	key      sessionKey
	wants    wants
	maxBytes int
	deadline time.Time
	deliver  func(*msg.ShareFetchResponse)
	res      *msg.ShareFetchResponse
	final    *session // to be closed when all is done
	acks     *ackResults
	places   []place            // to be fetched, in turn order
	whole    bool               // the first answer of a session: clients may wait for each of its partitions to be in it
	refused  map[base.UUID]bool // topics that may not be read
	results  []placeResult
	watched  []*part
}

// placeResult is what a fetch says of a partition.
type placeResult struct {
	place
	taken
	err *kerr.Error
}

// begin checks the request, opens or continues the session, and hands the acknowledgements on.
func (fl *flight) begin(version int16, req *msg.ShareFetchRequest, g GroupConfig) *kerr.Error {
	if err := fl.key.check(); err != nil {
		return err
	}
	fetching := req.ShareSessionEpoch != epochFinal && fl.maxBytes > 0 && req.MaxRecords > 0
	if req.IsRenewAck {
		if req.MaxWaitMs != 0 || req.MinBytes != 0 || req.MaxBytes != 0 || req.MaxRecords != 0 {
			return kerr.Errorf(kerr.InvalidRequest, "a request that renews locks fetches nothing: max wait, bytes and records must be 0")
		}
	}
	acks := ackRequests{renew: req.IsRenewAck && version >= 2, fixed: g.RenewDisabled}
	var add, remove []place
	for i := range req.Topics {
		t := &req.Topics[i]
		for j := range t.Partitions {
			p := &t.Partitions[j]
			add = append(add, place{t.TopicId, p.PartitionIndex})
			batches := make([]wireBatch, len(p.AcknowledgementBatches))
			for k, b := range p.AcknowledgementBatches {
				batches[k] = wireBatch(b)
			}
			acks.add(place{t.TopicId, p.PartitionIndex}, batches)
		}
	}
	for i := range req.ForgottenTopicsData {
		for _, index := range req.ForgottenTopicsData[i].Partitions {
			remove = append(remove, place{req.ForgottenTopicsData[i].TopicId, index})
		}
	}
	var s *session
	var err *kerr.Error
	switch {
	case req.ShareSessionEpoch == epochInitial && len(acks.of) > 0:
		err = kerr.Errorf(kerr.InvalidRequest, "the first request of a share session acknowledges nothing")
	case req.ShareSessionEpoch == epochInitial:
		s, err = fl.m.open(fl.ctx, fl.key)
		fl.whole, remove = true, nil // there is nothing yet to forget: Kafka does not look
	default:
		s, err = fl.m.find(fl.key, req.ShareSessionEpoch)
	}
	if err != nil {
		return err
	}
	if req.ShareSessionEpoch == epochFinal {
		fl.final = s
	} else if places := fl.m.update(s, add, remove); fetching {
		fl.places = places
	}
	fl.m.acknowledge(fl.key, acks, fl.acks)
	return nil
}

func (k sessionKey) check() *kerr.Error {
	switch {
	case k.group == "":
		return kerr.Errorf(kerr.InvalidRequest, "no group")
	case k.member == "":
		return kerr.Errorf(kerr.InvalidRequest, "no member id")
	case len(k.member) > MemberIDMax:
		return kerr.Errorf(kerr.InvalidRequest, "the member id is too long")
	}
	return nil
}

// run goes round the partitions until there is something to tell.
func (fl *flight) run() {
	defer fl.finish()
	if len(fl.places) == 0 {
		return
	}
	wake := make(chan struct{}, 1)
	defer func() {
		for _, sp := range fl.watched {
			sp.unwatch(wake)
		}
	}()
	timeout := time.NewTimer(max(0, fl.deadline.Sub(fl.m.opt.Now())))
	defer timeout.Stop()
	for {
		waits, done := fl.round(wake)
		if done {
			return
		}
		var again bool
		waits, again = fl.park(waits, wake)
		if !again {
			select {
			case <-wake:
			case <-timeout.C:
				again = false
				fl.unpark(waits)
				return
			case <-fl.ctx.Done():
				fl.unpark(waits)
				return
			case <-fl.m.ctx.Done():
				fl.unpark(waits)
				return
			}
		}
		fl.unpark(waits)
	}
}

// wait is a partition whose watermark a fetch waits for.
type wait struct {
	p      *partition.Partition
	seen   placeResult
	waiter *partition.Waiter
}

// round takes what there is, of every partition in turn. done says that the fetch is to be answered.
func (fl *flight) round(wake chan struct{}) (waits []wait, done bool) {
	fl.results = fl.results[:0]
	left, records := fl.maxBytes, fl.wants.records
	for i, pl := range fl.places {
		if left <= 0 || records <= 0 {
			break
		}
		r := placeResult{place: pl}
		k := Key{fl.key.group, pl.topic, pl.index}
		sp, err := (*part)(nil), fl.ended(k)
		if fl.refused[pl.topic] {
			err = kerr.Errorf(kerr.TopicAuthorizationFailed, "Topic authorization failed.")
		}
		if err == nil {
			sp, err = fl.m.part(k, true)
		}
		if err == nil {
			fl.watchOnce(sp, wake)
			want := fl.wants
			want.records, want.maxBytes, want.wake = records, max(1, left/(len(fl.places)-i)), wake
			r.taken, err = sp.take(fl.ctx, want)
		}
		if err != nil && err.Code == kerr.FencedStateEpoch { // clients do not expect it here; they look for the leader anew, which may be this one
			err = &kerr.Error{Code: kerr.NotLeaderOrFollower, Message: err.Message}
		}
		r.err = err
		if len(r.got) > 0 {
			left -= len(r.records)
			for _, a := range r.got {
				records -= int(a.last - a.first + 1)
			}
		}
		if len(r.got) > 0 || err != nil {
			fl.results = append(fl.results, r)
			done = true
		} else if r.seen >= 0 {
			waits = append(waits, wait{p: sp.p, seen: r})
		}
	}
	return waits, done
}

// ended returns why a share partition ended that this fetch has waited for, nil if it did not: then it is not begun again and again for the same
// fetch.
func (fl *flight) ended(k Key) *kerr.Error {
	for _, sp := range fl.watched {
		if sp.key != k {
			continue
		}
		if why := sp.ended(); why != nil {
			return why
		}
	}
	return nil
}

func (fl *flight) watchOnce(sp *part, wake chan struct{}) {
	for _, w := range fl.watched {
		if w == sp {
			return
		}
	}
	fl.watched = append(fl.watched, sp)
	sp.watch(wake)
}

// park waits for the watermarks; again says that one has moved already.
func (fl *flight) park(waits []wait, wake chan struct{}) (registered []wait, again bool) {
	g := fl.m.opt.Group(fl.key.group)
	for _, w := range waits {
		w.waiter = &partition.Waiter{Isolation: g.Isolation, Wake: func(int) { signal(wake) }}
		if !w.p.Watch(w.waiter, w.seen.seen) {
			again = true
			continue
		}
		registered = append(registered, w)
	}
	return registered, again
}

func (fl *flight) unpark(waits []wait) {
	for _, w := range waits {
		w.p.Unwatch(w.waiter)
	}
}

// finish answers when the acknowledgements are durable.
func (fl *flight) finish() {
	fl.acks.then(func(codes map[place]kerr.Code, order []place) {
		if fl.final != nil {
			fl.m.close(fl.final)
		}
		if err := fl.m.opt.Contact(); err != nil {
			for i := range fl.results {
				fl.results[i].taken, fl.results[i].err = taken{}, kerr.Errorf(kerr.NotLeaderOrFollower, "%v", err)
			}
		}
		for i := range fl.results {
			fl.add(&fl.results[i], codes)
		}
		for _, pl := range order {
			if _, left := codes[pl]; left {
				fl.add(&placeResult{place: pl}, codes)
			}
		}
		if fl.whole {
			fl.addOthers()
		}
		fl.deliver(fl.res)
	})
}

// addOthers adds the partitions of which there is nothing to tell.
func (fl *flight) addOthers() {
	told := map[place]bool{}
	for _, r := range fl.results {
		told[r.place] = true
	}
	for _, pl := range fl.places {
		if !told[pl] {
			fl.add(&placeResult{place: pl}, nil)
		}
	}
}

// add adds a partition to the answer, to its topic if that is there already.
func (fl *flight) add(r *placeResult, codes map[place]kerr.Code) {
	topics := &fl.res.Responses
	i := 0
	for i < len(*topics) && (*topics)[i].TopicId != r.topic {
		i++
	}
	if i == len(*topics) {
		*topics = append(*topics, msg.ShareFetchResponseShareFetchableTopicResponse{TopicId: r.topic})
	}
	t := &(*topics)[i]
	t.Partitions = append(t.Partitions, msg.ShareFetchResponsePartitionData{})
	out := &t.Partitions[len(t.Partitions)-1]
	out.SetDefaults()
	out.PartitionIndex, out.Records = r.index, r.records
	if out.Records == nil {
		out.Records = []byte{}
	}
	if r.err != nil {
		out.ErrorCode, out.ErrorMessage = int16(r.err.Code), pointer(r.err.Message)
	}
	if code, ok := codes[r.place]; ok && code != kerr.None {
		out.AcknowledgeErrorCode, out.AcknowledgeErrorMessage = int16(code), pointer(code.String())
	}
	delete(codes, r.place)
	for _, a := range r.got {
		fl.m.metrics.acquired.Add(float64(a.last - a.first + 1))
		out.AcquiredRecords = append(out.AcquiredRecords, msg.ShareFetchResponseAcquiredRecords{
			FirstOffset: int64(a.first), LastOffset: int64(a.last), DeliveryCount: a.count,
		})
	}
}

func text(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

func pointer(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

// ackResults collects the codes of acknowledgements.
type ackResults struct {
	mu struct {
		sync.Mutex
		open  int
		codes map[place]kerr.Code
		order []place
		ready func(map[place]kerr.Code, []place)
	}
}

// expect says that a partition will be reported.
func (r *ackResults) expect(p place) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.mu.codes == nil {
		r.mu.codes = map[place]kerr.Code{}
	}
	r.mu.open++
	r.mu.codes[p] = kerr.None
	r.mu.order = append(r.mu.order, p)
}

func (r *ackResults) report(p place, code kerr.Code) {
	r.mu.Lock()
	r.mu.open--
	r.mu.codes[p] = code
	ready := r.mu.ready
	done := r.mu.open == 0 && ready != nil
	r.mu.Unlock()
	if done {
		ready(r.mu.codes, r.mu.order)
	}
}

// then calls ready once all are there.
func (r *ackResults) then(ready func(map[place]kerr.Code, []place)) {
	r.mu.Lock()
	done := r.mu.open == 0
	if !done {
		r.mu.ready = ready
	}
	r.mu.Unlock()
	if done {
		ready(r.mu.codes, r.mu.order)
	}
}
