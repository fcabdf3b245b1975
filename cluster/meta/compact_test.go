package meta

import (
	"fmt"
	"slices"
	"testing"

	"sluice/base"
)

// compacting is a world with one stream of five ranges of ten offsets, in the objects ids[0] to ids[4], and one object more, prepared.
type compacting struct {
	*world
	node  NodeRef
	topic base.UUID
	s     Stream
	ids   []base.ObjectID
	fresh base.ObjectID
}

func newCompacting(t *testing.T) *compacting {
	t.Helper()
	w := newWorld(t)
	c := &compacting{world: w, node: w.register(base.NoNode)}
	c.topic = w.topic("t", 1)
	c.s = w.open(c.node, c.topic)[0]
	for i := range base.Offset(5) {
		c.ids = append(c.ids, w.prepare(c.node))
		w.do(uploadOf(c.node, uint64(i)+1, 0, c.ids[i], span(c.s, 10*i, 10*i+10)))
	}
	c.fresh = w.prepare(c.node)
	return c
}

// compaction replaces [start, end), which is in the sources, by one range of 3 bytes per offset in the object.
func (c *compacting) compaction(start, end base.Offset, id base.ObjectID, sources ...base.ObjectID) *CommitCompaction {
	return &CommitCompaction{Node: c.node, Objects: []CompactedObject{{ID: id, Size: 77, Kind: SO}}, Replacements: []Replacement{{Stream: c.s.ID,
		Range: base.OffsetRange{Start: start, End: end}, Sources: sources,
		New: []NewRange{{Object: id, Range: base.OffsetRange{Start: start, End: end}, Bytes: 3 * int64(end-start), MaxTimestamp: 5}}}}}
}

func (c *compacting) verdicts(cmd *CommitCompaction, duplicate bool, want ...CompactVerdict) {
	c.t.Helper()
	done := c.do(cmd).(*CompactionDone)
	if done.Duplicate != duplicate || !slices.Equal(done.Verdicts, want) {
		c.t.Fatalf("verdicts %v, duplicate %v, want %v, %v", done.Verdicts, done.Duplicate, want, duplicate)
	}
}

func (c *compacting) trim(to base.Offset) {
	c.t.Helper()
	c.do(&TrimStreams{Node: c.node, Trims: []StreamTrim{{c.s.ID, c.s.Epoch, to}}})
}

// layout shows the ranges of the stream.
func (c *compacting) layout() string {
	s, _ := c.img.Stream(c.s.ID)
	out := fmt.Sprintf("%d:", s.Start)
	for r := range c.img.RangesOf(c.s.ID, 0) {
		out += fmt.Sprintf(" %d-%d@%d", r.Start, r.End, r.Object)
	}
	return out
}

func (c *compacting) state(id base.ObjectID, want ObjectState) {
	c.t.Helper()
	if o, ok := c.img.Object(id); !ok || o.State != want {
		c.t.Fatalf("object %s is %v, want %v", id, o.State, want)
	}
}

func (c *compacting) want(layout string) {
	c.t.Helper()
	if got := c.layout(); got != layout {
		c.t.Fatalf("ranges %s, want %s", got, layout)
	}
}

func TestCompactionReplacesRanges(t *testing.T) {
	c := newCompacting(t)
	cmd := c.compaction(10, 40, c.fresh, c.ids[1:4]...)
	c.verdicts(cmd, false, CompactReplaced)
	c.want("0: 0-10@1 10-40@6 40-50@5")
	s, _ := c.img.Stream(c.s.ID)
	o, _ := c.img.Object(c.fresh)
	if s.Bytes != 10+90+10 || s.CleanedTo != 0 || o.Size != 77 || o.Kind != SO || o.Refs != 1 {
		t.Fatalf("%+v, %+v", s, o)
	}
	for _, id := range c.ids[1:4] {
		c.state(id, Destroying)
	}
	at := c.img.Pos()
	c.verdicts(cmd, true, CompactReplaced)
	if c.img.Pos() != at {
		t.Fatal("a repetition changed something")
	}
}

// What was planned before another compaction took place finds its sources gone, and its own object becomes garbage.
func TestCompactionOfWhatHasChanged(t *testing.T) {
	c := newCompacting(t)
	late := c.prepare(c.node)
	c.verdicts(c.compaction(10, 30, c.fresh, c.ids[1:3]...), false, CompactReplaced)
	c.verdicts(c.compaction(0, 20, late, c.ids[0:2]...), false, CompactChanged)
	c.state(late, Destroying)
	c.want("0: 0-10@1 10-30@6 30-40@4 40-50@5")
	for _, cmd := range []func(base.ObjectID) *CommitCompaction{
		func(id base.ObjectID) *CommitCompaction { return c.compaction(10, 30, id, c.ids[1:3]...) },
		func(id base.ObjectID) *CommitCompaction { return c.compaction(0, 10, id, c.ids[0], c.ids[0]) },
		func(id base.ObjectID) *CommitCompaction { return c.compaction(0, 10, id, c.fresh) },
		func(id base.ObjectID) *CommitCompaction { return c.compaction(0, 9, id, c.ids[0]) },
		func(id base.ObjectID) *CommitCompaction { return c.compaction(1, 10, id, c.ids[0]) },
		func(id base.ObjectID) *CommitCompaction { return c.compaction(30, 50, id, c.ids[3]) },
		func(id base.ObjectID) *CommitCompaction { return c.compaction(30, 60, id, c.ids[3:5]...) },
		func(id base.ObjectID) *CommitCompaction { return c.compaction(30, 50, id, c.ids[4], c.ids[3]) },
		func(id base.ObjectID) *CommitCompaction { return c.compaction(60, 70, id, c.ids[4]) },
	} {
		id := c.prepare(c.node)
		c.verdicts(cmd(id), false, CompactChanged)
		c.state(id, Destroying)
	}
	c.want("0: 0-10@1 10-30@6 30-40@4 40-50@5")
}

