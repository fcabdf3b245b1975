package txn

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"sluice/wire/kerr"
)

// adding is a world with one producer, and what its additions were answered.
type adding struct {
	*world
	who     identity
	answers map[string]kerr.Code
}

func newAdding(t *testing.T) *adding {
	a := &adding{world: newWorld(t), answers: map[string]kerr.Code{}}
	a.init(initCommand{id: "a", timeoutMS: 60_000}, func(r initResult) { a.who = r.producer })
	a.settle()
	return a
}

// add asks for a partition of a topic; the answer is known by the name of what asks.
func (a *adding) add(name, topic string, who identity) {
	a.step(&addCommand{id: "a", producer: who, version: 2, partitions: []TopicPartition{{topic, 0}}}, func(r any) { a.answers[name] = r.(addResult).code })
}

// commit has the verdict written, and returns who the producer is from then on. Its markers are not written yet.
func (a *adding) commit() (next identity) {
	a.t.Helper()
	a.end(endCommand{id: "a", producer: a.who, commit: true, version: 2}, func(r endResult) {
		if r.code != kerr.None {
			a.t.Fatal(r.code)
		}
		next = r.producer
	})
	a.flush()
	return next
}

func (a *adding) want(what string, answers map[string]kerr.Code, appends int) {
	a.t.Helper()
	if fmt.Sprint(a.answers) != fmt.Sprint(answers) || len(a.pending) != appends {
		a.t.Fatalf("%s: answers %v, want %v; %d appends under way, want %d", what, a.answers, answers, len(a.pending), appends)
	}
}

// Leaders that ask side by side share records: the first has one, all who come while it is under way have the next.
func TestAdditionsShareARecord(t *testing.T) {
	a := newAdding(t)
	for i := range 5 {
		a.add(fmt.Sprint(i), fmt.Sprintf("t%d", i), a.who)
	}
	a.add("stranger", "t9", identity{a.who.id, a.who.epoch + 1})
	a.want("the first is written", map[string]kerr.Code{}, 1)
	a.flush()
	a.want("the others are", map[string]kerr.Code{"0": 0, "stranger": kerr.ProducerFenced}, 1)
	a.flush()
	a.want("all are added", map[string]kerr.Code{"0": 0, "1": 0, "2": 0, "3": 0, "4": 0, "stranger": kerr.ProducerFenced}, 0)
	if p := a.m.ids["a"].partitions; len(p) != 5 {
		t.Fatal(p)
	}
}

// A producer that goes on while the markers of its last transaction are on their way waits for them, and its next transaction begins in the append that
// completes the last one. Who still speaks as it was called before is refused.
func TestNextTransactionBeginsWithTheEndOfTheLast(t *testing.T) {
	a := newAdding(t)
	a.add("first", "t0", a.who)
	a.flush()
	next := a.commit()
	a.add("next", "t1", next)
	a.add("late", "t2", a.who)
	a.want("both wait for the marker", map[string]kerr.Code{"first": 0}, 0)
	a.write(a.sent[0], a.sent[0].partition)
	a.want("both wait for the append", map[string]kerr.Code{"first": 0}, 1)
	if n := len(a.pending[0].Records); n != 2 {
		t.Fatalf("%d records in the append", n)
	}
	a.flush()
	a.want("the next one has begun", map[string]kerr.Code{"first": 0, "next": 0, "late": kerr.ProducerFenced}, 0)
	x := a.m.ids["a"]
	if x.state != ongoing || !slices.Equal(x.partitions, []TopicPartition{{"t1", 0}}) || x.startMS != a.now.UnixMilli() || !x.timeout.Running() {
		t.Fatalf("%+v", x.value)
	}
	a.sameAsLoaded()
}

// Nobody waits for ever for markers that cannot be written; a crash answers all, as it does everybody.
func TestPatienceEnds(t *testing.T) {
	a := newAdding(t)
	a.add("first", "t0", a.who)
	a.flush()
	next := a.commit()
	a.add("next", "t1", next)
	a.now = a.now.Add(addPatience - time.Millisecond)
	a.add("second", "t2", next)
	a.m.Tick(a.now, &a.fx)
	a.perform()
	a.want("they wait", map[string]kerr.Code{"first": 0}, 0)
	a.now = a.now.Add(time.Millisecond)
	a.m.Tick(a.now, &a.fx)
	a.perform()
	a.want("no more", map[string]kerr.Code{"first": 0, "next": kerr.ConcurrentTransactions, "second": kerr.ConcurrentTransactions}, 0)
	if at, _ := a.m.timers.Next(); at.Before(a.now) {
		t.Fatal("a timer is left")
	}
	a.settle()
	if x := a.m.ids["a"]; x.state != completeCommit || len(x.waiting) > 0 {
		t.Fatalf("%+v", x)
	}
}

// What does not fit into one record together goes one by one.
func TestAdditionsThatDoNotFitTogether(t *testing.T) {
	a := newAdding(t)
	a.rules.batchBytesMax = func() int { return 130 }
	a.m.batchBytesMax = a.rules.batchBytesMax
	for i := range 3 {
		a.add(fmt.Sprint(i), fmt.Sprintf("a-topic-with-a-name-%d", i), a.who)
	}
	a.settle()
	codes := map[kerr.Code]int{}
	for _, c := range a.answers {
		codes[c]++
	}
	if len(a.answers) != 3 || codes[kerr.None] == 0 || codes[kerr.InvalidRequest] == 0 || codes[kerr.None]+codes[kerr.InvalidRequest] != 3 {
		t.Fatal(a.answers)
	}
}
