package clients

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// Each thing that a group must not do is found, and what it may do is not.
func TestLedger(t *testing.T) {
	for name, c := range map[string]struct {
		do   func(l *ledger)
		want string // of the complaint; empty: none
	}{
		"an owner each generation": {func(l *ledger) {
			l.assigned("a", 1, []int32{0, 1})
			l.assigned("a", 2, []int32{1})
			l.assigned("b", 2, []int32{0})
		}, ""},
		"two owners": {func(l *ledger) {
			l.assigned("a", 1, []int32{0, 1})
			l.assigned("b", 1, []int32{1})
		}, "partition 1 is assigned to member a and to member b in generation 1"},
		"on from the commit": {func(l *ledger) {
			l.end("a", 0, commit{1, 10}, l.begin(0), true)
			l.found("b", 0, l.assigned("b", 2, []int32{0})[0], 10)
		}, ""},
		"back behind the commit": {func(l *ledger) {
			l.end("a", 0, commit{1, 10}, l.begin(0), true)
			l.found("b", 0, l.assigned("b", 2, []int32{0})[0], 9)
		}, "goes on from 9 in partition 0, where 10 was committed"},
		"back to the beginning": {func(l *ledger) {
			l.end("a", 0, commit{1, 10}, l.begin(0), true)
			l.found("b", 0, l.assigned("b", 2, []int32{0})[0], -2)
		}, "goes on from -2"},
		"a commit that nobody knows of comes late": {func(l *ledger) {
			l.end("a", 0, commit{1, 9}, l.begin(0), false)
			l.end("a", 0, commit{1, 10}, l.begin(0), true)
			l.found("b", 0, l.assigned("b", 2, []int32{0})[0], 9)
		}, ""},
		"one of an older generation does": {func(l *ledger) {
			l.end("a", 0, commit{1, 9}, l.begin(0), false)
			l.end("b", 0, commit{2, 10}, l.begin(0), true)
			l.found("b", 0, l.assigned("b", 3, []int32{0})[0], 9)
		}, "goes on from 9"},
		"an older generation commits": {func(l *ledger) {
			l.end("b", 0, commit{2, 10}, l.begin(0), true)
			l.end("a", 0, commit{1, 11}, l.begin(0), true)
		}, "member a committed 11 of partition 0 in generation 1"},
		"its commit was on its way before": {func(l *ledger) {
			newest := l.begin(0)
			l.end("b", 0, commit{2, 10}, newest, true)
			l.end("a", 0, commit{1, 9}, newest, true)
		}, ""},
		"a commit is lost": {func(l *ledger) {
			l.end("a", 0, commit{1, 10}, l.begin(0), true)
			l.committed(0, 0)
		}, "at the end goes on from 0"},
	} {
		t.Run(name, func(t *testing.T) {
			var said []string
			c.do(newLedger(func(format string, args ...any) { said = append(said, fmt.Sprintf(format, args...)) }))
			if c.want == "" && len(said) > 0 || c.want != "" && !slices.ContainsFunc(said, func(s string) bool { return strings.Contains(s, c.want) }) {
				t.Errorf("it said %q, want %q", said, c.want)
			}
		})
	}
}

// A record that nobody has read is missing.
func TestLedgerMissing(t *testing.T) {
	l := newLedger(t.Errorf)
	for _, o := range []int64{0, 1, 3} {
		l.read(7, o)
	}
	for end, want := range map[int64]int64{2: -1, 3: 2, 4: 2} {
		if o, some := l.missing(7, end); some != (want >= 0) || some && o != want {
			t.Errorf("up to %d: %d, %v", end, o, some)
		}
	}
	l.read(7, 2)
	if o, some := l.missing(7, 5); !some || o != 4 {
		t.Errorf("%d, %v", o, some)
	}
}

// What was settled is not delivered to a member that came later, nor much later to any.
func TestShares(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		said := 0
		s := &shares{complain: func(string, ...any) { said++ }, settled: map[place]time.Time{}}
		early := time.Now()
		time.Sleep(time.Second)
		s.settle(0, 5)
		time.Sleep(time.Second)
		s.delivered(0, 5, early)
		s.delivered(0, 6, time.Now())
		s.delivered(1, 5, time.Now())
		if said != 0 {
			t.Fatal("a complaint about what may be")
		}
		s.delivered(0, 5, time.Now())
		time.Sleep(onItsWay)
		s.delivered(0, 5, early)
		if said != 2 {
			t.Fatalf("%d complaints", said)
		}
	})
}
