package cluster

import (
	"testing"
	"time"

	"sluice/test/history"
)

// walClasses are the WALs that every broker can read, each with a bucket in a directory.
var walClasses = []struct {
	name string
	at   func(dir string) places
}{
	{"shared file WAL", func(dir string) places {
		return places{bucket: "file://" + dir + "/bucket", wal: "file://" + dir + "/wal?shared=true&segment=4MiB&capacity=64MiB"}
	}},
	{"s3 WAL", func(dir string) places {
		return places{bucket: "file://" + dir + "/bucket", wal: "s3", args: []string{"wal-s3-puts-per-second=50"}}
	}},
}

// faults are what a round may do. Each returns with at least one broker running; heal brings the others back.
var faults = []struct {
	name string
	do   func(w *world)
}{
	{"kill -9 of one", func(w *world) { w.kill(w.in(up)[0]) }},
	{"kill -9 of the controller", func(w *world) { w.kill(w.controllerOrAny()) }},
	{"kill -9 of two", func(w *world) {
		victims := w.in(up)
		w.kill(victims[0])
		w.random(0, session)
		w.kill(victims[1])
	}},
	{"kill -9 of all", func(w *world) {
		victims := w.in(up)
		for _, n := range victims {
			w.kill(n)
		}
		w.launch(victims[w.rnd.IntN(len(victims))])
	}},
	{"pause of one", func(w *world) { w.sleep(w.in(up)[0]) }},
	{"pause of the controller", func(w *world) { w.sleep(w.controllerOrAny()) }},
	{"pause of one, kill -9 of another", func(w *world) {
		victims := w.in(up)
		w.pause(victims[0])
		w.kill(victims[1])
		w.random(session, 2*session)
		w.resume(victims[0])
	}},
	{"orderly stop of one", func(w *world) { w.stop(w.in(up)[0]) }},
	{"orderly stop of the controller", func(w *world) { w.stop(w.controllerOrAny()) }},
	{"transfer of the controller, kill -9 of one", func(w *world) {
		if err := w.transfer(w.in(up)[0]); err != nil {
			w.t.Logf("transfer: %v", err)
		}
		w.kill(w.in(up)[0])
	}},
	{"kill -9 in the start", func(w *world) {
		n := w.in(up)[0]
		for range 3 {
			w.kill(n)
			w.launch(n)
			w.random(0, 700*time.Millisecond)
		}
		w.kill(n)
	}},
}

func (w *world) controllerOrAny() *node {
	if c := w.controller(); c != nil {
		return c
	}
	return w.in(up)[0]
}

// sleep pauses a broker for longer than its session, checks that everything is served without it, and lets it go on.
func (w *world) sleep(n *node) {
	w.t.Helper()
	w.pause(n)
	w.random(session, 2*session)
	if w.rnd.IntN(2) == 0 {
		w.awaitServed("pause of " + n.name)
	}
	w.resume(n)
}

// TestChaos does random faults under load while partitions are moved, those of the coordinators of groups and transactions too, and a topic is copied in
// transactions.
func TestChaos(t *testing.T) {
	for _, class := range walClasses {
		t.Run(class.name, func(t *testing.T) {
			w := newWorld(t, class.at(t.TempDir()), brokers(t), 9)
			w.load(3)
			copies := w.copy(2, 10*time.Millisecond, 2*time.Second)
			w.moves()
			var deck []int
			for range rounds(t) {
				if len(deck) == 0 {
					deck = w.rnd.Perm(len(faults))
				}
				fault := faults[deck[0]]
				deck = deck[1:]
				w.random(300*time.Millisecond, 2*time.Second)
				if w.rnd.IntN(3) == 0 {
					w.replaceProducer()
				}
				fault.do(w)
				w.rec.Fault("round")
				w.awaitServed(fault.name)
				w.random(0, time.Second)
				w.heal()
			}
			copies.check()
			w.awaitAll()
			w.settle()
			w.judge(history.Want{Faults: []string{"round", "move"}, Acknowledged: 100, Every: true})
		})
	}
}
