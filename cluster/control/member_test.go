package control

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"sluice/base"
	"sluice/cluster/meta"
	"sluice/storage/objstore"
	"sluice/storage/objstore/mem"
)

// process is a member with its listener, as a broker would have.
type process struct {
	t      *testing.T
	m      *Member
	self   meta.NodeRef
	fenced chan error
	cut    atomic.Bool            // what the member writes to others is lost
	answer atomic.Pointer[func()] // is called when something comes from another member, whose connection then breaks
}

// lossy is a connection of a process whose writes may get lost.
type lossy struct {
	net.Conn
	of *process
}

func (c lossy) Write(b []byte) (int, error) {
	if c.of.cut.Load() {
		return len(b), nil
	}
	return c.Conn.Write(b)
}

func (c lossy) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if lost := c.of.answer.Swap(nil); lost != nil {
		(*lost)()
		c.Close()
		return 0, io.ErrUnexpectedEOF
	}
	return n, err
}

func (p *process) dial(ctx context.Context, addr string) (net.Conn, error) {
	c, err := dialPipe(ctx, addr)
	if err != nil {
		return nil, err
	}
	return lossy{c, p}, nil
}

type logTo struct{ t *testing.T }

func (w logTo) Write(b []byte) (int, error) {
	w.t.Logf("%s", b)
	return len(b), nil
}

var rollSlots uint64 // 0: the default

// join starts a member and registers it.
func join(t *testing.T, store objstore.Store, session time.Duration) *process {
	t.Helper()
	var log *slog.Logger
	if testing.Verbose() {
		log = slog.New(slog.NewTextHandler(logTo{t}, nil))
	}
	return joinLogging(t, store, session, log)
}

func joinLogging(t *testing.T, store objstore.Store, session time.Duration, log *slog.Logger) *process {
	t.Helper()
	p := &process{t: t, fenced: make(chan error, 1)}
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	m, err := Join(ctx, MemberOptions{
		Controller: Options{Store: store, Logger: log, RollSlots: rollSlots}, Former: base.NoNode, Session: session, OnFenced: func(err error) { p.fenced <- err }, Dial: p.dial,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.Close() })
	ln := listenPipe()
	m.Serve(ln)
	p.self, err = m.Register(ctx, &meta.Register{Incarnation: base.NewUUID(), Reclaim: base.NoNode, WAL: "s3",
		Endpoints: []meta.Endpoint{{Name: meta.PeerEndpoint, Host: "127.0.0.1", Port: int32(ln.port)}}})
	if err != nil {
		t.Fatal(err)
	}
	p.m = m
	return p
}

func (p *process) create(topic string) meta.TopicCreatedResult {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.t.Context(), 30*time.Second)
	defer cancel()
	res, err := Do[meta.TopicsCreated](ctx, p.m, &meta.CreateTopics{Topics: []meta.NewTopic{{Name: topic, Partitions: 2}}})
	if err != nil || res.Topics[0].Err != nil {
		p.t.Fatalf("create %s: %v %+v", topic, err, res)
	}
	if _, ok := p.m.Image().TopicByName(topic); !ok {
		p.t.Fatalf("%s is answered but not in the image", topic)
	}
	return res.Topics[0]
}

func (p *process) until(what string, ok func(*meta.Image) bool) {
	p.t.Helper()
	until(p.t, p.m, what, ok)
}

func live(img *meta.Image) (n int) {
	for node := range img.Nodes() {
		if !node.Fenced {
			n++
		}
	}
	return n
}

func TestMembersFollow(t *testing.T) {
	inVirtualTime(t, func(t *testing.T) {
		store := mem.New()
		a := join(t, store, 10*time.Second)
		b := join(t, store, 10*time.Second)
		c := join(t, store, 10*time.Second)
		if !a.m.IsController() || b.m.IsController() || c.m.IsController() {
			t.Fatal("the first is not the controller, or not alone")
		}
		for i, p := range []*process{a, b, c} {
			p.create(fmt.Sprintf("t%d", i))
		}
		for _, p := range []*process{a, b, c} {
			p.until("all topics", func(img *meta.Image) bool { return img.TopicCount() == 3 && live(img) == 3 })
		}
		if ctx := t.Context(); base.KindOf(errOf(b.m.Submit(ctx, &meta.CreateTopics{}))) == base.Unavailable {
			t.Fatal("a follower cannot submit")
		}
		res, err := Do[meta.TopicsCreated](t.Context(), c.m, &meta.CreateTopics{Topics: []meta.NewTopic{{Name: "t0", Partitions: 1}}})
		if err != nil || meta.CodeOf(res.Topics[0].Err) != meta.TopicExists {
			t.Fatalf("rejections within results do not travel: %v %+v", err, res)
		}
		_, err = c.m.Submit(t.Context(), &meta.PrepareObjects{Node: meta.NodeRef{ID: 99}, Count: 1})
		if meta.CodeOf(err) != meta.UnknownNode {
			t.Fatalf("rejections do not travel: %v", err)
		}
		for _, p := range []*process{a, b, c} {
			waitUntil(t, func() bool { return p.m.Contact() == nil })
		}
	})
}

