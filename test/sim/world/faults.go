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
	needs   func(s Scenario) bool // the world that it makes sense in; nil: any
}

// faults are what a seed chooses from. The first one is in every world that has no other.
var faults = []trouble{
	{name: "kill", brokers: 1, do: func(w *world) {
		b := w.in(up)[0]
		b.kill(w.rnd.IntN(3) == 0)
		w.random(0, 3*time.Second)
		b.launch()
	}},
	{name: "kill in the start", brokers: 1, do: func(w *world) {
		b := w.in(up)[0]
		for range 1 + w.rnd.IntN(3) {
			b.kill(false)
			b.launch()
			w.random(0, time.Second)
		}
	}},
	{name: "stop", brokers: 1, do: func(w *world) {
		b := w.in(up)[0]
		b.stop()
		w.random(0, 2*time.Second)
		b.launch()
	}},
	{name: "all die", brokers: 1, do: func(w *world) {
		for _, b := range w.in(up) {
			b.kill(true)
		}
		w.random(0, 5*time.Second)
	}},
	{name: "two die", brokers: 3, do: func(w *world) {
		dead := w.in(up)[:2]
		for _, b := range dead {
			b.kill(w.rnd.IntN(2) == 0)
			w.random(0, 500*time.Millisecond)
		}
		w.random(0, 2*w.session)
	}},
	{name: "pause", brokers: 1, do: func(w *world) {
		b := w.in(up)[0]
		b.setPaused(true)
		w.random(w.session/2, 2*w.session)
		b.setPaused(false)
	}},
	{name: "one-way cut", brokers: 2, do: func(w *world) {
		pair := w.in(up)
		w.net.Cut(pair[0].name, pair[1].name, true)
		w.trace.Mark("cut from %s to %s", pair[0].name, pair[1].name)
		w.random(0, 2*w.session)
	}},
	{name: "cut from all brokers", brokers: 2, do: func(w *world) {
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
	{name: "cut from clients", brokers: 1, do: func(w *world) {
		b := w.in(up)[0]
		w.net.Cut(clientHost, b.name, true)
		w.trace.Mark("cut %s from clients", b.name)
		w.random(0, 2*w.session)
	}},
	{name: "one-way cut from all brokers", brokers: 2, do: func(w *world) {
		b := w.in(up)[0]
		out := w.rnd.IntN(2) == 0
		for _, name := range w.names() {
			switch {
			case name != b.name && out:
				w.net.Cut(b.name, name, true)
			case name != b.name:
				w.net.Cut(name, b.name, true)
			}
		}
		w.trace.Mark("cut %s from all brokers, what it sends=%t", b.name, out)
		w.random(0, 3*w.session)
	}},
	{name: "clients get no answers", brokers: 1, do: func(w *world) {
		b := w.in(up)[0]
		w.net.Cut(b.name, clientHost, true)
		w.trace.Mark("cut from %s to clients", b.name)
		w.random(0, 2*w.session)
	}},
	{name: "no answers of the bucket", brokers: 1, do: func(w *world) {
		b := w.in(up)[0]
		b.life.door.setDeaf(true)
		w.trace.Mark("cut %s from the answers of the bucket", b.name)
		w.random(0, 3*w.session)
		b.life.door.setDeaf(false)
	}},
	{name: "cut from the bucket", brokers: 1, do: func(w *world) {
		b := w.in(up)[0]
		b.life.door.setShut(true)
		w.trace.Mark("cut %s from the bucket", b.name)
		w.random(0, 3*w.session)
		b.life.door.setShut(false)
	}},
	{name: "outage of the bucket", brokers: 1, do: func(w *world) {
		w.flaky.SetRules(fault.Outage())
		w.random(0, 10*time.Second)
	}},
	{name: "throttling", brokers: 1, do: func(w *world) {
		w.flaky.SetRules(fault.Rule{Name: "throttling", Prob: 0.5, Effect: fault.Refuse, Kind: base.Unavailable})
		w.random(0, 10*time.Second)
	}},
	{name: "lost answers", brokers: 1, do: func(w *world) {
		w.flaky.SetRules(fault.Rule{Name: "lost", Op: fault.Put, Prob: 0.3, Effect: fault.LoseAnswer})
		w.random(0, 10*time.Second)
	}},
	{name: "late puts", brokers: 1, do: func(w *world) {
		w.flaky.SetRules(fault.Rule{Name: "late", Op: fault.Put, Prob: 0.3, Effect: fault.Late})
		for range w.rnd.IntN(8) {
			w.random(0, 2*time.Second)
			w.flaky.Deliver(context.Background(), w.rnd.IntN(3))
		}
	}},
	{name: "replace a producer", brokers: 1, do: func(w *world) {
		w.replaceProducer()
	}},
}

// heal ends what faults have begun and left.
func (w *world) heal() {
	w.net.Heal()
	w.flaky.SetRules()
	w.shared.SetRules()
	for _, b := range w.brokers {
		b.disk.SetRules()
	}
	for _, b := range w.brokers {
		if b.state == down {
			b.launch()
		}
	}
}
