package coord

import (
	"context"
	"errors"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"sluice/base"
	"sluice/wire/kerr"
)

// Call is a command that waits for its answer. Exactly one of Reply and Fail is called, once.
type Call struct {
	Command any
	Reply   func(response any)
	// Fail takes NOT_COORDINATOR, COORDINATOR_LOAD_IN_PROGRESS or COORDINATOR_NOT_AVAILABLE.
	Fail func(code kerr.Code)
}

// Shard is a coordinator's partition on its leader. See the package's invariants.
type Shard struct {
	opt    Options
	ctx    context.Context // ends with Stop; for the loader alone
	cancel context.CancelFunc
	ended  sync.WaitGroup // worker and loader
	stuck  atomic.Bool    // the last attempt to load has failed

	mu struct {
		sync.Mutex
		inbox   []event
		running bool // a worker exists
		waiting int  // calls accepted and not answered yet
		closed  bool
	}

	// All that follows belongs to the worker.
	state        state
	machine      Machine // nil unless serving
	incarnation  uint64
	calls        map[Ticket]Call
	lastTicket   Ticket
	fx           Effects
	pending      []pendingAppend // oldest first
	pendingBytes int
	failures     int // incarnations that failed since an append became durable
	timer        *time.Timer
	armed        time.Time // when the timer fires; zero if it is not set
	spare        []event
}

type state uint8

const (
	loading state = iota // replaying; also: waiting for appends of the last incarnation to end
	serving
	closed
)

var stateNames = [...]string{"loading", "serving", "closed"}

type pendingAppend struct {
	incarnation uint64
	Append
	bytes int
}

// event is one entry of the inbox; exactly one of the fields is set.
type event struct {
	call     *Call
	appended *appended
	loaded   Machine
	tick     bool
	close    bool
}

type appended struct {
	incarnation uint64
	token       Token
	first       base.Offset
	err         error
}

// Start makes a shard of an open partition and begins to load it. The caller stops it.
func Start(opt Options) *Shard {
	opt.defaults()
	s := &Shard{opt: opt, calls: map[Ticket]Call{}}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	s.timer = time.AfterFunc(time.Hour, func() { s.post(event{tick: true}) })
	s.timer.Stop()
	s.opt.Metrics.shards.WithLabelValues(stateNames[loading]).Inc()
	s.startLoading()
	return s
}

// Submit takes in a call. It never blocks; the answer may come before it returns only if the call is refused.
func (s *Shard) Submit(c Call) {
	s.mu.Lock()
	switch {
	case s.mu.closed:
		s.mu.Unlock()
		s.refuse(c, kerr.NotCoordinator)
	case s.mu.waiting >= s.opt.CallsMax:
		s.mu.Unlock()
		s.refuse(c, kerr.CoordinatorNotAvailable)
	default:
		s.mu.waiting++
		s.putLocked(event{call: &c})
		s.mu.Unlock()
	}
}

// Stop answers NOT_COORDINATOR to every caller, from now on and to those that wait. It does not block. Appends under way may still
// become durable; the next coordinator of the partition will replay them.
func (s *Shard) Stop() {
	s.cancel()
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.mu.closed {
		s.mu.closed = true
		s.putLocked(event{close: true})
	}
}

// Wait waits, after Stop, until the shard's goroutines have ended.
func (s *Shard) Wait() { s.ended.Wait() }

func (s *Shard) post(e event) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.mu.closed {
		s.putLocked(e)
	}
}

func (s *Shard) putLocked(e event) {
	s.mu.inbox = append(s.mu.inbox, e)
	if !s.mu.running {
		s.mu.running = true
		s.ended.Add(1)
		go s.work()
	}
}

// work handles events until there are none.
func (s *Shard) work() {
	defer s.ended.Done()
	for {
		s.mu.Lock()
		batch := s.mu.inbox
		s.mu.inbox, s.spare = s.spare[:0], nil
		if len(batch) == 0 {
			s.mu.running = false
			s.mu.Unlock()
			return
		}
		s.mu.Unlock()
		for i := range batch {
			s.handle(&batch[i])
		}
		clear(batch)
		s.spare = batch
		s.arm()
	}
}

