package meta

import (
	"bytes"
	"maps"
	"reflect"
	"slices"

	"sluice/base"
)

// resultBack is what another process gets of a result.
func (d *driver) resultBack(res Result) Result {
	b := AppendResult(nil, res)
	back, err := DecodeResult(b)
	if err != nil || !bytes.Equal(AppendResult(nil, back), b) || reflect.TypeOf(back) != reflect.TypeOf(res) {
		d.t.Fatalf("%+v does not survive its codec: %+v, %v", res, back, err)
	}
	return back
}

func (d *driver) rejectionBack(err error) error {
	rej := err.(*Rejection)
	back, err := DecodeRejection(AppendRejection(nil, rej))
	if err != nil || *back != *rej {
		d.t.Fatalf("%+v does not survive its codec: %+v, %v", rej, back, err)
	}
	return back
}

// checkDelta compares the image with the one before the command: what changed must be named.
func (d *driver) checkDelta(what string, before *Image) {
	if before == d.img {
		return
	}
	delta := d.img.DeltaFrom(before)
	if delta == nil {
		d.t.Fatalf("%s: no delta", what)
	}
	for id := range names(&before.nodes, &d.img.nodes) {
		a, okA := before.Node(id)
		b, okB := d.img.Node(id)
		for _, n := range []*Node{&a, &b} { // nobody follows these
			n.Applied, n.Volumes = 0, slices.Clone(n.Volumes)
			for i, v := range n.Volumes {
				n.Volumes[i] = Volume{Epoch: v.Epoch, URL: v.URL, State: v.State}
			}
		}
		controller := (before.Controller().Node == id) != (d.img.Controller().Node == id)
		if _, named := delta.Nodes[id]; !named && (controller || okA != okB || !reflect.DeepEqual(a, b)) {
			d.t.Fatalf("%s: node %d changed from %+v to %+v without a word", what, id, a, b)
		}
	}
	for key := range names(&before.partitions, &d.img.partitions) {
		a, _ := before.partitions.get(key)
		b, _ := d.img.partitions.get(key)
		if a == nil || b == nil { // of a new topic or a deleted one
			if t, ok := d.img.topics.get(uint32(key >> 32)); ok && !t.deleted && !has(delta.Topics, t.ID) {
				d.t.Fatalf("%s: partition %x came or went without a word", what, key)
			}
			continue
		}
		if !has(delta.Partitions, PartitionID{b.Topic, b.Index}) && !has(delta.Topics, b.Topic) && !reflect.DeepEqual(a, b) {
			d.t.Fatalf("%s: partition %+v became %+v without a word", what, a, b)
		}
	}
	if !delta.Rescues && before.RescueCount() != d.img.RescueCount() {
		d.t.Fatalf("%s: rescues changed without a word", what)
	}
}

func has[K comparable](m map[K]struct{}, k K) bool {
	_, ok := m[k]
	return ok
}

// names returns the keys of both trees.
func names[K ordered, V any](a, b *tree[K, V]) map[K]struct{} {
	keys := map[K]struct{}{}
	for _, t := range []*tree[K, V]{a, b} {
		t.all(func(k K, _ V) bool { keys[k] = struct{}{}; return true })
	}
	return maps.Clone(keys)
}

// ends returns whether both streams of a partition are open, and their committed ends.
func (d *driver) partitionEnds(p Partition) (open bool, data, aux base.Offset) {
	a, _ := d.img.Stream(p.Data)
	b, _ := d.img.Stream(p.Meta)
	return a.State == Open && b.State == Open, a.CommittedEnd, b.CommittedEnd
}