func errOf(_ meta.Result, err error) error { return err }

// The controller goes away: another member takes over, commands go on, the lost node is fenced.
func TestControllerLost(t *testing.T) {
	inVirtualTime(t, func(t *testing.T) {
		store := mem.New()
		a := join(t, store, 1200*time.Millisecond)
		b := join(t, store, 1200*time.Millisecond)
		c := join(t, store, 1200*time.Millisecond)
		b.create("before")
		a.m.Close()
		b.create("b")
		c.create("c")
		if b.m.IsController() == c.m.IsController() {
			t.Fatal("there is not one controller")
		}
		for _, p := range []*process{b, c} {
			p.until("the first node is fenced", func(img *meta.Image) bool {
				n, _ := img.Node(a.self.ID)
				return n.Fenced && img.TopicCount() == 3 && live(img) == 2
			})
		}
	})
}

// A node that falls silent is fenced although its process is there, serves no reads from then on, and is told when it comes back.
func TestSilentNodeIsFenced(t *testing.T) {
	inVirtualTime(t, func(t *testing.T) {
		store := mem.New()
		a := join(t, store, 2*time.Second)
		b := join(t, store, 2*time.Second)
		c := join(t, store, 2*time.Second)
		waitUntil(t, func() bool { return c.m.Contact() == nil })
		c.cut.Store(true)
		a.until("the silent one is fenced", func(img *meta.Image) bool {
			n, _ := img.Node(c.self.ID)
			return n.Fenced && live(img) == 2
		})
		if c.m.Contact() == nil {
			t.Fatal("the node is fenced but would serve")
		}
		if b.m.Contact() != nil || len(c.fenced) != 0 {
			t.Fatal("another node lost contact, or the silent one learned of its end through a cut line")
		}
		c.cut.Store(false)
		if err := <-c.fenced; !base.IsKind(err, base.Fenced) {
			t.Fatal(err)
		}
	})
}

// The role moves on request, there and back, and no command is lost.
func TestTransfer(t *testing.T) {
	inVirtualTime(t, func(t *testing.T) {
		store := mem.New()
		a := join(t, store, 5*time.Second)
		b := join(t, store, 5*time.Second)
		for i := range 6 {
			from, to := a, b
			if i%2 == 1 {
				from, to = b, a
			}
			if !from.m.IsController() {
				t.Fatal("not the controller")
			}
			if err := from.m.Transfer(t.Context(), to.self.ID); err != nil {
				t.Fatal(err)
			}
			if !to.m.IsController() || from.m.Image().Controller().Node != to.self.ID {
				t.Fatal("transfer returned too early")
			}
			from.create(fmt.Sprintf("from%d", i))
			to.create(fmt.Sprintf("to%d", i))
			waitUntil(t, func() bool { return !from.m.IsController() })
		}
		if b.m.Image().Controller().Node != a.self.ID {
			t.Fatal("the controller is not named")
		}
	})
}

// A controller that rolls its log stays named, and followers go on.
func TestRollKeepsController(t *testing.T) {
	inVirtualTime(t, func(t *testing.T) {
		store := mem.New()
		rollSlots = 8
		defer func() { rollSlots = 0 }()
		a := join(t, store, 5*time.Second)
		b := join(t, store, 5*time.Second)
		for i := range 30 {
			b.create(fmt.Sprintf("t%d", i))
		}
		img := b.m.Image()
		if c := img.Controller(); c.Node != a.self.ID || c.Epoch < 3 || !a.m.IsController() {
			t.Fatalf("%+v", c)
		}
	})
}

// Many members begin at once on an empty bucket and agree.
func TestJoinAtOnce(t *testing.T) {
	inVirtualTime(t, func(t *testing.T) {
		store := mem.New()
		done := make(chan *process)
		for range 5 {
			go func() { done <- join(t, store, 3*time.Second) }()
		}
		var ps []*process
		for range 5 {
			ps = append(ps, <-done)
		}
		for _, p := range ps {
			p.until("all are there", func(img *meta.Image) bool { return live(img) == 5 })
			if p.m.Image().ClusterID() != ps[0].m.Image().ClusterID() {
				t.Fatal("two clusters")
			}
		}
	})
}

func TestElection(t *testing.T) {
	at := func(d time.Duration) time.Time { return time.UnixMilli(1_000_000).Add(d) }
	e := election{silence: 3 * time.Second, refusal: time.Second}
	if e.due(at(time.Hour), 0) {
		t.Fatal("nobody was missed")
	}
	e.missed(at(0), false)
	if e.due(at(2900*time.Millisecond), 0) || !e.due(at(3*time.Second), 0) || e.due(at(3*time.Second), 1) {
		t.Fatal("silence, by rank")
	}
	e.missed(at(0), true)
	if !e.due(at(time.Second), 0) {
		t.Fatal("refused connections")
	}
	e.wait(at(time.Second), time.Second)
	if e.due(at(1900*time.Millisecond), 0) || !e.due(at(2*time.Second), 0) {
		t.Fatal("told to wait")
	}
	e.heard()
	if e.due(at(time.Hour), 0) {
		t.Fatal("heard")
	}
}

