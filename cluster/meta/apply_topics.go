package meta

import (
	"fmt"
	"slices"
	"strings"

	"sluice/base"
)

func (r *topicCreated) apply(d *Draft) error {
	if r.Num != d.img.nextTopic {
		return fmt.Errorf("topic number %d is not the next one, %d", r.Num, d.img.nextTopic)
	}
	if _, ok := d.img.byName.get(r.Name); ok {
		return fmt.Errorf("topic %s exists", r.Name)
	}
	if _, ok := d.img.byID.get(idKey(r.ID)); ok || r.ID.IsZero() {
		return fmt.Errorf("topic id %s is taken", r.ID)
	}
	d.img.nextTopic++
	if key, ok := collisionKey(r.Name); ok {
		d.img.collisions.set(key, r.Name)
	}
	d.putTopic(&Topic{ID: r.ID, Name: r.Name, Configs: r.Configs, CreatedMS: r.MS, ConfigsPos: d.img.pos, num: r.Num})
	return nil
}

// collisionKey is equal for names that Kafka refuses side by side because their metrics would have one name; names without a dot
// or an underscore have none.
func collisionKey(name string) (string, bool) {
	if !strings.ContainsAny(name, "._") {
		return "", false
	}
	return strings.ReplaceAll(name, ".", "_"), true
}

func (d *Draft) topic(num uint32) (*Topic, error) {
	t, ok := d.img.topics.get(num)
	if !ok || t.deleted {
		return nil, fmt.Errorf("topic number %d does not exist", num)
	}
	return t, nil
}

func (d *Draft) part(p part) (*Partition, error) {
	if _, err := d.topic(p.Num); err != nil {
		return nil, err
	}
	q, ok := d.img.partitions.get(partitionKey(p.Num, p.Index))
	if !ok {
		return nil, fmt.Errorf("partition %d of topic number %d does not exist", p.Index, p.Num)
	}
	return q, nil
}

func (r *partitionsCreated) apply(d *Draft) error {
	old, err := d.topic(r.Num)
	if err != nil {
		return err
	}
	if r.From != old.Partitions || r.FirstStream != d.img.nextStream {
		return fmt.Errorf("partitions from %d, streams from %d do not follow %d and %d", r.From, r.FirstStream, old.Partitions, d.img.nextStream)
	}
	for i, leader := range r.Leaders {
		p := &Partition{Topic: old.ID, Index: r.From + int32(i), Leader: leader, LeaderEpoch: -1, Target: base.NoNode, Data: d.img.nextStream, Meta: d.img.nextStream + 1}
		for k := range base.StreamID(2) {
			d.img.streams.set(p.Data+k, &Stream{ID: p.Data + k, Topic: old.ID, Partition: p.Index, Owner: base.NoNode, Epoch: -1, topicNum: r.Num})
		}
		d.img.partitions.set(partitionKey(r.Num, p.Index), p) // the topic's delta covers it
		d.img.countLed(leader, 1)
		d.img.nextStream += 2
	}
	t := *old
	t.Partitions += int32(len(r.Leaders))
	d.putTopic(&t)
	return nil
}

func (r *topicDeleted) apply(d *Draft) error {
	old, err := d.topic(r.Num)
	if err != nil {
		return err
	}
	d.uncount(r.Num)
	t := *old
	t.deleted = true
	d.img.byID.delete(idKey(t.ID))
	d.img.byName.delete(t.Name)
	if key, ok := collisionKey(t.Name); ok {
		d.img.collisions.delete(key)
	}
	d.img.deleted.set(t.num, struct{}{})
	d.putTopic(&t)
	return nil
}

func (r *rangesReaped) apply(d *Draft) error {
	old, ok := d.img.streams.get(r.Stream)
	if !ok {
		return fmt.Errorf("stream %d does not exist", r.Stream)
	}
	if t, ok := d.img.topics.get(old.topicNum); !ok || !t.deleted {
		return fmt.Errorf("topic of stream %d is not deleted", r.Stream)
	}
	s := *old
	s.State = Closed
	d.dropRanges(&s, func(dropped func(Range)) rangeList { return s.ranges.dropFront(int(r.Count), dropped) }, r.MS)
	if !s.ranges.empty() {
		s.Start = max(s.Start, s.ranges.first())
	} else {
		s.Start = s.CommittedEnd
	}
	return nil
}

func (r *partitionsReaped) apply(d *Draft) error {
	t, ok := d.img.topics.get(r.Num)
	if !ok || !t.deleted {
		return fmt.Errorf("topic number %d is not deleted", r.Num)
	}
	for i := r.From; i < r.To; i++ {
		key := partitionKey(r.Num, i)
		p, ok := d.img.partitions.get(key)
		if !ok {
			return fmt.Errorf("partition %d of topic number %d does not exist", i, r.Num)
		}
		for _, id := range [...]base.StreamID{p.Data, p.Meta} {
			s, _ := d.img.streams.get(id)
			s.ranges.dropFront(s.ranges.len(), func(g Range) { d.img.ranges--; d.unref(g.Object, r.MS) })
			d.img.streams.delete(id)
		}
		d.img.partitions.delete(key)
	}
	if r.Last {
		d.img.topics.delete(r.Num)
		d.img.deleted.delete(r.Num)
	}
	return nil
}

func (r *topicConfigsSet) apply(d *Draft) error {
	old, err := d.topic(r.Num)
	if err != nil {
		return err
	}
	t := *old
	t.Configs, t.ConfigsPos = r.Configs, d.img.pos
	d.putTopic(&t)
	return nil
}