func (d *driver) move() {
	before := d.img
	cmd := &MovePartitions{}
	for _, p := range d.partitions() {
		to := d.node().ID
		if d.rarely(8) {
			to = base.NoNode
		}
		cmd.Partitions = append(cmd.Partitions, PartitionLeader{PartitionID{p.Topic, p.Index}, to})
		if d.rarely(20) {
			cmd.Partitions = append(cmd.Partitions, PartitionLeader{PartitionID{p.Topic, p.Index}, 99})
		}
	}
	res, err := d.submit(cmd)
	if err != nil {
		d.t.Fatalf("move: %v", err)
	}
	for i, rej := range res.(*Outcomes).Errs {
		at := cmd.Partitions[i]
		old, _ := before.Partition(at.Partition.Topic, at.Partition.Index)
		p, _ := d.img.Partition(at.Partition.Topic, at.Partition.Index)
		oldData, _ := before.Stream(old.Data)
		switch {
		case rej != nil:
			continue
		case at.Leader == old.Leader || at.Leader == base.NoNode:
			if p.Target != base.NoNode || p.Leader != old.Leader || p.State != old.State {
				d.t.Fatalf("a move that was taken back left %+v, before it was %+v", p, old)
			}
		case oldData.State == Closed:
			d.accepted["closed moved"]++
			if p.Leader != at.Leader || p.State != Assigned || p.LeaderEpoch != old.LeaderEpoch {
				d.t.Fatalf("a closed partition was moved to %d and is %+v", at.Leader, p)
			}
		default:
			d.accepted["moved"]++
			if p.Target != at.Leader || p.Leader != old.Leader || p.LeaderEpoch != old.LeaderEpoch || p.State != old.State {
				d.t.Fatalf("an open partition was moved to %d and is %+v, before it was %+v", at.Leader, p, old)
			}
		}
	}
	at := d.img.Pos()
	if _, err := d.submit(cmd); err != nil || d.img.Pos() != at {
		d.t.Fatalf("a repeated move has changed something, or %v", err)
	}
}

func (d *driver) handOver() {
	before, ref := d.img, d.node()
	cmd := &HandOver{Node: ref}
	for _, p := range d.partitions() {
		if p.Leader != ref.ID && !d.rarely(10) {
			continue
		}
		_, data, aux := d.partitionEnds(p)
		h := HandedOver{PartitionID{p.Topic, p.Index}, p.LeaderEpoch, data, aux}
		switch d.int("slip", 0, 20) {
		case 0:
			h.Epoch--
		case 1:
			h.DataEnd++
		case 2:
			h.MetaEnd--
		case 3:
			cmd.Partitions = append(cmd.Partitions, h)
		}
		cmd.Partitions = append(cmd.Partitions, h)
	}
	res, err := d.submit(cmd)
	if err != nil {
		if before.Current(ref) {
			d.t.Fatalf("hand over: %v", err)
		}
		return
	}
	errs := res.(*Outcomes).Errs
	done := map[PartitionID]bool{}
	for i, h := range cmd.Partitions {
		if errs[i] == nil {
			done[h.Partition] = true
		} else {
			d.accepted[errs[i].Code.String()]++
		}
	}
	for i, h := range cmd.Partitions {
		d.handedOver(before, ref, h, errs[i], done[h.Partition])
	}
	at := d.img.Pos()
	again, err := d.submit(cmd)
	if err != nil || d.img.Pos() != at {
		d.t.Fatalf("a repeated hand-over has changed something, or %v", err)
	}
	for i, rej := range again.(*Outcomes).Errs {
		if errs[i] == nil && rej.Code != StaleEpoch {
			d.t.Fatalf("a repeated hand-over answers %v", rej)
		}
	}
}

