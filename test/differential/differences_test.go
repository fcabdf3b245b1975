package differential

import (
	"testing"

	"sluice/test/twin"
	"sluice/wire/msg"
)

// A difference that is meant may ask for a request that says something twice in one place.
func TestHasTwice(t *testing.T) {
	type all = []any
	name := func(s string) object { return object{"Name": object{"in": s}} }
	for _, tc := range []struct {
		body  tree
		field string
		want  bool
	}{
		{nil, "Name", false},
		{object{"Topics": all{name("a"), name("b")}}, "Name", false},
		{object{"Topics": all{name("a"), name("b"), name("a")}}, "Name", true},
		{object{"Topics": all{name("a"), name("a")}}, "Index", false},
		{object{"Topics": all{object{}, object{}}}, "Name", false},
		{object{"Topics": all{object{"Partitions": all{0, 1}}, object{"Partitions": all{0}}}}, "Partitions", false},
		{object{"Topics": all{object{"Partitions": all{0, 1}}, object{"Partitions": all{2, 2}}}}, "Partitions", true},
		{object{"Topics": all{object{"Partitions": all{object{"Index": 1}}}, object{"Partitions": all{object{"Index": 1}}}}}, "Index", false},
		{object{"Topics": all{object{"Partitions": all{object{"Index": 1}, object{"Index": int64(1)}}}}}, "Index", true},
	} {
		if got := hasTwice(tc.body, tc.field); got != tc.want {
			t.Errorf("%v of %v: %v", tc.field, tc.body, got)
		}
	}
}

// A pattern of what a broker says is one of all of it, and an entry counts where all its patterns match.
func TestEntryMatches(t *testing.T) {
	var e entry
	for _, kv := range [][2]string{{"where", "^Fetch 4 A$"}, {"request", `"Topic":"x"`}, {"kafka", "1|2"}, {"sluice", ""}, {"twice", "Topic, Name"}, {"why", "so"}} {
		if err := e.set(kv[0], kv[1]); err != nil {
			t.Fatal(err)
		}
	}
	st := step{Key: msg.KeyFetch, Version: 4, Body: object{"Topics": []any{object{"Topic": "x"}, object{"Topic": "x"}}}}
	for d, want := range map[twin.Difference]bool{
		{Path: "A", Kafka: "1"}:              true,
		{Path: "A", Kafka: "11"}:             false,
		{Path: "A.B", Kafka: "1"}:            false,
		{Path: "A", Kafka: "1", Sluice: "1"}: false,
	} {
		if e.matches(st, d) != want {
			t.Errorf("%v: %v", d, !want)
		}
	}
	st.Body = object{"Topics": []any{object{"Topic": "x"}}}
	if e.matches(st, twin.Difference{Path: "A", Kafka: "1"}) {
		t.Error("nothing is there twice")
	}
}

// What both answer alike ends a sequence where an entry says that it leaves them in different states.
func TestSameEnds(t *testing.T) {
	var e entry
	for _, kv := range [][2]string{{"where", "^Fetch 4 A$"}, {"kafka", "1"}, {"same", "true"}, {"why", "so"}} {
		if err := e.set(kv[0], kv[1]); err != nil {
			t.Fatal(err)
		}
	}
	p := &pair{meant: []*entry{&e}}
	p.mu.seen = map[string]int{}
	st := step{Key: msg.KeyFetch, Version: 4}
	for _, c := range []struct {
		first    [2]string
		step     int // that differs, 0: none
		whatever string
	}{
		{[2]string{"1", "1"}, 0, "ended"},
		{[2]string{"2", "2"}, 2, "another answer"},
		{[2]string{"1", "2"}, 1, "not alike"},
	} {
		f := p.judge([]step{st, st}, [2][]lines{{{"A": c.first[0]}, {"B": "1"}}, {{"A": c.first[1]}, {"B": "2"}}})
		got := 0
		if f != nil {
			got = len(f.steps)
		}
		if got != c.step {
			t.Errorf("%s: step %d, want %d", c.whatever, got, c.step)
		}
	}
}
