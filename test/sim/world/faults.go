package world

import (
	"context"
	"time"

	"sluice/base"
	"sluice/storage/objstore/fault"
)

// trouble is something that goes wrong in a round. It is begun, and what it does not end itself heal ends.
type trouble struct {
	name    string
	brokers int // it makes sense with so many
	do      func(w *world)
}

// faults are what a seed chooses from. The first one is in every world that has no other.
var faults = []trouble{
	{"kill", 1, func(w *world) {
		b := w.in(up)[0]
		b.kill(w.rnd.IntN(3) == 0)
		w.random(0, 3*time.Second)
		b.launch()
	}},
	{"kill in the start", 1, func(w *world) {
		b := w.in(up)[0]
		for range 1 + w.rnd.IntN(3) {
			b.kill(false)
			b.launch()
			w.random(0, time.Second)
		}
	}},
	{"stop", 1, func(w *world) {
		b := w.in(up)[0]
		b.stop()
		w.random(0, 2*time.Second)
		b.launch()
	}},
	{"all die", 1, func(w *world) {
		for _, b := range w.in(up) {
			b.kill(true)
		}
		w.random(0, 5*time.Second)
	}},
	{"two die", 3, func(w *world) {
		dead := w.in(up)[:2]
		for _, b := range dead {
			b.kill(w.rnd.IntN(2) == 0)
			w.random(0, 500*time.Millisecond)
		}
		w.random(0, 2*w.session)
	}},
	{"pause", 1, func(w *world) {
		b := w.in(up)[0]
		b.setPaused(true)
		w.random(w.session/2, 2*w.session)
		b.setPaused(false)
	}},
	{"one-way cut", 2, func(w *world) {
		pair := w.in(up)
		w.net.Cut(pair[0].name, pair[1].name, true)
		w.trace.Mark("cut from %s to %s", pair[0].name, pair[1].name)
		w.random(0, 2*w.session)
	}},
	{"cut from all brokers", 2, func(w *world) {
		b := w.in(up)[0]
		for _, name := range w.names() {
			if name != b.name {
				w.net.Cut(b.name, name, true)
				w.net.Cut(name, b.name, true)
			}
		}
		w.trace.Mark("cut %s from all brokers", b.name)
		w.random(0, 3*w.session)
	}},
	{"cut from clients", 1, func(w *world) {
		b := w.in(up)[0]
		w.net.Cut(clientHost, b.name, true)
		w.trace.Mark("cut %s from clients", b.name)
		w.random(0, 2*w.session)
	}},
	{"cut from the bucket", 1, func(w *world) {
		b := w.in(up)[0]
		b.life.door.setShut(true)
		w.trace.Mark("cut %s from the bucket", b.name)
		w.random(0, 3*w.session)
		b.life.door.setShut(false)
	}},
	{"outage of the bucket", 1, func(w *world) {
		w.flaky.SetRules(fault.Outage())
		w.random(0, 10*time.Second)
	}},
	{"throttling", 1, func(w *world) {
		w.flaky.SetRules(fault.Rule{Name: "throttling", Prob: 0.5, Effect: fault.Refuse, Kind: base.Unavailable})
		w.random(0, 10*time.Second)
	}},
	{"lost answers", 1, func(w *world) {
		w.flaky.SetRules(fault.Rule{Name: "lost", Op: fault.Put, Prob: 0.3, Effect: fault.LoseAnswer})
		w.random(0, 10*time.Second)
	}},
	{"late puts", 1, func(w *world) {
		w.flaky.SetRules(fault.Rule{Name: "late", Op: fault.Put, Prob: 0.3, Effect: fault.Late})
		for range w.rnd.IntN(8) {
			w.random(0, 2*time.Second)
			w.flaky.Deliver(context.Background(), w.rnd.IntN(3))
		}
	}},
	{"replace a producer", 1, func(w *world) {
		w.replaceProducer()
	}},
}

// heal ends what faults have begun and left.
func (w *world) heal() {
	w.net.Heal()
	w.flaky.SetRules()
	for _, b := range w.brokers {
		if b.state == down {
			b.launch()
		}
	}
}