func (s *Shard) handle(e *event) {
	switch {
	case e.close:
		s.endIncarnation()
		s.enter(closed)
	case s.state == closed:
		if e.call != nil {
			s.answer(*e.call, nil, kerr.NotCoordinator)
		}
	case e.call != nil:
		s.step(*e.call)
	case e.appended != nil:
		s.completeAppend(e.appended)
	case e.loaded != nil:
		s.machine = e.loaded
		s.enter(serving)
		s.machine.Loaded(time.Now(), &s.fx)
		s.perform()
	case e.tick && s.state == serving:
		s.armed = time.Time{}
		s.machine.Tick(time.Now(), &s.fx)
		s.perform()
	}
}

func (s *Shard) step(c Call) {
	_, writes := c.Command.(Writer)
	switch {
	case s.state == loading && s.stuck.Load():
		s.answer(c, nil, kerr.NotCoordinator)
	case s.state == loading:
		s.answer(c, nil, kerr.CoordinatorLoadInProgress)
	case writes && s.pendingBytes >= s.opt.PendingBytesMax:
		s.answer(c, nil, kerr.CoordinatorNotAvailable)
	default:
		s.lastTicket++
		s.calls[s.lastTicket] = c
		s.machine.Step(time.Now(), s.lastTicket, c.Command, &s.fx)
		s.perform()
	}
}

// perform carries out what the machine asked for: appends before replies, so that a reply never overtakes the append it announces.
func (s *Shard) perform() {
	for _, n := range s.fx.Notes {
		s.opt.Logger.Info(n.Message, n.Args...)
	}
	for _, a := range s.fx.Appends {
		s.append(a)
	}
	for _, a := range s.fx.Actions {
		s.opt.Do(a)
	}
	for _, r := range s.fx.Replies {
		c, ok := s.calls[r.Ticket]
		if !ok {
			panic("BUG: a call was answered twice, or never made")
		}
		delete(s.calls, r.Ticket)
		s.answer(c, r.Response, kerr.None)
	}
	s.fx.Reset()
}

func (s *Shard) append(a Append) {
	n := 0
	for _, r := range a.Records {
		n += len(r.Key) + len(r.Value)
	}
	inc := s.incarnation
	s.pending = append(s.pending, pendingAppend{inc, a, n})
	s.pendingBytes += n
	done := func(first base.Offset, err error) {
		s.post(event{appended: &appended{inc, a.Token, first, err}})
	}
	if a.Producer != nil || a.Marker != nil {
		s.opt.Log.(TxnLog).AppendTxn(a, done)
		return
	}
	s.opt.Log.Append(a.Records, done)
}

// completeAppend takes in how an append has ended. They become durable in order; but one that the partition refuses ends at once, while
// earlier ones are still under way.
func (s *Shard) completeAppend(a *appended) {
	i := slices.IndexFunc(s.pending, func(p pendingAppend) bool { return p.incarnation == a.incarnation && p.Token == a.token })
	if i < 0 || i > 0 && a.err == nil {
		panic("BUG: appends completed out of order")
	}
	p := s.pending[i]
	if i == 0 {
		s.pending[0] = pendingAppend{}
		s.pending = s.pending[1:]
	} else {
		s.pending = slices.Delete(s.pending, i, i+1)
	}
	s.pendingBytes -= p.bytes
	var refusal *Refusal
	switch {
	case a.incarnation != s.incarnation: // of the incarnation that failed
	case errors.As(a.err, &refusal):
		s.opt.Metrics.appends.WithLabelValues("refused").Inc()
		s.machine.(TxnMachine).Refused(time.Now(), p.Token, refusal.Code, &s.fx)
		s.perform()
	case a.err != nil:
		s.opt.Metrics.appends.WithLabelValues("failed").Inc()
		s.opt.Logger.Warn("coordinator append failed, loading anew", "partition", s.opt.Name, "error", a.err)
		s.failures++
		s.endIncarnation()
	default:
		s.opt.Metrics.appends.WithLabelValues("durable").Inc()
		s.failures = 0
		s.replayLive(p, a.first)
	}
	if s.machine == nil && len(s.pending) == 0 {
		s.startLoading()
	}
}

