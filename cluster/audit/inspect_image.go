package audit

import (
	"context"
	"fmt"
	"reflect"
	"strconv"
	"strings"

	"sluice/base"
	"sluice/cluster/meta"
	"sluice/storage/object"
	"sluice/storage/slotlog"
	"sluice/storage/wal/block"
)

// imagePage shows the cluster at one position of the metadata. The secret of the cluster is not shown.
func imagePage(img *meta.Image, rows int) *Page {
	p := &Page{}
	p.field("cluster", img.ClusterID())
	p.field("position", img.Pos())
	ctl := img.Controller()
	p.field("controller", fmt.Sprintf("node %d (%s), epoch %d of the log", ctl.Node, ctl.Who, ctl.Epoch))
	p.field("topics", img.TopicCount())
	p.field("partitions", img.PartitionCount())
	p.field("deleted topics to be reaped", img.DeletedTopics())
	var n [meta.Destroying + 1]int
	var bytes [meta.Destroying + 1]int64
	for o := range img.Objects() {
		n[o.State]++
		bytes[o.State] += o.Size
	}
	for s := range n {
		p.field("objects "+meta.ObjectState(s).String(), fmt.Sprintf("%d, %d bytes", n[s], bytes[s]))
	}
	p.field("next object", img.NextObject())
	p.field("next node epoch", img.NextNodeEpoch())
	t := p.table("Nodes", "id epoch name zone fenced registered", rows)
	for n := range img.Nodes() {
		t.row(n.ID, n.Epoch, n.Name, n.Zone, n.Fenced, when(n.RegisteredMS))
	}
	t = p.table("Volumes", "node epoch state WAL trim last_upload", rows)
	for n := range img.Nodes() {
		for _, v := range n.Volumes {
			t.row(n.ID, v.Epoch, v.State, v.URL, v.Trim, v.LastUpload)
		}
	}
	t = p.table("Rescues", "node epoch state rescuer WAL trim last_upload fenced", rows)
	for r := range img.Rescues() {
		t.row(r.Victim.ID, r.Victim.Epoch, r.State, r.Rescuer.ID, r.WAL, r.WALTrim, r.LastUpload, when(r.FencedMS))
	}
	t = p.table("Topics", "name id partitions configs", rows)
	for topic := range img.Topics() {
		t.row(topic.Name, topic.ID, topic.Partitions, len(topic.Configs))
	}
	return p
}

func nodeRef(node, epoch uint64) meta.NodeRef {
	return meta.NodeRef{ID: base.NodeID(node), Epoch: base.NodeEpoch(epoch)}
}

// findLog returns what the image says of the log of a node, under its epoch or that of a volume; the state is empty if it says nothing.
func findLog(img *meta.Image, ref meta.NodeRef) (walLog, string) {
	if r, ok := img.Rescue(ref); ok {
		return walLog{ref, r.WAL, r.WALTrim}, "fenced, rescue " + r.State.String()
	}
	if n, ok := img.Node(ref.ID); ok && !n.Fenced {
		if v, ok := n.Volume(ref.Epoch); ok {
			return walLog{ref, v.URL, v.Trim}, "live"
		}
	}
	return walLog{}, ""
}

// walSlots lists the slots of a log that there are.
func (in *inspector) walSlots(ctx context.Context, p *Page, log slotlog.Log, epoch, trim uint64) error {
	t := p.table("Slots", "slot bytes kind durable records what", in.rows)
	last, any := uint64(0), false
	for info, err := range log.Store.List(ctx, log.EpochPrefix(epoch), "") {
		if err != nil {
			return err
		}
		k := ParseKey(in.opt.Name, info.Key)
		if k.Class != WALSlot {
			p.damage("%s: not the key of a slot", info.Key)
			continue
		}
		if slot := k.At.Slot; any && slot != last+1 && slot > trim {
			p.damage("slots [%d, %d) are not there", max(last+1, trim), slot)
		}
		last, any = k.At.Slot, true
		s, err := log.Read(ctx, epoch, last)
		switch {
		case base.IsKind(err, base.NotFound):
		case base.IsKind(err, base.Corrupt):
			p.damage("%v", err)
			t.row(last, info.Size, "damaged", "", "", "")
		case err != nil:
			return err
		case s.Seal != nil:
			t.row(last, info.Size, "seal", "", "", fmt.Sprintf("by %s: %s", s.Seal.Who, s.Seal.Why))
		default:
			h, err := block.Parse(s.Payload)
			if err != nil {
				p.damage("slot %d: %v", last, err)
			}
			t.row(last, info.Size, "records", h.Durable, h.Records, "")
		}
	}
	return nil
}

// topic shows a partition, or where an offset of it lies.
func (in *inspector) topic(ctx context.Context, s string) (*Page, error) {
	where, at, located := strings.Cut(s, "@")
	i := strings.LastIndexByte(where, '/')
	index, err := strconv.ParseInt(where[i+1:], 10, 32)
	offset, errAt := strconv.ParseInt(at, 10, 64)
	if i < 0 || err != nil || located && errAt != nil {
		return nil, base.Errorf(base.Invalid, "topic:%s: want topic:NAME/PARTITION or topic:NAME/PARTITION@OFFSET", s)
	}
	r, err := in.reader(ctx)
	if err != nil {
		return nil, err
	}
	img := r.Image()
	t, ok := img.TopicByName(where[:i])
	if !ok {
		return nil, base.Errorf(base.NotFound, "there is no topic %s", where[:i])
	}
	part, ok := img.Partition(t.ID, int32(index))
	if !ok {
		return nil, base.Errorf(base.NotFound, "topic %s has %d partitions", t.Name, t.Partitions)
	}
	p := &Page{Title: fmt.Sprintf("Partition %d of topic %s", index, t.Name)}
	p.field("topic id", t.ID)
	p.field("leader", fmt.Sprintf("node %d, epoch %d, %s", part.Leader, part.LeaderEpoch, part.State))
	data, _ := img.Stream(part.Data)
	p.field("data stream", part.Data)
	p.field("meta stream", part.Meta)
	p.field("owner", fmt.Sprintf("node %d, epoch %d; %s", data.Owner, data.OwnerEpoch, data.State))
	p.field("log start offset", data.Start)
	p.field("committed end", data.CommittedEnd)
	p.field("cleaned up to", data.CleanedTo)
	p.field("record bytes in objects", data.Bytes)
	if located {
		return p, in.locate(ctx, p, img, &data, base.Offset(offset))
	}
	in.streams(p, img, &part)
	return p, nil
}

