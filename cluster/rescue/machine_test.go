package rescue

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"sluice/base"
	"sluice/cluster/meta"
)

// story drives a machine by hand: time stands still unless the test moves it.
type story struct {
	t *testing.T
	*cluster
	m   *machine
	now time.Time
}

func newStory(t *testing.T) *story {
	return &story{t: t, cluster: newCluster(t), now: time.Unix(1000, 0)}
}

// node registers a node. WALs that begin with local are local.
func (s *story) node(wal string, reclaim base.NodeID) meta.NodeRef {
	return do[meta.Registered](s.t, s, &meta.Register{Incarnation: base.UUID{s.next()}, Reclaim: reclaim, WAL: wal}).Node
}

func (s *story) next() byte { s.mu.n++; return s.mu.n + 100 }

func (s *story) be(self meta.NodeRef) {
	s.m = newMachine(self, 2, time.Second, func(url string) bool { return strings.HasPrefix(url, "local") })
}

func (s *story) fence(v meta.NodeRef) { do[meta.Done](s.t, s, &meta.FenceNode{Node: v}) }

func (s *story) grant(v, to meta.NodeRef) {
	do[meta.Granted](s.t, s, &meta.GrantRescue{Victim: v, Rescuer: to})
}

// step checks what the machine does now, like "rescue 1-1, stop 2-2; wake in 1s".
func (s *story) step(want string) {
	s.t.Helper()
	acts, wake := s.m.step(s.Image(), s.now)
	var got []string
	for _, a := range acts {
		what := a.job.kind.String()
		if a.stop {
			what = "stop"
		}
		got = append(got, fmt.Sprintf("%s %d-%d", what, a.job.rescue.Victim.ID, a.job.rescue.Victim.Epoch))
	}
	text := strings.Join(got, ", ")
	if !wake.IsZero() {
		text += fmt.Sprintf("; wake in %v", wake.Sub(s.now))
	}
	if text != want {
		s.t.Fatalf("got %q, want %q", text, want)
	}
}

// open checks which rescues the machine has yet to do.
func (s *story) open(want ...meta.NodeRef) {
	s.t.Helper()
	var got []meta.NodeRef
	for _, e := range s.m.open() {
		got = append(got, e.victim)
	}
	if !slices.Equal(got, want) {
		s.t.Fatalf("open: %v, want %v", got, want)
	}
}

// A grant for this node is carried out, another's is not; when it is done the WAL is removed by the one who did it.
func TestMachineGrant(t *testing.T) {
	s := newStory(t)
	a, b, self := s.node("s3", base.NoNode), s.node("s3", base.NoNode), s.node("s3", base.NoNode)
	s.be(self)
	s.step("")
	s.fence(a)
	s.fence(b)
	s.step("")
	s.grant(a, self)
	s.step("rescue 1-1")
	s.step("")
	do[meta.Done](t, s, &meta.CompleteRescue{Victim: a, Grant: 1})
	s.m.ended(a, nil, s.now)
	s.step("clean 1-1")
	do[meta.Done](t, s, &meta.ForgetRescue{Victim: a})
	s.m.ended(a, nil, s.now)
	s.step("")
	if len(s.m.tasks) != 0 || s.m.running != [jobKinds]int{} {
		t.Fatalf("left over: %v %v", s.m.tasks, s.m.running)
	}
}

// A grant that goes to another stops the job. The same victim granted to this node again is begun when the old job has ended, not before,
// and without its failures.
func TestMachineVoidGrant(t *testing.T) {
	s := newStory(t)
	a, self, other := s.node("s3", base.NoNode), s.node("s3", base.NoNode), s.node("s3", base.NoNode)
	s.be(self)
	s.fence(a)
	s.grant(a, self)
	s.step("rescue 1-1")
	s.grant(a, other)
	s.step("stop 1-1")
	s.step("")
	s.open()
	s.grant(a, self)
	s.step("")
	s.open(a)
	s.m.ended(a, base.Errorf(base.Unavailable, "stopped"), s.now)
	s.step("rescue 1-1")
	if got := s.m.tasks[a]; got.job.rescue.Grant != 3 || got.tries != 0 {
		t.Fatalf("%+v", got)
	}
}

// A node that is fenced itself stops everything.
func TestMachineFenced(t *testing.T) {
	s := newStory(t)
	a, b, self := s.node("s3", base.NoNode), s.node("s3", base.NoNode), s.node("s3", base.NoNode)
	s.be(self)
	s.fence(a)
	s.fence(b)
	s.grant(a, self)
	s.grant(b, self)
	s.step("rescue 1-1, rescue 2-2")
	s.fence(self)
	s.step("stop 1-1, stop 2-2")
	s.m.ended(a, nil, s.now)
	s.m.ended(b, nil, s.now)
	s.step("")
	s.now = s.now.Add(time.Hour)
	s.step("")
}

// Failures are retried after growing pauses, which hold no place for others; what a person has to look at is retried slowly.
func TestMachineRetry(t *testing.T) {
	s := newStory(t)
	a, b, c, self := s.node("s3", base.NoNode), s.node("s3", base.NoNode), s.node("s3", base.NoNode), s.node("s3", base.NoNode)
	s.be(self)
	for _, v := range []meta.NodeRef{a, b, c} {
		s.fence(v)
		s.grant(v, self)
	}
	s.step("rescue 1-1, rescue 2-2")
	s.m.ended(a, base.Errorf(base.Unavailable, "down"), s.now)
	s.step("rescue 3-3")
	s.m.ended(b, base.Errorf(base.Corrupt, "damaged"), s.now)
	s.step("; wake in 1s")
	s.now = s.now.Add(time.Second)
	s.step("rescue 1-1") // with 3-3 all places are taken: an end is what is waited for
	for i, pause := range []time.Duration{2, 4, 8, 10, 10} {
		s.m.ended(a, base.Errorf(base.Unavailable, "down"), s.now)
		s.step(fmt.Sprintf("; wake in %v", pause*time.Second))
		s.now = s.now.Add(pause * time.Second)
		if i < 4 {
			s.step("rescue 1-1")
		}
	}
	open := s.m.open()
	if len(open) != 3 || !slices.ContainsFunc(open, func(e entry) bool { return e.victim == b && fateOf(e.err) == fatePerson }) {
		t.Fatalf("%+v", open)
	}
}