func (s *Shard) replayLive(p pendingAppend, first base.Offset) {
	now := time.Now()
	records := p.Records
	if p.Marker != nil {
		m := *p.Marker
		records = []Record{{Marker: &m}}
	}
	for i, r := range records {
		r.Offset, r.ProducerID = first+base.Offset(i), -1
		if p.Producer != nil {
			r.ProducerID = p.Producer.ID
		}
		if err := replay(s.machine, r); err != nil {
			panic("BUG: the coordinator cannot replay its own record: " + err.Error())
		}
	}
	s.opt.Metrics.records.Add(float64(len(records)))
	s.machine.Applied(now, p.Token, &s.fx)
	s.perform()
}

// replay hands one record of the log to a machine. Markers are nothing to those that know no transactions.
func replay(m Machine, r Record) error {
	if r.Marker == nil {
		return m.Replay(r)
	}
	if t, ok := m.(TxnMachine); ok {
		marker := *r.Marker
		marker.Offset = r.Offset
		return t.ReplayMarker(marker)
	}
	return nil
}

// endIncarnation throws the machine away and answers everybody who waits. Loading starts when the last append has ended.
func (s *Shard) endIncarnation() {
	s.incarnation++
	s.machine = nil
	s.fx = Effects{}
	waiting := s.calls
	s.calls = map[Ticket]Call{}
	s.enter(loading)
	for _, t := range slices.Sorted(maps.Keys(waiting)) { // in the order of the calls, not that of a map
		s.answer(waiting[t], nil, kerr.NotCoordinator)
	}
}

func (s *Shard) enter(to state) {
	if s.state == to {
		return
	}
	s.opt.Metrics.shards.WithLabelValues(stateNames[s.state]).Dec()
	s.state = to
	if to != closed {
		s.opt.Metrics.shards.WithLabelValues(stateNames[to]).Inc()
	}
}

// answer gives the one answer of a call, if this node may still give answers.
func (s *Shard) answer(c Call, response any, code kerr.Code) {
	s.mu.Lock()
	s.mu.waiting--
	s.mu.Unlock()
	if code == kerr.None && !s.opt.Gate() {
		code = kerr.NotCoordinator
	}
	if code != kerr.None {
		s.refuse(c, code)
		return
	}
	c.Reply(response)
}

func (s *Shard) refuse(c Call, code kerr.Code) {
	s.opt.Metrics.refused.WithLabelValues(code.String()).Inc()
	c.Fail(code)
}

// arm sets the timer to the machine's next deadline.
func (s *Shard) arm() {
	var next time.Time
	if s.state == serving {
		next, _ = s.machine.Next()
	}
	if next.Equal(s.armed) {
		return
	}
	s.armed = next
	if next.IsZero() {
		s.timer.Stop()
		return
	}
	s.timer.Reset(max(0, time.Until(next)))
}

// startLoading replays the log into a new machine on a goroutine of its own, for as long as it takes. A partition that takes no appends
// is not loaded over and over without a pause.
func (s *Shard) startLoading() {
	if s.ctx.Err() != nil {
		return
	}
	s.ended.Add(1)
	go s.load(s.failures)
}

func (s *Shard) load(failures int) {
	defer s.ended.Done()
	for ; ; failures++ {
		if failures > 0 && !s.pause(failures) {
			return
		}
		m, err := s.loadOnce()
		if s.ctx.Err() != nil {
			return
		}
		s.stuck.Store(err != nil)
		if err == nil {
			s.post(event{loaded: m})
			return
		}
		s.opt.Logger.Warn("coordinator could not be loaded, trying again", "partition", s.opt.Name, "error", err)
	}
}

// pause waits the longer the more failures there were in a row; false if the shard stops.
func (s *Shard) pause(failures int) bool {
	delay := min(s.opt.ReloadDelayMin<<min(failures-1, 20), s.opt.ReloadDelayMax)
	select {
	case <-s.ctx.Done():
		return false
	case <-time.After(delay/2 + rand.N(delay/2+1)):
		return true
	}
}

func (s *Shard) loadOnce() (Machine, error) {
	began := time.Now()
	m := s.opt.NewMachine()
	records := 0
	err := s.opt.Log.Replay(s.ctx, func(r Record) error {
		records++
		return replay(m, r)
	})
	s.opt.Metrics.records.Add(float64(records))
	if err != nil {
		return nil, err
	}
	s.opt.Metrics.loadTime.Observe(time.Since(began).Seconds())
	s.opt.Logger.Debug("coordinator loaded", "partition", s.opt.Name, "records", records, "took", time.Since(began))
	return m, nil
}
