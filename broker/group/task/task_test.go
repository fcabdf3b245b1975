package task

import (
	"fmt"
	"reflect"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// group is one that lives through changes of members and topology.
type group struct {
	members  []Member
	topology []Subtopology
	standbys int
}

func (g *group) change(t *rapid.T) {
	switch rapid.IntRange(0, 4).Draw(t, "change") {
	case 0, 1:
		m := Member{ID: fmt.Sprintf("m%d", rapid.IntRange(0, 9).Draw(t, "id")), Process: fmt.Sprintf("p%d", rapid.IntRange(0, 3).Draw(t, "process"))}
		i, known := slices.BinarySearchFunc(g.members, m, func(a, b Member) int { return ID{Subtopology: a.ID}.Compare(ID{Subtopology: b.ID}) })
		if !known {
			g.members = slices.Insert(g.members, i, m)
		}
	case 2:
		if n := len(g.members); n > 0 {
			i := rapid.IntRange(0, n-1).Draw(t, "leaves")
			g.members = slices.Delete(g.members, i, i+1)
		}
	case 3:
		g.standbys = rapid.IntRange(0, 3).Draw(t, "standbys")
	case 4:
		g.topology[rapid.IntRange(0, len(g.topology)-1).Draw(t, "which")].Tasks += int32(rapid.IntRange(1, 3).Draw(t, "more"))
	}
}

func (g *group) assign() []Target {
	targets := Assign(g.members, g.topology, g.standbys)
	for i := range g.members {
		g.members[i].Active, g.members[i].Standby = targets[i].Active, targets[i].Standby
	}
	return targets
}

// check looks at invariants 1 to 3.
func (g *group) check(t *rapid.T, targets []Target) {
	processes := map[string]map[ID]bool{}
	for _, m := range g.members {
		processes[m.Process] = map[ID]bool{}
	}
	active, standby := map[ID]int{}, map[ID]int{}
	least, most := 1<<30, 0
	for i, target := range targets {
		for _, id := range slices.Concat(target.Active, target.Standby) {
			if has := processes[g.members[i].Process]; has[id] {
				t.Fatalf("process %s has %v twice", g.members[i].Process, id)
			} else {
				has[id] = true
			}
		}
		for _, id := range target.Active {
			active[id]++
		}
		for _, id := range target.Standby {
			standby[id]++
		}
		least, most = min(least, len(target.Active)), max(most, len(target.Active))
	}
	if len(g.members) == 0 {
		return
	}
	n := 0
	for _, s := range g.topology {
		for p := range s.Tasks {
			id := ID{s.ID, p}
			want := 0
			if s.Stateful {
				want = min(g.standbys, len(processes)-1)
			}
			if active[id] != 1 || standby[id] != want {
				t.Fatalf("%v is active %d times, standby %d times, not %d", id, active[id], standby[id], want)
			}
			delete(standby, id)
			n++
		}
	}
	if len(active) != n || len(standby) != 0 {
		t.Fatalf("%d tasks are active, not %d; standby beside: %v", len(active), n, standby)
	}
	if most-least > 1 {
		t.Fatalf("a member has %d active tasks, another %d", most, least)
	}
}

// TestAssign: invariants 1 to 4, whatever happened before.
func TestAssign(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		g := &group{topology: []Subtopology{{"0", 3, false}, {"1", 4, true}, {"2", 1, true}}}
		for range rapid.IntRange(1, 12).Draw(t, "changes") {
			g.change(t)
			g.check(t, g.assign())
		}
		before := g.assign()
		if again := g.assign(); !reflect.DeepEqual(before, again) {
			t.Fatalf("%v, and then %v", before, again)
		}
	})
}

// TestActiveStays: who is not above its share loses nothing when a member joins, and what a member leaves behind becomes active where it was a
// standby.
func TestActiveStays(t *testing.T) {
	g := &group{topology: []Subtopology{{"0", 6, true}}, standbys: 1}
	g.members = []Member{{ID: "a", Process: "a"}, {ID: "b", Process: "b"}}
	before := g.assign()
	g.members = append(g.members, Member{ID: "c", Process: "c"})
	after := g.assign()
	for i := range before {
		if len(after[i].Active) != 2 || slices.ContainsFunc(after[i].Active, func(id ID) bool { return !slices.Contains(before[i].Active, id) }) {
			t.Errorf("%v became %v", before[i], after[i])
		}
	}
	g.members = slices.Delete(g.members, 0, 1)
	last := g.assign()
	for i := range last {
		for _, id := range last[i].Active {
			if !slices.Contains(after[i+1].Active, id) && !slices.Contains(after[i+1].Standby, id) {
				t.Errorf("%v is active at %s, which did not know it", id, g.members[i].ID)
			}
		}
	}
}