func (in *inspector) streams(p *Page, img *meta.Image, part *meta.Partition) {
	t := p.table("Leader epochs", "epoch start", in.rows)
	for _, e := range part.EpochStarts {
		t.row(e.Epoch, e.Start)
	}
	for _, id := range []base.StreamID{part.Data, part.Meta} {
		s, _ := img.Stream(id)
		name := fmt.Sprintf("Ranges of the data stream %d", id)
		if id == part.Meta {
			name = fmt.Sprintf("Ranges of the meta stream %d, offsets [%d, %d)", id, s.Start, s.CommittedEnd)
		}
		t := p.table(name, "start end object record_bytes max_timestamp", in.rows)
		for r := range s.EachRange() {
			t.row(r.Start, r.End, r.Object, r.Bytes, when(r.MaxTimestamp))
		}
	}
}

// locate finds the object, the block and the record that hold an offset.
func (in *inspector) locate(ctx context.Context, p *Page, img *meta.Image, s *meta.Stream, at base.Offset) error {
	p.field("offset", at)
	switch {
	case at < s.Start:
		p.field("lies", "below the log start offset: it was deleted")
		return nil
	case at >= s.CommittedEnd:
		l, state := findLog(img, meta.NodeRef{ID: s.Owner, Epoch: s.OwnerEpoch})
		if state == "" || s.State == meta.Closed {
			p.field("lies", "nowhere yet: the stream ends before it")
		} else {
			p.field("lies", fmt.Sprintf("in the log of node %d, epoch %d (%s, from block %d on), if it was written", l.ref.ID, l.ref.Epoch, l.url, l.trim))
		}
		return nil
	}
	for r := range img.RangesOf(s.ID, at) {
		o, _ := img.Object(r.Object)
		key := object.Key(img.ClusterID(), r.Object)
		p.field("lies", fmt.Sprintf("in object %s, range %v", r.Object, r.OffsetRange))
		p.field("key", key)
		x, err := object.ReadIndex(ctx, in.bucket, img.ClusterID(), r.Object, o.Size)
		if k := base.KindOf(err); err != nil && (k == base.Corrupt || k == base.NotFound || k == base.OutOfRange) {
			p.damage("%v", err)
			return nil
		} else if err != nil {
			return err
		}
		i, found := x.Find(s.ID, at)
		if !found || x.Entries[i].Range.Start > at {
			p.field("block", "none: key compaction removed the offset, or the object is not what it should be")
			return nil
		}
		return in.locateIn(ctx, p, key, &x.Entries[i], at)
	}
	p.damage("no range holds the offset")
	return nil
}

func (in *inspector) locateIn(ctx context.Context, p *Page, key string, e *object.Entry, at base.Offset) error {
	p.field("block", fmt.Sprintf("bytes [%d, %d), epoch %d, offsets %v", e.Pos, e.Pos+int64(e.Size), e.Epoch, e.Range))
	b, err := in.bucket.Get(ctx, key, e.Pos, int64(e.Size), nil)
	if err != nil {
		return err
	}
	items, err := object.ParseBlock(e, b, nil)
	if err != nil {
		p.damage("%v", err)
		return nil
	}
	t := p.table("Record batches", "byte stream start end records bytes codec producer max_timestamp what", in.rows)
	for i := range items {
		if it := &items[i]; it.Range.Contains(at) {
			in.item(p, t, e, it, b[it.Pos:it.Pos+it.Len])
		}
	}
	return nil
}

// describe writes the fields of a record of the metadata; secrets are left out.
func describe(r meta.Record) string {
	var b strings.Builder
	describeValue(&b, reflect.ValueOf(r))
	return strings.TrimSuffix(strings.TrimPrefix(b.String(), "{"), "}")
}

func describeValue(b *strings.Builder, v reflect.Value) {
	if v.CanInterface() {
		if s, ok := v.Interface().(fmt.Stringer); ok {
			b.WriteString(s.String())
			return
		}
	}
	switch v.Kind() {
	case reflect.Pointer:
		describeValue(b, v.Elem())
	case reflect.Struct:
		b.WriteByte('{')
		for i := range v.NumField() {
			if i > 0 {
				b.WriteByte(' ')
			}
			b.WriteString(v.Type().Field(i).Name + "=")
			if v.Type().Field(i).Name == "Secret" {
				b.WriteString("hidden")
				continue
			}
			describeValue(b, v.Field(i))
		}
		b.WriteByte('}')
	case reflect.Slice:
		b.WriteByte('[')
		for i := range v.Len() {
			if i > 0 {
				b.WriteString("; ")
			}
			describeValue(b, v.Index(i))
		}
		b.WriteByte(']')
	case reflect.String:
		b.WriteString(strconv.Quote(v.String()))
	default:
		fmt.Fprint(b, v)
	}
}