// Trims between planning and commit: what they dropped needs no replacement, the rest gets one.
func TestCompactionAfterTrims(t *testing.T) {
	for _, at := range []struct {
		start   base.Offset
		verdict CompactVerdict
		after   string
	}{
		{5, CompactReplaced, "5: 0-30@6 30-40@4 40-50@5"},
		{10, CompactReplaced, "10: 0-30@6 30-40@4 40-50@5"},
		{25, CompactReplaced, "25: 0-30@6 30-40@4 40-50@5"},
		{30, CompactTrimmed, "30: 30-40@4 40-50@5"},
		{45, CompactTrimmed, "45: 40-50@5"},
		{50, CompactTrimmed, "50:"},
	} {
		c := newCompacting(t)
		c.trim(at.start)
		cmd := c.compaction(0, 30, c.fresh, c.ids[0:3]...)
		c.verdicts(cmd, false, at.verdict)
		c.want(at.after)
		if at.verdict == CompactTrimmed {
			c.state(c.fresh, Destroying)
			c.refused(cmd, ObjectNotPrepared, base.NotFound)
		} else {
			c.verdicts(cmd, true, at.verdict)
			c.trim(30)
			c.state(c.fresh, Destroying)
		}
	}
}

// Of several new ranges those below the start are left out; an object that is then of no use is garbage.
func TestCompactionIntoSeveralRanges(t *testing.T) {
	c := newCompacting(t)
	second := c.prepare(c.node)
	cmd := c.compaction(0, 30, c.fresh, c.ids[0:3]...)
	cmd.Objects = append(cmd.Objects, CompactedObject{ID: second, Size: 5})
	cmd.Replacements[0].New = []NewRange{{c.fresh, base.OffsetRange{Start: 0, End: 12}, 1, 1}, {second, base.OffsetRange{Start: 12, End: 30}, 2, 2}}
	c.trim(14)
	c.verdicts(cmd, false, CompactReplaced)
	c.want("14: 12-30@7 30-40@4 40-50@5")
	c.state(c.fresh, Destroying)
	c.verdicts(cmd, true, CompactReplaced)
	// The first range begins elsewhere now; what names it as it is can replace it, what knew it before cannot.
	third := c.prepare(c.node)
	c.verdicts(c.compaction(10, 30, third, c.ids[1:3]...), false, CompactChanged)
	third = c.prepare(c.node)
	c.verdicts(c.compaction(12, 40, third, second, c.ids[3]), false, CompactReplaced)
	c.want(fmt.Sprintf("14: 12-40@%d 40-50@5", third))
	c.state(second, Destroying)
}

func TestCompactionOfADeletedTopic(t *testing.T) {
	c := newCompacting(t)
	c.do(&DeleteTopics{Topics: []TopicRef{{ID: c.topic}}})
	c.verdicts(c.compaction(0, 20, c.fresh, c.ids[0:2]...), false, CompactDeleted)
	c.state(c.fresh, Destroying)
	c.do(&ReapTopics{Limit: 100})
}

// One replacement that cannot be does not touch the others.
func TestCompactionIsEachForItself(t *testing.T) {
	c := newCompacting(t)
	other := c.open(c.node, c.topicWith("u", c.node))[0]
	id := c.prepare(c.node)
	c.do(uploadOf(c.node, 6, 0, id, span(other, 0, 10)))
	cmd := c.compaction(0, 20, c.fresh, c.ids[1], c.ids[0])
	cmd.Replacements = append(cmd.Replacements, c.compaction(20, 40, c.fresh, c.ids[2:4]...).Replacements...)
	cmd.Replacements = append(cmd.Replacements, Replacement{Stream: other.ID, Range: base.OffsetRange{End: 10}, Sources: []base.ObjectID{id},
		New: []NewRange{{c.fresh, base.OffsetRange{End: 10}, 1, 1}}})
	c.verdicts(cmd, false, CompactChanged, CompactReplaced, CompactReplaced)
	c.want("0: 0-10@1 10-20@2 20-40@6 40-50@5")
	c.state(id, Destroying)
	if o, _ := c.img.Object(c.fresh); o.Refs != 2 {
		t.Fatalf("%+v", o)
	}
	c.verdicts(cmd, true, CompactChanged, CompactReplaced, CompactReplaced)
}

