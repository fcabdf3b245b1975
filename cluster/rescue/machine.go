package rescue

import (
	"cmp"
	"slices"
	"time"

	"sluice/base"
	"sluice/cluster/meta"
)

// machine decides from images what this node does about fenced node epochs: which jobs start, which stop, which wait for their next
// try. It is told of new images and of the ends of jobs; what it decides is in what step returns.
type machine struct {
	self     meta.NodeRef
	parallel int                   // jobs of one kind at a time
	local    func(url string) bool // only the node id that wrote the WAL can reach it
	retryMin time.Duration
	tasks    map[meta.NodeRef]*task // by victim
	running  [jobKinds]int
	failed   map[meta.NodeRef]failure // by victim; also of grants that went to another since
}

// failure is what the controller is told of a grant that this node could not carry out. It is remembered for a while after the grant has gone to
// another node, so that it does not come back before every node has had it.
type failure struct {
	grant uint64
	err   error
	until time.Time
}

func newMachine(self meta.NodeRef, parallel int, retryMin time.Duration, local func(string) bool) *machine {
	return &machine{self: self, parallel: parallel, retryMin: retryMin, local: local, tasks: map[meta.NodeRef]*task{}, failed: map[meta.NodeRef]failure{}}
}

// jobKind is what can be done about a rescue. Each kind is one step of its life, and begins from what an image says.
type jobKind uint8

const (
	askJob    jobKind = iota // have the rescue granted to this node
	rescueJob                // carry out the grant
	cleanJob                 // remove the WAL of a completed rescue, and forget it
	jobKinds  int     = iota
)

func (k jobKind) String() string { return [...]string{"ask", "rescue", "clean"}[k] }

// job is a piece of work: the rescue as the image has it.
type job struct {
	kind   jobKind
	rescue meta.Rescue
}

// task is what the machine knows of a victim.
type task struct {
	job      job // as last wanted or started
	running  bool
	stopping bool // it was told to stop
	wanted   bool
	over     bool // the image shows that it has done what it is for: it is about to end
	next     bool // what is wanted instead, as soon as it has ended, is not done either
	tries    int  // that failed, one after the other
	retryAt  time.Time
	err      error // of the last try
}

// action is a decision: start the job, or stop the one that runs for its victim.
type action struct {
	stop bool
	job  job
}

// want says what this node has to do about a rescue.
func (m *machine) want(img *meta.Image, r meta.Rescue) (jobKind, bool) {
	own, local := r.Victim.ID == m.self.ID, m.local(r.WAL)
	switch {
	case r.State == meta.RescueDone:
		return cleanJob, m.cleans(img, r, own, local)
	case r.State == meta.RescueGranted && r.Rescuer == m.self:
		return rescueJob, true
	default:
		return askJob, own && local
	}
}

// cleans reports whether this node removes the WAL of a completed rescue: who completed it does, or if that one is gone, the node that owns a
// local WAL, or the controller's node.
func (m *machine) cleans(img *meta.Image, r meta.Rescue, own, local bool) bool {
	switch {
	case r.Rescuer == m.self:
		return true
	case img.Current(r.Rescuer):
		return false
	case local:
		return own
	default:
		return img.Controller().Node == m.self.ID
	}
}

// step takes in an image and the time. Besides what is to be done it returns when to call again at the latest; zero: not by itself.
func (m *machine) step(img *meta.Image, now time.Time) (acts []action, wake time.Time) {
	m.observe(img)
	for v, t := range m.tasks {
		switch {
		case t.wanted || t.stopping || t.over:
		case t.running:
			t.stopping = true
			acts = append(acts, action{stop: true, job: t.job})
		default:
			delete(m.tasks, v)
		}
	}
	slices.SortFunc(acts, func(a, b action) int { return byVictim(a.job, b.job) })
	for _, t := range m.inOrder() {
		switch {
		case !t.wanted || t.running || m.running[t.job.kind] >= m.parallel:
		case now.Before(t.retryAt):
			if wake.IsZero() || t.retryAt.Before(wake) {
				wake = t.retryAt
			}
		default:
			t.running = true
			m.running[t.job.kind]++
			acts = append(acts, action{job: t.job})
		}
	}
	return acts, wake
}