// A job that succeeded although the image is late is not begun at once again; the trim that its commits moved is taken from the image.
func TestMachineLateImage(t *testing.T) {
	s := newStory(t)
	a, self := s.node("s3", base.NoNode), s.node("s3", base.NoNode)
	s.be(self)
	s.fence(a)
	s.grant(a, self)
	s.step("rescue 1-1")
	s.m.ended(a, nil, s.now)
	s.step("; wake in 1s")
	do[meta.UploadDone](t, s, &meta.CommitUpload{Node: a, Grant: 1, Number: 1, Trim: 7})
	s.now = s.now.Add(time.Second)
	s.step("rescue 1-1")
	if got := s.m.tasks[a].job.rescue; got.WALTrim != 7 || got.LastUpload != 1 {
		t.Fatalf("%+v", got)
	}
}

// Local WALs: the node that owns the id asks for the grant, whoever holds it; nobody else does anything.
func TestMachineLocal(t *testing.T) {
	s := newStory(t)
	first, other := s.node("local", base.NoNode), s.node("s3", base.NoNode)
	s.fence(first)
	s.be(other)
	s.step("")
	self := s.node("local", first.ID)
	s.step("")
	s.be(self)
	s.step("ask 1-1")
	s.open(first)
	s.grant(first, other)
	s.open(first)
	s.m.ended(first, nil, s.now)
	s.step("; wake in 1s")
	s.now = s.now.Add(time.Second)
	s.step("ask 1-1")
	s.grant(first, self)
	s.step("")
	s.open(first) // also between the jobs
	s.m.ended(first, nil, s.now)
	s.step("rescue 1-1")
	s.open(first)
	do[meta.Done](s.t, s, &meta.CompleteRescue{Victim: first, Grant: 2})
	s.step("")
	s.open()
	s.m.ended(first, nil, s.now)
	s.step("clean 1-1")
	s.open()
}

// Who cleans up: the rescuer; if it is gone, the controller's node, and for a local WAL its owner.
func TestMachineClean(t *testing.T) {
	s := newStory(t)
	shared, local := s.node("s3", base.NoNode), s.node("local", base.NoNode)
	rescuer, controller, bystander := s.node("s3", base.NoNode), s.node("s3", base.NoNode), s.node("s3", base.NoNode)
	do[meta.Done](t, s, &meta.NameController{Node: controller})
	for i, v := range []meta.NodeRef{shared, local} {
		s.fence(v)
		s.grant(v, rescuer)
		do[meta.Done](t, s, &meta.CompleteRescue{Victim: v, Grant: uint64(i) + 1})
	}
	is := func(self meta.NodeRef, want string) {
		t.Helper()
		s.be(self)
		s.step(want)
	}
	is(controller, "")
	is(bystander, "")
	is(rescuer, "clean 1-1, clean 2-2")
	s.fence(rescuer)
	is(rescuer, "")
	is(bystander, "")
	is(controller, "clean 1-1")
	is(s.node("local", local.ID), "clean 2-2")
	is(s.node("s3", rescuer.ID), "")
}

// A failure is reported once it is one: an answer that did not come is asked for again first. It stays reported for a while when the
// grant has gone to another, and goes with the rescue.
func TestMachineFailures(t *testing.T) {
	s := newStory(t)
	a, b, self, other := s.node("s3", base.NoNode), s.node("s3", base.NoNode), s.node("s3", base.NoNode), s.node("s3", base.NoNode)
	s.be(self)
	failing := func(want ...meta.NodeRef) {
		t.Helper()
		for _, v := range want {
			if _, ok := s.m.failed[v]; !ok {
				t.Fatalf("%v is missing in %v", v, s.m.failed)
			}
		}
		if len(s.m.failed) != len(want) {
			t.Fatalf("got %v, want %v", s.m.failed, want)
		}
	}
	for _, v := range []meta.NodeRef{a, b} {
		s.fence(v)
		s.grant(v, self)
	}
	s.step("rescue 1-1, rescue 2-2")
	s.m.ended(a, base.Errorf(base.Unavailable, "down"), s.now)
	s.m.ended(b, base.Errorf(base.NotFound, "no such directory"), s.now)
	failing(b)
	s.now = s.now.Add(time.Second)
	s.step("rescue 1-1, rescue 2-2")
	s.m.ended(a, base.Errorf(base.Unavailable, "down"), s.now)
	s.m.ended(b, base.Errorf(base.Fenced, "void"), s.now)
	failing(a, b)
	s.grant(a, other)
	s.grant(b, other)
	s.step("")
	failing(a, b)
	do[meta.Done](t, s, &meta.CompleteRescue{Victim: a, Grant: 3})
	s.step("")
	failing(b)
	s.grant(b, self)
	s.now = s.now.Add(time.Minute)
	s.step("rescue 2-2")
	s.m.ended(b, nil, s.now)
	failing()
}