func (c *compacting) topicWith(name string, node NodeRef) base.UUID {
	return c.do(&CreateTopics{Topics: []NewTopic{{Name: name, Partitions: 1, Leaders: []base.NodeID{node.ID}}}}).(*TopicsCreated).Topics[0].ID
}

func TestCleanedMoves(t *testing.T) {
	c := newCompacting(t)
	cleaned := func(want base.Offset) {
		t.Helper()
		back, err := LoadSnapshot(c.img.AppendSnapshot(nil))
		if err != nil {
			t.Fatal(err)
		}
		for _, img := range []*Image{c.img, back} {
			if s, _ := img.Stream(c.s.ID); s.CleanedTo != want {
				t.Fatalf("cleaned up to %d, want %d", s.CleanedTo, want)
			}
		}
	}
	cmd := c.compaction(0, 20, c.fresh, c.ids[0:2]...)
	cmd.Replacements[0].Cleaned = true
	c.verdicts(cmd, false, CompactReplaced)
	cleaned(20)
	// Nothing was to be removed: only the mark moves.
	none := &CommitCompaction{Node: c.node, Replacements: []Replacement{{Stream: c.s.ID, Range: base.OffsetRange{Start: 20, End: 40}, Sources: c.ids[2:4], Cleaned: true}}}
	c.verdicts(none, false, CompactReplaced)
	c.verdicts(none, false, CompactReplaced)
	c.want("0: 0-20@6 20-30@3 30-40@4 40-50@5")
	cleaned(40)
	// It never goes back, and what has changed does not move it.
	fresh := c.prepare(c.node)
	cmd = c.compaction(0, 30, fresh, c.fresh, c.ids[2])
	cmd.Replacements[0].Cleaned = true
	c.verdicts(cmd, false, CompactReplaced)
	cleaned(40)
	none.Replacements[0].Range = base.OffsetRange{Start: 40, End: 50}
	c.verdicts(none, false, CompactChanged)
	c.trim(50)
	c.verdicts(none, false, CompactTrimmed)
	cleaned(40)
}

func TestCompactionChecks(t *testing.T) {
	c := newCompacting(t)
	other := c.register(base.NoNode)
	good := func() *CommitCompaction { return c.compaction(0, 20, c.fresh, c.ids[0:2]...) }
	for what, wrong := range map[string]func(*CommitCompaction){
		"no range":         func(m *CommitCompaction) { m.Replacements[0].Range.End = 0 },
		"below zero":       func(m *CommitCompaction) { m.Replacements[0].Range.Start = -1 },
		"no source":        func(m *CommitCompaction) { m.Replacements[0].Sources = nil },
		"nothing new":      func(m *CommitCompaction) { m.Replacements[0].New = nil },
		"too short":        func(m *CommitCompaction) { m.Replacements[0].New[0].Range.End-- },
		"too long":         func(m *CommitCompaction) { m.Replacements[0].New[0].Range.End++ },
		"begins late":      func(m *CommitCompaction) { m.Replacements[0].New[0].Range.Start++ },
		"unknown object":   func(m *CommitCompaction) { m.Replacements[0].New[0].Object = c.ids[4] },
		"negative bytes":   func(m *CommitCompaction) { m.Replacements[0].New[0].Bytes = -1 },
		"an object twice":  func(m *CommitCompaction) { m.Objects = append(m.Objects, m.Objects[0]) },
		"a range twice":    func(m *CommitCompaction) { m.Replacements = append(m.Replacements, m.Replacements[0]) },
		"another's object": func(m *CommitCompaction) { m.Node = other },
		"negative size":    func(m *CommitCompaction) { m.Objects[0].Size = -1 },
		"an unknown kind":  func(m *CommitCompaction) { m.Objects[0].Kind = 2 },
		"a gap in the middle": func(m *CommitCompaction) {
			m.Replacements[0].New = []NewRange{{c.fresh, base.OffsetRange{End: 9}, 1, 1}, {c.fresh, base.OffsetRange{Start: 10, End: 20}, 1, 1}}
		},
	} {
		m := good()
		wrong(m)
		t.Log(what)
		c.refused(m, InvalidCommand, base.Invalid)
	}
	large := good()
	large.Replacements[0].New = make([]NewRange, MaxReplacementRanges+1)
	c.refused(large, TooLarge, base.Invalid)
	large = good()
	large.Replacements[0].Sources = make([]base.ObjectID, MaxUploadRanges)
	c.refused(large, TooLarge, base.Invalid)

	expired := good()
	c.do(&ExpireObjects{Limit: 10})
	c.refused(expired, ObjectNotPrepared, base.NotFound)
	// An object that is committed by something else proves nothing: the ranges must name it.
	m := c.compaction(0, 20, c.ids[4], c.ids[0:2]...)
	c.verdicts(m, true, CompactChanged)
	c.fresh = c.prepare(c.node)
	c.do(&FenceNode{Node: c.node})
	c.refused(good(), StaleEpoch, base.Fenced)
	c.want("0: 0-10@1 10-20@2 20-30@3 30-40@4 40-50@5")
}