// observe notes what is wanted according to the image. A task whose job has become another one is not wanted until it has ended; what it
// becomes then is a task of its own, without the former's failures.
func (m *machine) observe(img *meta.Image) {
	for _, t := range m.tasks {
		t.wanted, t.over, t.next = false, false, false
	}
	for v := range m.failed {
		if r, ok := img.Rescue(v); !ok || r.State == meta.RescueDone {
			delete(m.failed, v)
		}
	}
	if !img.Current(m.self) {
		return
	}
	for r := range img.Rescues() {
		kind, ok := m.want(img, r)
		if !ok {
			continue
		}
		t := m.tasks[r.Victim]
		same := t != nil && t.job.kind == kind && (kind == askJob || t.job.rescue.Grant == r.Grant)
		switch {
		case same && !t.running:
			t.job.rescue = r // commits of the last try have moved the trim
		case same:
		case t != nil && t.running:
			t.next = kind != cleanJob
			t.over = t.job.kind == askJob && kind == rescueJob || t.job.kind == rescueJob && kind == cleanJob && t.job.rescue.Grant == r.Grant
			continue
		default:
			t = &task{job: job{kind, r}}
			m.tasks[r.Victim] = t
		}
		t.wanted = true
	}
}

// inOrder returns the tasks, those first that failed least recently and whose victims were fenced first.
func (m *machine) inOrder() []*task {
	all := make([]*task, 0, len(m.tasks))
	for _, t := range m.tasks {
		all = append(all, t)
	}
	slices.SortFunc(all, func(a, b *task) int {
		return cmp.Or(a.retryAt.Compare(b.retryAt), cmp.Compare(a.job.rescue.FencedMS, b.job.rescue.FencedMS), byVictim(a.job, b.job))
	})
	return all
}

func byVictim(a, b job) int {
	x, y := a.rescue.Victim, b.rescue.Victim
	return cmp.Or(cmp.Compare(x.ID, y.ID), cmp.Compare(x.Epoch, y.Epoch))
}

// ended takes in how the job of a victim ended. The next step decides what follows. A job that succeeded and is still wanted waits as well:
// the image is late.
func (m *machine) ended(victim meta.NodeRef, err error, now time.Time) {
	t := m.tasks[victim]
	m.running[t.job.kind]--
	t.running = false
	if t.stopping {
		delete(m.tasks, victim)
		return
	}
	if t.err = err; err == nil {
		t.tries = 0
		delete(m.failed, victim)
	} else {
		t.tries++
		m.note(t, now)
	}
	pause := min(m.retryMin<<min(max(t.tries-1, 0), 16), retryMax)
	if fateOf(err) == fatePerson {
		pause = max(pause, retryPerson)
	}
	t.retryAt = now.Add(pause)
}

// note remembers a failure that another node may be spared. Where a bucket or a mount does not answer, one more try is made first.
func (m *machine) note(t *task, now time.Time) {
	if t.job.kind != rescueJob || t.tries < 2 && base.IsKind(t.err, base.Unavailable) {
		return
	}
	switch fateOf(t.err) {
	case fateReach:
		m.hold(t, t.err, now.Add(reachKeep))
	case fatePerson:
		m.hold(t, t.err, now.Add(personKeep))
	}
}

func (m *machine) hold(t *task, err error, until time.Time) {
	m.failed[t.job.rescue.Victim] = failure{t.job.rescue.Grant, err, until}
}

// stuck is told of a job that was stopped and had made no progress for long.
func (m *machine) stuck(victim meta.NodeRef, err error, now time.Time) {
	m.hold(m.tasks[victim], err, now.Add(reachKeep))
}

// entry is a rescue that this node has to carry out, for those who ask.
type entry struct {
	victim meta.NodeRef
	grant  uint64
	err    error // of the last try; nil: none failed yet, or the last one that did has been followed by progress
}

// open returns the rescues that are not done and that this node has to do, in the order of the victims.
func (m *machine) open() (all []entry) {
	for _, t := range m.tasks {
		if t.next || t.wanted && t.job.kind != cleanJob {
			e := entry{t.job.rescue.Victim, t.job.rescue.Grant, t.err}
			if t.next {
				e.err = nil
			}
			all = append(all, e)
		}
	}
	slices.SortFunc(all, func(a, b entry) int {
		return cmp.Or(cmp.Compare(a.victim.ID, b.victim.ID), cmp.Compare(a.victim.Epoch, b.victim.Epoch))
	})
	return all
}