func (r *partitionsOpened) apply(d *Draft) error {
	if _, _, err := d.img.volumeOf(r.Node); err != nil {
		return err
	}
	for _, o := range r.Partitions {
		old, err := d.part(o.part)
		if err != nil {
			return err
		}
		if o.Epoch != old.LeaderEpoch+1 || old.Leader != r.Node.ID {
			return fmt.Errorf("partition %d of topic number %d: open by node %d with epoch %d, but leader %d with epoch %d", o.Index, o.Num,
				r.Node.ID, o.Epoch, old.Leader, old.LeaderEpoch)
		}
		p := *old
		for _, id := range [...]base.StreamID{p.Data, p.Meta} {
			if err := d.openStream(id, r.Node, o.Epoch); err != nil {
				return err
			}
		}
		data, _ := d.img.streams.get(p.Data)
		p.LeaderEpoch, p.State = o.Epoch, Opening
		if o.Serve {
			p.State = Serving
		}
		p.EpochStarts = addEpoch(p.EpochStarts, EpochStart{o.Epoch, data.CommittedEnd})
		d.putPartition(o.Num, &p)
	}
	return nil
}

func (d *Draft) openStream(id base.StreamID, node NodeRef, epoch base.StreamEpoch) error {
	old, ok := d.img.streams.get(id)
	if !ok || old.State != Closed || old.Epoch >= epoch {
		return fmt.Errorf("stream %d cannot be opened with epoch %d", id, epoch)
	}
	s := *old
	s.Owner, s.OwnerEpoch, s.Epoch, s.State = node.ID, node.Epoch, epoch, Open
	d.img.streams.set(id, &s)
	d.img.countOpen(&s, 1)
	return nil
}

// addEpoch appends e. Epochs that begin where e does wrote nothing and are left out, as Kafka does.
func addEpoch(starts []EpochStart, e EpochStart) []EpochStart {
	n := len(starts)
	for n > 0 && starts[n-1].Start >= e.Start {
		n--
	}
	return append(slices.Clone(starts[:n]), e)
}

func (r *partitionsServed) apply(d *Draft) error {
	for _, o := range r.Partitions {
		old, err := d.part(o)
		if err != nil {
			return err
		}
		if old.State == Assigned {
			return fmt.Errorf("partition %d of topic number %d is not open", o.Index, o.Num)
		}
		p := *old
		p.State = Serving
		d.putPartition(o.Num, &p)
	}
	return nil
}

func (r *partitionsAssigned) apply(d *Draft) error {
	for _, o := range r.Partitions {
		old, err := d.part(o.part)
		if err != nil {
			return err
		}
		p := *old
		d.img.countLed(p.Leader, -1)
		d.img.countLed(o.Leader, 1)
		p.Leader, p.State, p.Target = o.Leader, Assigned, base.NoNode
		d.putPartition(o.Num, &p)
	}
	return nil
}

func (r *partitionsTargeted) apply(d *Draft) error {
	for _, o := range r.Partitions {
		old, err := d.part(o.part)
		if err != nil {
			return err
		}
		if n, ok := d.img.nodes.get(o.Leader); o.Leader != base.NoNode && (!ok || n.Fenced || o.Leader == old.Leader) {
			return fmt.Errorf("partition %d of topic number %d: node %d cannot be its next leader", o.Index, o.Num, o.Leader)
		}
		if data, _ := d.img.streams.get(old.Data); o.Leader != base.NoNode && data.State != Open {
			return fmt.Errorf("partition %d of topic number %d is not open", o.Index, o.Num)
		}
		p := *old
		p.Target = o.Leader
		d.putPartition(o.Num, &p)
	}
	return nil
}

// apply does in one step what a close, an assignment and an open do. The streams were committed up to their ends.
func (r *partitionsHandedOver) apply(d *Draft) error {
	for _, o := range r.Partitions {
		old, err := d.part(o.part)
		if err != nil {
			return err
		}
		if o.Epoch != old.LeaderEpoch+1 || old.Leader != r.From.ID || !d.img.Current(o.To) {
			return fmt.Errorf("partition %d of topic number %d: handed over by node %d to %v with epoch %d, but leader %d with epoch %d",
				o.Index, o.Num, r.From.ID, o.To, o.Epoch, old.Leader, old.LeaderEpoch)
		}
		p := *old
		for _, id := range [...]base.StreamID{p.Data, p.Meta} {
			s, _ := d.img.streams.get(id)
			if s.State != Open || !d.img.owns(r.From, s) {
				return fmt.Errorf("stream %d is not open for node %v", id, r.From)
			}
			c := *s
			d.img.countOpen(s, -1)
			c.Owner, c.OwnerEpoch, c.Epoch = o.To.ID, o.To.Epoch, o.Epoch
			d.img.streams.set(id, &c)
			d.img.countOpen(&c, 1)
		}
		d.img.countLed(p.Leader, -1)
		d.img.countLed(o.To.ID, 1)
		data, _ := d.img.streams.get(p.Data)
		p.Leader, p.LeaderEpoch, p.State, p.Target = o.To.ID, o.Epoch, Opening, base.NoNode
		p.EpochStarts = addEpoch(p.EpochStarts, EpochStart{o.Epoch, data.CommittedEnd})
		d.putPartition(o.Num, &p)
	}
	return nil
}