// handedOver checks one partition of a hand-over by a slow reading of the rules.
func (d *driver) handedOver(before *Image, ref NodeRef, h HandedOver, rej *Rejection, done bool) {
	old, _ := before.Partition(h.Partition.Topic, h.Partition.Index)
	p, _ := d.img.Partition(h.Partition.Topic, h.Partition.Index)
	data, _ := before.Stream(old.Data)
	aux, _ := before.Stream(old.Meta)
	mine := func(s Stream) bool {
		return s.State == Open && before.holds(ref, s) && s.Epoch == h.Epoch
	}
	may := mine(data) && mine(aux) && h.DataEnd == data.CommittedEnd && h.MetaEnd == aux.CommittedEnd
	switch {
	case rej == nil && !may, rej != nil && may && !done:
		d.t.Fatalf("hand-over %+v of %+v by %v is answered %v", h, old, ref, rej)
	case !done && !reflect.DeepEqual(old, p):
		d.t.Fatalf("hand-over %+v was refused, but %+v became %+v", h, old, p)
	case !done || rej != nil:
		return
	}
	to, what := ref, "kept"
	if n, ok := before.Node(old.Target); ok && !n.Fenced {
		to, what = n.Ref(), "handed over"
	}
	d.accepted[what]++
	after, _ := d.img.Stream(p.Data)
	auxAfter, _ := d.img.Stream(p.Meta)
	want := old
	want.Leader, want.LeaderEpoch, want.State, want.Target, want.EpochStarts = to.ID, h.Epoch+1, Opening, base.NoNode, p.EpochStarts
	if !reflect.DeepEqual(p, want) || p.EpochStarts[len(p.EpochStarts)-1] != (EpochStart{h.Epoch + 1, h.DataEnd}) {
		d.t.Fatalf("%+v was handed over to %v and is %+v", old, to, p)
	}
	for _, s := range []Stream{after, auxAfter} {
		if s.State != Open || !d.img.holds(to, s) || s.Epoch != h.Epoch+1 {
			d.t.Fatalf("handed over to %v, but the stream is %+v", to, s)
		}
	}
	d.checkPlaced(before, p.Topic, to.ID, after, auxAfter)
	if after.CommittedEnd != h.DataEnd || auxAfter.CommittedEnd != h.MetaEnd {
		d.t.Fatalf("hand-over %+v moved the ends to %d and %d", h, after.CommittedEnd, auxAfter.CommittedEnd)
	}
}

func (d *driver) drain() {
	ref, drain := d.node(), d.rarely(2)
	if _, err := d.submit(&DrainNode{Node: ref, Drain: drain, Why: "test"}); err == nil {
		if n, _ := d.img.Node(ref.ID); n.Draining != drain {
			d.t.Fatalf("node %v is draining: %v", ref, n.Draining)
		}
	}
}

func (d *driver) unregister() {
	ref, ok := pick(d, "gone", d.refs)
	if !ok {
		return
	}
	quick := d.rarely(2) // so that it may still be the leader of something
	for r := range d.img.Rescues() {
		if quick && d.rarely(2) {
			ref = r.Victim
		}
	}
	for r := range d.img.Rescues() {
		if quick && r.Victim.ID == ref.ID && r.State != RescueDone {
			if res, err := d.submit(&GrantRescue{Victim: r.Victim, Rescuer: d.node()}); err == nil {
				_, _ = d.submit(&CompleteRescue{Victim: r.Victim, Grant: res.(*Granted).Rescue.Grant})
			}
		}
	}
	before, wasThere := d.img.Node(ref.ID)
	led := d.img.Led(ref.ID)
	cmd := &UnregisterNode{ID: ref.ID}
	if d.rarely(2) {
		cmd = cmd.Knowing(func(string) bool { return true })
	}
	running, left := false, 0
	for r := range d.img.Rescues() {
		if r.Victim.ID == ref.ID && (cmd.local == nil || d.img.OpenStreams(r.Victim) > 0) {
			running = running || r.State != RescueDone
			left++
		}
	}
	_, err := d.submit(cmd)
	if (err == nil) != (wasThere && before.Fenced && !running) {
		d.t.Fatalf("unregister node %+v, rescue running %v: %v", before, running, err)
	}
	if err == nil {
		for r := range d.img.Rescues() {
			if r.Victim.ID == ref.ID {
				left--
			}
		}
		if left != 0 {
			d.t.Fatalf("rescues of node %d, unregistered: %d more or less than there should be", ref.ID, left)
		}
	}
	if err == nil && led > 0 {
		d.accepted["leader unregistered"]++
	}
	if _, ok := d.img.Node(ref.ID); err == nil && (ok || d.img.Led(ref.ID) != 0) {
		d.t.Fatalf("node %d was unregistered and is still there", ref.ID)
	}
}