// A member that takes over and is heeded by nobody is the one that is cut off: it disturbs the others less and less.
func TestElectionUnheeded(t *testing.T) {
	e := election{silence: 3 * time.Second, refusal: time.Second}
	now := time.UnixMilli(1_000_000)
	takeOver := func() (waited time.Duration) {
		t.Helper()
		for e.missed(now, false); !e.due(now.Add(waited), 0); waited += time.Second {
			if waited > time.Hour {
				t.Fatal("it never tries again")
			}
		}
		now = now.Add(waited)
		e.changed()
		return waited
	}
	for _, want := range []time.Duration{3, 6, 12, 24, 48, 96, 96} {
		if got := takeOver(); got != want*time.Second {
			t.Fatalf("waited %v, want %d s", got, want)
		}
		e.deposed(false)
		e.changed()
	}
	e.missed(now, true)
	if !e.due(now.Add(time.Second), 0) {
		t.Fatal("a process that is gone is not waited for")
	}
	e.changed()
	takeOver()
	e.deposed(true)
	if got := takeOver(); got != 3*time.Second {
		t.Fatalf("after it was heeded it waited %v", got)
	}
	e.deposed(false)
	e.heard()
	if got := takeOver(); got != 3*time.Second {
		t.Fatalf("after it heard a controller it waited %v", got)
	}
}

// A controller that hears nobody fences everybody, and the image then says that nobody else lives. When one of the others takes over all the same, it has
// to be given time to register: two members took the role from each other for ever, when each time the deaf one took it back at once.
func TestElectionRival(t *testing.T) {
	e := election{silence: 3 * time.Second, refusal: time.Second}
	if !e.alone(true) || e.alone(false) || !e.gone() {
		t.Fatal("who starts alone waits for nobody")
	}
	e.won()
	if !e.alone(true) {
		t.Fatal("who is the controller alone waits for nobody")
	}
	e.deposed(false)
	if e.alone(true) || e.gone() {
		t.Fatal("whoever took over lives")
	}
	now := time.UnixMilli(1_000_000)
	e.missed(now, e.gone())
	if e.due(now.Add(5*time.Second), 0) || !e.due(now.Add(6*time.Second), 0) {
		t.Fatal("a rival that does not register is waited for as for one that is silent")
	}
	e.heard()
	if !e.alone(true) || !e.gone() {
		t.Fatal("who was heard of and has left is not waited for")
	}
}

func TestSessions(t *testing.T) {
	at := func(d time.Duration) time.Time { return time.UnixMilli(1_000_000).Add(d) }
	refs := []meta.NodeRef{{ID: 1, Epoch: 1}, {ID: 2, Epoch: 2}, {ID: 3, Epoch: 3}}
	s := newSessions(6*time.Second, time.Second)
	s.observe(refs, at(0))
	s.heard(refs[0], at(5*time.Second))
	s.heard(refs[1], at(5*time.Second))
	if got := s.over(at(6 * time.Second)); len(got) != 1 || got[refs[2]] == "" {
		t.Fatalf("one is over: %v", got)
	}
	s.probed(refs[1], true, at(6*time.Second))
	if got := s.over(at(7 * time.Second)); len(got) != 2 || got[refs[1]] == "" {
		t.Fatalf("one is gone: %v", got)
	}
	s.probed(refs[1], false, at(7*time.Second))
	// All three are silent: a session more.
	if got := s.over(at(11 * time.Second)); len(got) != 0 {
		t.Fatalf("all at once: %v", got)
	}
	if got := s.over(at(17 * time.Second)); len(got) != 3 {
		t.Fatalf("after another session: %v", got)
	}
	s.forgive(20 * time.Second)
	if got := s.over(at(17 * time.Second)); len(got) != 0 {
		t.Fatalf("forgiven: %v", got)
	}
	s.observe(refs[:1], at(20*time.Second))
	if len(s.nodes) != 1 {
		t.Fatal("nodes that are gone are kept")
	}
}

// The connection of a member to its own server ends with the member, and is not one that was lost.
func TestCloseLosesNoConnection(t *testing.T) {
	inVirtualTime(t, func(t *testing.T) {
		var log bytes.Buffer
		p := joinLogging(t, mem.New(), 10*time.Second, slog.New(slog.NewTextHandler(&log, nil)))
		if _, err := p.m.Ask(t.Context(), p.self.ID, methodPing, nil); err != nil {
			t.Fatal(err)
		}
		p.m.Close()
		if strings.Contains(log.String(), "was lost") {
			t.Errorf("the log has\n%s", &log)
		}
	})
}
