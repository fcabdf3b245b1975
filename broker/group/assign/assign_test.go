package assign

import (
	"fmt"
	"reflect"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"sluice/base"
)

func topic(n int) base.UUID { return base.UUID{byte(n + 1)} }

// world is a group that lives through changes of members, subscriptions and topics.
type world struct {
	sizes   []int32
	members []Member
}

func (w *world) partitions(t base.UUID) int32 { return w.sizes[t[0]-1] }

func (w *world) change(t *rapid.T, same bool) {
	switch rapid.IntRange(0, 4).Draw(t, "change") {
	case 0, 1:
		m := Member{ID: fmt.Sprintf("m%d", rapid.IntRange(0, 9).Draw(t, "id"))}
		if slices.ContainsFunc(w.members, func(o Member) bool { return o.ID == m.ID }) {
			return
		}
		if rapid.Bool().Draw(t, "static") {
			m.Instance = "i" + m.ID
		}
		m.Topics = w.subscription(t, same)
		w.members = append(w.members, m)
	case 2:
		if len(w.members) > 0 {
			i := rapid.IntRange(0, len(w.members)-1).Draw(t, "leaves")
			w.members = slices.Delete(w.members, i, i+1)
		}
	case 3:
		if len(w.members) > 0 && !same {
			w.members[rapid.IntRange(0, len(w.members)-1).Draw(t, "who")].Topics = w.subscription(t, same)
		}
	case 4:
		w.sizes[rapid.IntRange(0, len(w.sizes)-1).Draw(t, "topic")] += int32(rapid.IntRange(1, 3).Draw(t, "more"))
	}
}

func (w *world) subscription(t *rapid.T, same bool) (topics []base.UUID) {
	for i := range w.sizes {
		if same || rapid.Bool().Draw(t, "subscribes") {
			topics = append(topics, topic(i))
		}
	}
	return topics
}

// check is invariants 1 and 2.
func (w *world) check(t *rapid.T, targets [][]Partition) {
	got := map[Partition]int{}
	for i, target := range targets {
		if !slices.IsSortedFunc(target, Partition.Compare) {
			t.Fatalf("not ascending: %v", target)
		}
		for _, p := range target {
			if got[p]++; got[p] > 1 {
				t.Fatalf("%v is assigned twice", p)
			}
			if !slices.Contains(w.members[i].Topics, p.Topic) || p.Index < 0 || p.Index >= w.partitions(p.Topic) {
				t.Fatalf("%s got %v", w.members[i].ID, p)
			}
		}
	}
	want := 0
	for i, n := range w.sizes {
		if slices.ContainsFunc(w.members, func(m Member) bool { return slices.Contains(m.Topics, topic(i)) }) {
			want += int(n)
		}
	}
	if len(got) != want {
		t.Fatalf("%d partitions are assigned, of %d", len(got), want)
	}
}

func run(t *testing.T, same bool, assign Assignor, check func(t *rapid.T, w *world, targets [][]Partition)) {
	rapid.Check(t, func(t *rapid.T) {
		w := &world{sizes: rapid.SliceOfN(rapid.Int32Range(1, 6), 1, 4).Draw(t, "sizes")}
		for range rapid.IntRange(1, 12).Draw(t, "steps") {
			w.change(t, same)
			before := fmt.Sprint(w.members)
			targets := assign(w.members, w.partitions)
			w.check(t, targets)
			shuffled := rapid.Permutation(w.members).Draw(t, "order")
			for i, target := range assign(shuffled, w.partitions) {
				at := slices.IndexFunc(w.members, func(m Member) bool { return m.ID == shuffled[i].ID })
				if !slices.Equal(target, targets[at]) {
					t.Fatalf("the order of the members matters: %v, %v", target, targets[at])
				}
			}
			if fmt.Sprint(w.members) != before {
				t.Fatal("the input has changed")
			}
			check(t, w, targets)
			for i := range w.members {
				w.members[i].Current = targets[i]
			}
		}
	})
}

// TestUniformSame: nobody has two more than another, and no more partitions move than have to.
func TestUniformSame(t *testing.T) {
	run(t, true, Uniform, func(t *rapid.T, w *world, targets [][]Partition) {
		if len(targets) == 0 {
			return
		}
		least, most, total := 1<<30, 0, 0
		for _, target := range targets {
			least, most, total = min(least, len(target)), max(most, len(target)), total+len(target)
		}
		if most-least > 1 {
			t.Fatalf("from %d to %d partitions", least, most)
		}
		// What can be kept: each member up to its fair share, as many of them as there are above it by one.
		each, extra := total/len(targets), total%len(targets)
		kept, keepable := 0, 0
		for i, m := range w.members {
			for _, p := range m.Current {
				if slices.Contains(targets[i], p) {
					kept++
				}
			}
			keepable += min(len(m.Current), each)
			if len(m.Current) > each && extra > 0 {
				keepable++
				extra--
			}
		}
		if kept != keepable {
			t.Fatalf("%d partitions stay, %d could", kept, keepable)
		}
	})
}

// TestUniformMixed: nothing could move to a subscriber that has two fewer.
func TestUniformMixed(t *testing.T) {
	run(t, false, Uniform, func(t *rapid.T, w *world, targets [][]Partition) {
		for i, target := range targets {
			for _, p := range target {
				for j, m := range w.members {
					if slices.Contains(m.Topics, p.Topic) && len(targets[j])+2 <= len(targets[i]) {
						t.Fatalf("%v could move from %d partitions to %d", p, len(targets[i]), len(targets[j]))
					}
				}
			}
		}
	})
}

// TestRangeRandom: every share is one stretch.
func TestRangeRandom(t *testing.T) {
	run(t, false, Range, func(t *rapid.T, _ *world, targets [][]Partition) {
		for _, target := range targets {
			for i := 1; i < len(target); i++ {
				if target[i].Topic == target[i-1].Topic && target[i].Index != target[i-1].Index+1 {
					t.Fatalf("no stretch: %v", target)
				}
			}
		}
	})
}

// TestRange: topics of one size are assigned alike, static members come first.
func TestRange(t *testing.T) {
	members := []Member{
		{ID: "b", Topics: []base.UUID{topic(0), topic(1)}},
		{ID: "z", Instance: "i", Topics: []base.UUID{topic(0), topic(1)}},
		{ID: "a", Topics: []base.UUID{topic(1), topic(0)}},
	}
	got := Range(members, func(base.UUID) int32 { return 4 })
	want := [][]Partition{
		{{topic(0), 3}, {topic(1), 3}},
		{{topic(0), 0}, {topic(0), 1}, {topic(1), 0}, {topic(1), 1}},
		{{topic(0), 2}, {topic(1), 2}},
	}
	if !reflect.DeepEqual(got, want) {
		t.Fatal(got)
	}
}

func TestByName(t *testing.T) {
	if ByName("uniform") == nil || ByName("range") == nil || ByName("sticky") != nil {
		t.Fatal("wrong assignors")
	}
}
