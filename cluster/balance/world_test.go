package balance

import (
	"fmt"

	"sluice/base"
	"sluice/cluster/meta"
)

// tb is what tests, benchmarks and property tests have in common.
type tb interface {
	Helper()
	Fatal(...any)
	Fatalf(string, ...any)
}

// world is a cluster made of real commands.
type world struct {
	t     tb
	img   *meta.Image
	nodes map[base.NodeID]meta.NodeRef
	made  byte
}

func newWorld(t tb) *world {
	w := &world{t: t, img: meta.Empty(), nodes: map[base.NodeID]meta.NodeRef{}}
	img, err := w.img.Apply(0, []meta.Record{meta.CreateCluster(base.UUID{1}, [32]byte{2}, 1)})
	if err != nil {
		t.Fatal(err)
	}
	w.img = img
	return w
}

func (w *world) run(cmd meta.Command) meta.Result {
	w.t.Helper()
	d := w.img.Draft()
	_, res, err := d.Execute(cmd, 1)
	if err != nil {
		w.t.Fatalf("%s: %v", meta.CommandName(cmd), err)
	}
	w.img = d.Image()
	if o, ok := res.(*meta.Outcomes); ok {
		for _, err := range o.Errs {
			if err != nil {
				w.t.Fatalf("%s: %v", meta.CommandName(cmd), err)
			}
		}
	}
	return res
}

// join registers a node.
func (w *world) join(zone string) base.NodeID {
	w.made++
	inc := base.UUID{9, w.made}
	ref := w.run(&meta.Register{Incarnation: inc, Reclaim: base.NoNode, Zone: zone}).(*meta.Registered).Node
	w.nodes[ref.ID] = ref
	return ref.ID
}

func (w *world) fence(id base.NodeID) {
	w.run(&meta.FenceNode{Node: w.nodes[id]})
	delete(w.nodes, id)
}

func (w *world) drain(id base.NodeID, on bool) {
	w.run(&meta.DrainNode{Node: w.nodes[id], Drain: on})
}

// topic creates a topic whose partitions have these leaders, and has them opened and served.
func (w *world) topic(name string, leaders ...base.NodeID) base.UUID {
	w.made++
	id := base.UUID{7, w.made}
	w.run(&meta.CreateTopics{Topics: []meta.NewTopic{{Name: name, Partitions: int32(len(leaders)), ID: id, Leaders: leaders}}})
	w.openAll()
	return id
}

// openAll has every partition that is assigned to a live node opened and served by it.
func (w *world) openAll() {
	open, serve := map[base.NodeID]*meta.OpenPartitions{}, map[base.NodeID]*meta.ServePartitions{}
	for p := range everyPartition(w.img) {
		ref, ok := w.nodes[p.Leader]
		if !ok || p.State == meta.Serving {
			continue
		}
		if open[p.Leader] == nil {
			open[p.Leader], serve[p.Leader] = &meta.OpenPartitions{Node: ref}, &meta.ServePartitions{Node: ref}
		}
		epoch := p.LeaderEpoch
		if p.State == meta.Assigned {
			open[p.Leader].Partitions = append(open[p.Leader].Partitions, meta.OpenPartition{Partition: id(&p), Expected: epoch})
			epoch++
		}
		serve[p.Leader].Partitions = append(serve[p.Leader].Partitions, meta.EpochPartition{Partition: id(&p), Epoch: epoch})
	}
	for n := range open {
		w.run(open[n])
		w.run(serve[n])
	}
}

// closeAll closes the streams of what id leads, as a rescue or a node that shuts down does.
func (w *world) closeAll(node base.NodeID) {
	cmd := &meta.CloseStreams{Node: w.nodes[node]}
	for p := range w.img.PartitionsLedBy(node) {
		for _, s := range []base.StreamID{p.Data, p.Meta} {
			st, _ := w.img.Stream(s)
			cmd.Closes = append(cmd.Closes, meta.StreamClose{Stream: s, Epoch: st.Epoch, End: st.CommittedEnd})
		}
	}
	w.run(cmd)
}

// led counts what every live node leads or is to lead.
func (w *world) led() map[base.NodeID]int {
	out := map[base.NodeID]int{}
	for n := range w.nodes {
		out[n] = 0
	}
	for p := range everyPartition(w.img) {
		if p.Target != base.NoNode {
			out[p.Target]++
		} else {
			out[p.Leader]++
		}
	}
	return out
}

func times(n int, ids ...base.NodeID) (out []base.NodeID) {
	for i := range n {
		out = append(out, ids[i%len(ids)])
	}
	return out
}

func name(i int) string { return fmt.Sprintf("topic-%04d", i) }
