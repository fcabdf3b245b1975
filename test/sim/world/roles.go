package world

import (
	"context"
	"net"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// A role is what one broker is to the others or to clients. A fault that is aimed at a role hits whoever has it when it begins, and any broker if nobody is
// known to have it.
type role struct {
	name  string
	needs func(s Scenario) bool  // the world that has the role; nil: any
	who   func(w *world) *broker // nil: nobody that is known
}

var roles = []role{
	{"controller", nil, (*world).controller},
	{"leader", nil, func(w *world) *broker { return w.leads(w.set.Topic) }},
	{"coordinator of a group", Scenario.grouped, func(w *world) *broker { return w.leads("__consumer_offsets") }},
	{"coordinator of a transaction", Scenario.transacts, func(w *world) *broker { return w.leads("__transaction_state") }},
}

func (s Scenario) grouped() bool {
	return s.Members > 0 || s.Committer || s.Copiers > 0 || len(s.Groups) > 0
}
func (s Scenario) transacts() bool { return s.Copiers > 0 || s.Tellers > 0 }

func init() {
	for _, r := range roles {
		faults = append(faults, aimed(r)...)
	}
	faults = append(faults,
		trouble{name: "clients reach nobody", brokers: 1, do: func(w *world) { w.cutClients(true) }},
		trouble{name: "clients hear nobody", brokers: 1, do: func(w *world) { w.cutClients(false) }})
}

// pastAll is longer than any timeout: sessions of brokers and members, transactions, requests.
const pastAll = 70 * time.Second

// aimed are the faults of one role.
func aimed(r role) []trouble {
	return []trouble{
		{name: "kill the " + r.name, brokers: 1, needs: r.needs, do: func(w *world) {
			b := w.victim(r)
			b.kill(w.rnd.IntN(2) == 0)
			w.random(0, 2*w.session)
			b.launch()
		}},
		{name: "cut the " + r.name + " off", brokers: 2, needs: r.needs, do: func(w *world) {
			b := w.victim(r)
			to, from := pickOf(w.rnd, []bool{true, true}, []bool{true, false}, []bool{false, true}), b.name
			for _, name := range w.names() {
				if name != from {
					w.net.Cut(from, name, to[0])
					w.net.Cut(name, from, to[1])
				}
			}
			w.trace.Mark("cut %s from all brokers, what it sends=%t, what it gets=%t", b.name, to[0], to[1])
			w.random(0, 3*w.session)
		}},
		{name: "cut the " + r.name + " from the bucket", brokers: 1, needs: r.needs, do: func(w *world) {
			b := w.victim(r)
			cut := pickOf(w.rnd, b.life.door.setShut, b.life.door.setDeaf)
			cut(true)
			w.trace.Mark("cut %s from the bucket", b.name)
			w.random(0, 3*w.session)
			cut(false)
		}},
		{name: "pause the " + r.name + " past every timeout", brokers: 1, needs: r.needs, do: func(w *world) {
			b := w.victim(r)
			b.setPaused(true)
			w.random(pastAll, pastAll+10*time.Second)
			b.setPaused(false)
		}},
	}
}

// victim is who has a role.
func (w *world) victim(r role) *broker {
	b, any := r.who(w), w.in(up)[0]
	if b == nil || b.state != up {
		b = any
	}
	w.trace.Mark("the %s is taken to be %s", r.name, b.name)
	return b
}

// controller is who wrote to the metadata log last.
func (w *world) controller() (last *broker) {
	var at time.Time
	for _, b := range w.brokers {
		if wrote := b.life.door.lastWroteMeta(); wrote.After(at) {
			last, at = b, wrote
		}
	}
	return last
}

// leadsWithin bounds the question who leads a partition, in a world that may be sick.
const leadsWithin = 2 * time.Second

// leads is the leader of one of a topic's partitions.
func (w *world) leads(topic string) *broker {
	ctx, cancel := context.WithTimeout(context.Background(), leadsWithin)
	defer cancel()
	client, err := kgo.NewClient(w.set.Options(kgo.RetryTimeout(leadsWithin))...)
	if err != nil {
		panic("BUG: sim: " + err.Error())
	}
	defer client.Close()
	m, err := kadm.NewClient(client).Metadata(ctx, topic)
	index := w.rnd.Int32() // drawn whatever the answer is
	n := int32(len(m.Topics[topic].Partitions))
	if err != nil || n == 0 {
		return nil
	}
	leader := m.Topics[topic].Partitions[index%n].Leader
	for _, node := range m.Brokers {
		for _, b := range w.brokers {
			if node.NodeID == leader && net.JoinHostPort(node.Host, "9092") == b.addr() {
				return b
			}
		}
	}
	return nil
}

// cutClients cuts all clients from all brokers, in one direction.
func (w *world) cutClients(requests bool) {
	for _, name := range w.names() {
		if requests {
			w.net.Cut(clientHost, name, true)
		} else {
			w.net.Cut(name, clientHost, true)
		}
	}
	w.trace.Mark("cut clients from all brokers, what they send=%t", requests)
	w.random(0, 3*w.session)
}
