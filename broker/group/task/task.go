package task

import (
	"cmp"
	"slices"
	"strings"
)

// ID names a task.
type ID struct {
	Subtopology string
	Partition   int32
}

// Compare orders tasks by subtopology, then partition.
func (t ID) Compare(o ID) int {
	if c := strings.Compare(t.Subtopology, o.Subtopology); c != 0 {
		return c
	}
	return cmp.Compare(t.Partition, o.Partition)
}

// Subtopology is a part of a topology whose tasks run together.
type Subtopology struct {
	ID    string
	Tasks int32
	// Stateful says that it has a changelog that a standby task can follow.
	Stateful bool
}

// Member is a member of a group, with its target so far, which may have tasks that are gone.
type Member struct {
	ID      string
	Process string
	Active  []ID
	Standby []ID
}

// Target is what a member is to have, ascending.
type Target struct{ Active, Standby []ID }

// Assign computes the targets of members, which are ascending by id, in their order.
func Assign(members []Member, topology []Subtopology, standbys int) []Target {
	a := newAssignment(members, topology, standbys)
	a.assignActive(topology)
	if standbys > 0 {
		a.assignStandby(topology, standbys)
	}
	out := make([]Target, len(members))
	for i := range a.members {
		out[i] = Target{a.members[i].active, a.members[i].standby}
		slices.SortFunc(out[i].Active, ID.Compare)
		slices.SortFunc(out[i].Standby, ID.Compare)
	}
	return out
}

// assignment is the work in progress.
type assignment struct {
	members []worker
	active  map[ID]int // who had a task active, by index
	standby map[ID][]int
	quota   quota // of active tasks
	total   quota // of all
}

type worker struct {
	process         *process
	active, standby []ID
}

func (w *worker) count() int { return len(w.active) + len(w.standby) }

type process struct {
	members int
	tasks   map[ID]struct{}
}

// less reports whether p has a smaller load than o: tasks by member.
func (p *process) less(o *process) bool { return len(p.tasks)*o.members < len(o.tasks)*p.members }

func (p *process) has(t ID) bool {
	_, ok := p.tasks[t]
	return ok
}

// quota is how many tasks a member may keep: its share of what is left to those that have not got theirs.
type quota struct{ tasks, members, each int }

func newQuota(tasks, members int) quota {
	q := quota{tasks: tasks, members: members}
	q.share()
	return q
}

func (q *quota) share() {
	q.each = 0
	if q.members > 0 {
		q.each = (q.tasks + q.members - 1) / q.members
	}
}

// reached takes in that a member has so many tasks now.
func (q *quota) reached(n int) {
	if n == q.each {
		q.members--
		q.tasks -= n
		q.share()
	}
}

func newAssignment(members []Member, topology []Subtopology, standbys int) *assignment {
	a := &assignment{members: make([]worker, len(members)), active: map[ID]int{}, standby: map[ID][]int{}}
	active, total := 0, 0
	for _, s := range topology {
		active += int(s.Tasks)
		if s.Stateful {
			total += int(s.Tasks) * standbys
		}
	}
	a.quota, a.total = newQuota(active, len(members)), newQuota(active+total, len(members))
	byName := map[string]*process{}
	for i, m := range members {
		p := byName[m.Process]
		if p == nil {
			p = &process{tasks: map[ID]struct{}{}}
			byName[m.Process] = p
		}
		p.members++
		a.members[i].process = p
		for _, t := range m.Active {
			a.active[t] = i
		}
		for _, t := range m.Standby {
			a.standby[t] = append(a.standby[t], i)
		}
	}
	return a
}

// tasks returns all tasks of subtopologies, by partition first: what was dealt in ranges is dealt with pairwise.
func tasks(topology []Subtopology, stateful bool) (all []ID) {
	for _, s := range topology {
		for p := range s.Tasks {
			if s.Stateful || !stateful {
				all = append(all, ID{s.ID, p})
			}
		}
	}
	slices.SortFunc(all, func(x, y ID) int {
		if c := cmp.Compare(x.Partition, y.Partition); c != 0 {
			return c
		}
		return strings.Compare(x.Subtopology, y.Subtopology)
	})
	return all
}

func (a *assignment) give(i int, t ID, active bool) {
	w := &a.members[i]
	w.process.tasks[t] = struct{}{}
	if active {
		w.active = append(w.active, t)
		a.quota.reached(w.count())
	} else {
		w.standby = append(w.standby, t)
	}
	a.total.reached(w.count())
}

func (a *assignment) assignActive(topology []Subtopology) {
	left := slices.DeleteFunc(tasks(topology, false), func(t ID) bool {
		i, ok := a.active[t]
		if ok = ok && a.members[i].count() < a.quota.each; ok {
			a.give(i, t, true)
		}
		return ok
	})
	left = slices.DeleteFunc(left, func(t ID) bool {
		i := a.followed(t)
		if i < 0 || a.members[i].count() >= a.quota.each {
			return false
		}
		a.give(i, t, true)
		return true
	})
	slices.SortFunc(left, ID.Compare) // so that a first assignment is one of ranges
	for _, t := range left {
		if i := a.leastLoaded(nil, t); i >= 0 {
			a.give(i, t, true)
		}
	}
}

func (a *assignment) assignStandby(topology []Subtopology, standbys int) {
	type missing struct {
		task ID
		n    int
	}
	var rest []missing
	stateful := tasks(topology, true)
	slices.Reverse(stateful)
	for _, t := range stateful {
		for n := standbys; n > 0; n-- {
			if i := a.mayFollow(t); i >= 0 {
				a.give(i, t, false)
				continue
			}
			rest = append(rest, missing{t, n})
			break
		}
	}
	slices.SortFunc(rest, func(x, y missing) int { return y.task.Compare(x.task) })
	for _, r := range rest {
		for range r.n {
			if i := a.leastLoaded(nil, r.task); i >= 0 {
				a.give(i, r.task, false)
			}
		}
	}
}

// mayFollow returns a member that had a task and has room for it as a standby, -1 if there is none.
func (a *assignment) mayFollow(t ID) int {
	fits := func(i int) bool { return !a.members[i].process.has(t) && a.members[i].count() < a.total.each }
	if i, ok := a.active[t]; ok && fits(i) {
		return i
	}
	if i := a.followed(t); i >= 0 && fits(i) {
		return i
	}
	return -1
}

// followed returns the member with the fewest tasks of those where a task was a standby, -1 if there is none.
func (a *assignment) followed(t ID) int {
	if len(a.standby[t]) == 0 {
		return -1
	}
	return a.leastLoaded(a.standby[t], t)
}

// leastLoaded returns the member with the fewest tasks of those whose process does not have the task, among some members, or, if none are given,
// all; -1 if there is none. Of equals the one whose process has the smaller load is taken. Members are gone through one by one: a group has some
// hundreds.
func (a *assignment) leastLoaded(among []int, t ID) int {
	best := -1
	look := func(i int) {
		w := &a.members[i]
		if w.process.has(t) {
			return
		}
		if best >= 0 {
			b := &a.members[best]
			if n := w.count() - b.count(); n > 0 || n == 0 && !w.process.less(b.process) {
				return
			}
		}
		best = i
	}
	if among != nil {
		for _, i := range among {
			look(i)
		}
		return best
	}
	for i := range a.members {
		look(i)
	}
	return best
}
