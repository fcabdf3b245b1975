package explore

import (
	"errors"
	"strings"
	"testing"
)

// jugs is the puzzle of the two jugs: three and five litres, measure four.
type jugs struct{ three, five, want int }

func (j *jugs) Clone() *jugs                { c := *j; return &c }
func (j *jugs) AppendKey(dst []byte) []byte { return append(dst, byte(j.three), byte(j.five)) }
func (j *jugs) End() error                  { return errors.New("stuck") }

func (j *jugs) Check() error {
	if j.five == j.want {
		return errors.New("measured")
	}
	return nil
}

func (j *jugs) Steps(add Add[*jugs]) {
	add(func(j *jugs) error { j.three = 3; return nil }, "fill %d", 3)
	add(func(j *jugs) error { j.five = 5; return nil }, "fill %d", 5)
	add(func(j *jugs) error { j.three = 0; return nil }, "empty %d", 3)
	add(func(j *jugs) error { j.five = 0; return nil }, "empty %d", 5)
	add(func(j *jugs) error { n := min(j.three, 5-j.five); j.three -= n; j.five += n; return nil }, "pour %d into %d", 3, 5)
	add(func(j *jugs) error { n := min(j.five, 3-j.three); j.five -= n; j.three += n; return nil }, "pour %d into %d", 5, 3)
}

func TestShortestTrace(t *testing.T) {
	r := Walk(&jugs{want: 4}, Limit{})
	if r.Found == nil || len(r.Found.Trace) != 6 {
		t.Fatalf("%v: %v", r, r.Found)
	}
	if s := r.Found.String(); !strings.Contains(s, "measured, after 6 steps:") || !strings.Contains(s, "   6  pour 5 into 3") {
		t.Fatal(s)
	}
}

func TestEveryStateOnce(t *testing.T) {
	r := Walk(&jugs{want: 9}, Limit{})
	if r.Found != nil || !r.Complete || r.States != 16 || r.Steps != 16*6 || r.Depth != 7 {
		t.Fatalf("%v: %v", r, r.Found)
	}
	for _, l := range []Limit{{States: 7}, {Depth: 2}} {
		if r := Walk(&jugs{want: 9}, l); r.Complete || r.States > 8 || r.Found != nil {
			t.Fatalf("%+v: %v", l, r)
		}
	}
}

// counter counts to its end, where something is wrong, or fails in the step before.
type counter struct{ n, end, fails int }

func (c *counter) Clone() *counter             { d := *c; return &d }
func (c *counter) AppendKey(dst []byte) []byte { return append(dst, byte(c.n)) }
func (c *counter) Check() error                { return nil }
func (c *counter) End() error                  { return errors.New("the end") }

func (c *counter) Steps(add Add[*counter]) {
	if c.n == c.end {
		return
	}
	add(func(c *counter) error {
		if c.n++; c.n == c.fails {
			return errors.New("failed")
		}
		return nil
	}, "count")
}

func TestViolationsOfStepsAndEnds(t *testing.T) {
	if r := Walk(&counter{end: 3}, Limit{}); r.Found == nil || r.Found.Err.Error() != "the end" || len(r.Found.Trace) != 3 || r.Ends != 1 {
		t.Fatalf("%v: %v", r, r.Found)
	}
	if r := Walk(&counter{end: 3, fails: 2}, Limit{}); r.Found == nil || r.Found.Err.Error() != "failed" || len(r.Found.Trace) != 2 {
		t.Fatalf("%v: %v", r, r.Found)
	}
}

func TestPlain(t *testing.T) {
	type bytes struct {
		a int8
		b [2]bool
	}
	if got := Plain[bytes]()(nil, &bytes{-1, [2]bool{false, true}}); string(got) != "\xff\x00\x01" {
		t.Fatalf("%q", got)
	}
	defer func() {
		if recover() == nil {
			t.Fatal("a type with padding")
		}
	}()
	Plain[struct {
		a int8
		b int32
	}]()
}
