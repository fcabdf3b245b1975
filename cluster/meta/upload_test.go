package meta

import (
	"fmt"
	"reflect"
	"testing"

	"sluice/base"
)

// world is a small cluster for tests that tell one story.
type world struct {
	t   *testing.T
	img *Image
	now int64
	n   byte
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{t: t, img: Empty(), now: 1_700_000_000_000}
	img, err := w.img.Apply(0, []Record{CreateCluster(w.uuid(), [32]byte{7}, w.now), ChangeController(0, "test", base.NoNode)})
	if err != nil {
		t.Fatal(err)
	}
	w.img = img
	return w
}

func (w *world) uuid() base.UUID { w.n++; return base.UUID{9, w.n} }

func (w *world) try(cmd Command) (Result, error) {
	w.t.Helper()
	recs, res, err := Decide(w.img, Fill(cmd, w.uuid), w.now)
	img, applyErr := w.img.Apply(w.img.Pos(), recs)
	if applyErr != nil {
		w.t.Fatal(applyErr)
	}
	if err := check(img); err != nil {
		w.t.Fatal(err)
	}
	w.img = img
	return res, err
}

func (w *world) do(cmd Command) Result {
	w.t.Helper()
	res, err := w.try(cmd)
	if err != nil {
		w.t.Fatalf("%s: %v", CommandName(cmd), err)
	}
	if o, ok := res.(*Outcomes); ok {
		for _, rej := range o.Errs {
			if rej != nil {
				w.t.Fatalf("%s: %v", CommandName(cmd), rej)
			}
		}
	}
	return res
}

func (w *world) refused(cmd Command, code RejectCode, kind base.Kind) {
	w.t.Helper()
	before := w.img.Pos()
	_, err := w.try(cmd)
	if CodeOf(err) != code || !base.IsKind(err, kind) {
		w.t.Fatalf("%s: got %v (%v, %v), want %v, %v", CommandName(cmd), err, CodeOf(err), base.KindOf(err), code, kind)
	}
	if w.img.Pos() != before {
		w.t.Fatalf("%s: a refused command changed the image", CommandName(cmd))
	}
}

func (w *world) register(reclaim base.NodeID) NodeRef {
	w.t.Helper()
	return w.do(&Register{Incarnation: w.uuid(), Reclaim: reclaim, WAL: "mem://x"}).(*Registered).Node
}

func (w *world) topic(name string, partitions int32) base.UUID {
	w.t.Helper()
	res := w.do(&CreateTopics{Topics: []NewTopic{{Name: name, Partitions: partitions}}}).(*TopicsCreated).Topics[0]
	if res.Err != nil {
		w.t.Fatal(res.Err)
	}
	return res.ID
}

// open opens all partitions of a topic for the node and returns their data streams.
func (w *world) open(node NodeRef, topic base.UUID) []Stream {
	w.t.Helper()
	cmd := &OpenPartitions{Node: node}
	for p := range w.img.PartitionsOf(topic) {
		cmd.Partitions = append(cmd.Partitions, OpenPartition{PartitionID{topic, p.Index}, p.LeaderEpoch})
	}
	var out []Stream
	for _, o := range w.do(cmd).(*PartitionsOpened).Partitions {
		if o.Err != nil {
			w.t.Fatal(o.Err)
		}
		out = append(out, o.Data)
	}
	return out
}

func (w *world) prepare(node NodeRef) base.ObjectID {
	w.t.Helper()
	return w.do(&PrepareObjects{Node: node, Count: 1}).(*ObjectsPrepared).First
}

func span(s Stream, from, to base.Offset) UploadRange {
	return UploadRange{Stream: s.ID, Epoch: s.Epoch, Range: base.OffsetRange{Start: from, End: to}, Bytes: int64(to - from)}
}

func uploadOf(node NodeRef, number uint64, trim base.WALPos, id base.ObjectID, ranges ...UploadRange) *CommitUpload {
	return &CommitUpload{Node: node, Number: number, Trim: trim, Objects: []UploadObject{{ID: id, Size: 10, Ranges: ranges}}}
}

// The checks of a commit come in the order of the design: each case is wrong in one way and in every way that comes after it.
func TestCommitChecksInOrder(t *testing.T) {
	w := newWorld(t)
	zombie := w.register(base.NoNode)
	node := w.register(zombie.ID)
	topic := w.topic("t", 2)
	w.do(&GrantRescue{Victim: zombie, Rescuer: node})
	old := w.do(&GrantRescue{Victim: zombie, Rescuer: node}).(*Granted).Rescue.Grant
	w.do(&CompleteRescue{Victim: zombie, Grant: old})
	streams := w.open(node, topic)
	a := streams[0]
	first := w.prepare(node)
	w.do(uploadOf(node, 1, 5, first, span(a, 0, 10)))
	gap := span(a, 50, 60)
	expired := w.prepare(node)
	w.now += 10_000
	w.do(&ExpireObjects{AgeMS: 10_000, Limit: 10})
	fresh := w.prepare(node)

	w.refused(uploadOf(zombie, 0, 0, expired, gap), StaleEpoch, base.Fenced)
	w.refused(uploadOf(NodeRef{77, 1}, 0, 0, expired, gap), UnknownNode, base.NotFound)
	void := uploadOf(zombie, 0, 0, expired, gap)
	void.Grant = old
	w.refused(void, VoidGrant, base.Fenced)
	for _, number := range []uint64{0, 1} { // a duplicate, although nothing else about it is right
		res := w.do(uploadOf(node, number, 0, first, gap)).(*UploadDone)
		if !res.Duplicate || len(res.Verdicts) != 1 {
			t.Fatalf("upload %d: %+v", number, res)
		}
	}
	w.refused(uploadOf(node, 3, 9, expired, gap), UploadGap, base.Invalid)
	w.refused(uploadOf(node, 2, 9, expired, gap), ObjectNotPrepared, base.NotFound)
	w.refused(uploadOf(node, 2, 9, first, gap), ObjectNotPrepared, base.NotFound) // committed is not prepared
	w.refused(uploadOf(node, 2, 9, fresh, span(a, 10, 12), gap), UploadGap, base.Invalid)
	if s, _ := w.img.Stream(a.ID); s.CommittedEnd != 10 {
		t.Fatalf("refused uploads moved the committed end to %d", s.CommittedEnd)
	}
	if n, _ := w.img.Node(node.ID); n.Volumes[0].Trim != 5 || n.Volumes[0].LastUpload != 1 {
		t.Fatalf("refused uploads moved trim and number to %d, %d", n.Volumes[0].Trim, n.Volumes[0].LastUpload)
	}
}

// A range is committed from the committed end on; what lies below, belongs to others or is deleted is skipped and does not keep the
// rest from being committed; an object with nothing in it is marked at once.
func TestCommitVerdicts(t *testing.T) {
	w := newWorld(t)
	node, other := w.register(base.NoNode), w.register(base.NoNode)
	topic := w.do(&CreateTopics{Topics: []NewTopic{{Name: "t", Partitions: 3, Leaders: []base.NodeID{node.ID, node.ID, other.ID}}}}).(*TopicsCreated).Topics[0].ID
	gone := w.do(&CreateTopics{Topics: []NewTopic{{Name: "gone", Partitions: 1, Leaders: []base.NodeID{node.ID}}}}).(*TopicsCreated).Topics[0].ID
	open := func(ref NodeRef, topic base.UUID, index int32) Stream {
		return w.do(&OpenPartitions{Node: ref, Partitions: []OpenPartition{{PartitionID{topic, index}, -1}}}).(*PartitionsOpened).Partitions[0].Data
	}
	a, b, c, g := open(node, topic, 0), open(node, topic, 1), open(other, topic, 2), open(node, gone, 0)
	w.do(uploadOf(node, 1, 1, w.prepare(node), span(a, 0, 10), span(b, 0, 4)))
	w.do(&DeleteTopics{Topics: []TopicRef{{Name: "gone"}}})

	stale := span(b, 4, 8)
	stale.Epoch--
	one, two, unused := w.prepare(node), w.prepare(node), w.prepare(node)
	cmd := &CommitUpload{Node: node, Number: 2, Trim: 7, Objects: []UploadObject{
		{ID: one, Size: 1, Ranges: []UploadRange{span(a, 5, 12), span(b, 0, 4), span(c, 0, 3), span(g, 0, 9), stale}},
		{ID: two, Size: 2, Kind: SO, Ranges: []UploadRange{span(a, 12, 20)}},
		{ID: unused, Size: 3, Ranges: []UploadRange{span(a, 0, 3)}},
	}}
	want := []Verdict{VerdictCommitted, VerdictBelow, VerdictNotOwned, VerdictDeleted, VerdictNotOwned, VerdictCommitted, VerdictBelow}
	if res := w.do(cmd).(*UploadDone); !reflect.DeepEqual(res.Verdicts, want) || res.Duplicate {
		t.Fatalf("got %+v, want %v", res, want)
	}
	if res := w.do(cmd).(*UploadDone); !reflect.DeepEqual(res.Verdicts, want) || !res.Duplicate {
		t.Fatalf("the duplicate got %+v, want %v", res, want)
	}
	loc, err := w.img.Locate(a.ID, 11, 9)
	if err != nil || loc.CommittedEnd != 20 || len(loc.Objects) != 2 {
		t.Fatalf("located %+v, %v", loc, err)
	}
	if r := loc.Objects[0]; r.Object != one || r.OffsetRange != (base.OffsetRange{Start: 10, End: 12}) || r.Size != 1 {
		t.Fatalf("the range that lay half below is located as %+v", r)
	}
	if o, _ := w.img.Object(unused); o.State != Destroying {
		t.Fatalf("the object without a committed range is %s", o.State)
	}
	if n, _ := w.img.Node(node.ID); n.Volumes[0].Trim != 7 || n.Volumes[0].LastUpload != 2 {
		t.Fatalf("trim %d, number %d", n.Volumes[0].Trim, n.Volumes[0].LastUpload)
	}
}

// Failover, told from the metadata's side: the fence freezes the victim's trim, only the newest grant moves it, the streams close when
// the rescue is complete, and then another epoch opens them.
func TestRescue(t *testing.T) {
	w := newWorld(t)
	victim := w.register(base.NoNode)
	topic := w.topic("t", 1)
	a := w.open(victim, topic)[0]
	w.do(uploadOf(victim, 1, 3, w.prepare(victim), span(a, 0, 10)))
	late := w.prepare(victim)
	node := w.register(victim.ID)
	w.refused(uploadOf(victim, 2, 4, late, span(a, 10, 20)), StaleEpoch, base.Fenced)
	if p, _ := w.img.Partition(topic, 0); p.State != Assigned {
		t.Fatalf("a partition of a fenced leader is %s", p.State)
	}
	opened := w.do(&OpenPartitions{Node: node, Partitions: []OpenPartition{{PartitionID{topic, 0}, a.Epoch}}}).(*PartitionsOpened)
	if CodeOf(opened.Partitions[0].Err) != StreamsNotClosed {
		t.Fatalf("opened before the rescue: %+v", opened)
	}
	r := w.do(&GrantRescue{Victim: victim, Rescuer: node}).(*Granted).Rescue
	if r.WALTrim != 3 || r.LastUpload != 1 || r.WAL != "mem://x" {
		t.Fatalf("granted %+v", r)
	}
	if again := w.do(&GrantRescue{Victim: victim, Rescuer: node}).(*Granted).Rescue; again.Grant != r.Grant {
		t.Fatalf("the same rescuer was granted %d and %d", r.Grant, again.Grant)
	}
	other := w.register(base.NoNode)
	newer := w.do(&GrantRescue{Victim: victim, Rescuer: other}).(*Granted).Rescue
	cmd := uploadOf(victim, 2, 9, w.prepare(node), span(a, 10, 30))
	cmd.Grant = r.Grant
	w.refused(cmd, VoidGrant, base.Fenced)
	w.refused(&CompleteRescue{Victim: victim, Grant: r.Grant}, VoidGrant, base.Fenced)
	cmd.Grant = newer.Grant
	w.do(cmd)
	w.refused(&ForgetRescue{Victim: victim}, RescueRunning, base.Unavailable)
	w.do(&CompleteRescue{Victim: victim, Grant: newer.Grant})
	w.do(&CompleteRescue{Victim: victim, Grant: newer.Grant})
	if s, _ := w.img.Stream(a.ID); s.State != Closed || s.CommittedEnd != 30 {
		t.Fatalf("after the rescue: %+v", s)
	}
	b := w.open(node, topic)[0]
	if b.Epoch != a.Epoch+1 || b.Owner != node.ID || b.OwnerEpoch != node.Epoch {
		t.Fatalf("reopened as %+v", b)
	}
	p, _ := w.img.Partition(topic, 0)
	if want := []EpochStart{{0, 0}, {1, 30}}; !reflect.DeepEqual(p.EpochStarts, want) {
		t.Fatalf("epochs start at %v, want %v", p.EpochStarts, want)
	}
	w.do(&ForgetRescue{Victim: victim})
	w.do(&ForgetRescue{Victim: victim})
	if w.img.RescueCount() != 0 {
		t.Fatal("the rescue is not forgotten")
	}
}

// A stream closes only at its committed end, and once.
func TestClose(t *testing.T) {
	w := newWorld(t)
	node := w.register(base.NoNode)
	topic := w.topic("t", 1)
	a := w.open(node, topic)[0]
	w.do(uploadOf(node, 1, 1, w.prepare(node), span(a, 0, 10)))
	try := func(end base.Offset, epoch base.StreamEpoch) RejectCode {
		res := w.mustOutcomes(&CloseStreams{Node: node, Closes: []StreamClose{{a.ID, epoch, end}}})
		return codeOf(res.Errs[0])
	}
	for _, c := range []struct {
		end   base.Offset
		epoch base.StreamEpoch
		want  RejectCode
	}{{11, 0, NotCommitted}, {9, 0, NotCommitted}, {10, 1, StaleEpoch}, {10, 0, None}, {10, 0, None}, {11, 0, NotCommitted}} {
		if got := try(c.end, c.epoch); got != c.want {
			t.Fatalf("close at %d under epoch %d: %v, want %v", c.end, c.epoch, got, c.want)
		}
	}
	upload := w.do(uploadOf(node, 2, 2, w.prepare(node), span(a, 10, 20))).(*UploadDone)
	if upload.Verdicts[0] != VerdictNotOwned {
		t.Fatalf("an upload to a closed stream: %v", upload.Verdicts)
	}
}

func (w *world) mustOutcomes(cmd Command) *Outcomes {
	w.t.Helper()
	res, err := w.try(cmd)
	if err != nil {
		w.t.Fatal(err)
	}
	return res.(*Outcomes)
}

// codeOf is the code of a rejection that may be nil.
func codeOf(r *Rejection) RejectCode {
	if r == nil {
		return None
	}
	return r.Code
}

// Trims move the start, free objects that lie below it whole, and forget leader epochs that end below it.
func TestTrimFreesObjects(t *testing.T) {
	w := newWorld(t)
	node := w.register(base.NoNode)
	topic := w.topic("t", 1)
	a := w.open(node, topic)[0]
	for i := range base.Offset(100) {
		w.do(uploadOf(node, uint64(i)+1, base.WALPos(i), w.prepare(node), span(a, 10*i, 10*i+10)))
	}
	trim := func(to base.Offset) { w.do(&TrimStreams{Node: node, Trims: []StreamTrim{{a.ID, a.Epoch, to}}}) }
	for _, c := range []struct {
		to, start base.Offset
		ranges    int
	}{{9, 9, 100}, {10, 10, 99}, {5, 10, 99}, {555, 555, 45}, {1000, 1000, 0}} {
		trim(c.to)
		s, _ := w.img.Stream(a.ID)
		if s.Start != c.start || s.Ranges() != c.ranges || w.img.DestroyingCount() != 100-c.ranges {
			t.Fatalf("trim to %d: start %d, %d ranges, %d objects destroying", c.to, s.Start, s.Ranges(), w.img.DestroyingCount())
		}
	}
	if rej := w.mustOutcomes(&TrimStreams{Node: node, Trims: []StreamTrim{{a.ID, a.Epoch, 1001}}}).Errs[0]; codeOf(rej) != NotCommitted {
		t.Fatalf("trim above the committed end: %v", rej)
	}
	if loc, err := w.img.Locate(a.ID, 0, 10); err != nil || loc.Start != 1000 || len(loc.Objects) != 0 {
		t.Fatalf("located %+v, %v", loc, err)
	}
}

// Deleting a topic is one small record; its objects go when its remains are reaped, a bounded piece at a time.
func TestDeletedTopicIsReaped(t *testing.T) {
	w := newWorld(t)
	node := w.register(base.NoNode)
	topic := w.topic("t", 5)
	kept := w.open(node, w.topic("kept", 1))[0]
	streams := w.open(node, topic)
	for i := range 7 {
		o := base.Offset(i)
		var ranges []UploadRange
		for _, s := range streams {
			ranges = append(ranges, span(s, o, o+1))
		}
		if i == 3 {
			ranges = append(ranges, span(kept, 0, 5))
		}
		w.do(uploadOf(node, uint64(i)+1, 1, w.prepare(node), ranges...))
	}
	before := w.img.Pos()
	w.do(&DeleteTopics{Topics: []TopicRef{{ID: topic}}})
	if w.img.Pos() != before+1 || w.img.DestroyingCount() != 0 {
		t.Fatalf("%d records, %d objects destroying", w.img.Pos()-before, w.img.DestroyingCount())
	}
	if _, ok := w.img.Stream(streams[0].ID); ok {
		t.Fatal("a stream of the deleted topic is still seen")
	}
	again := w.topic("t", 1)
	if again == topic {
		t.Fatal("the new topic has the old id")
	}
	steps := 0
	for ; w.img.DeletedTopics() > 0; steps++ {
		if n := w.do(&ReapTopics{Limit: 5}).(*Worked).Items; n < 1 || n > 6 {
			t.Fatalf("one step reaped %d", n)
		}
	}
	if w.img.DestroyingCount() != 6 || steps < 8 {
		t.Fatalf("%d objects destroying after %d steps", w.img.DestroyingCount(), steps)
	}
	if loc, _ := w.img.Locate(kept.ID, 0, 9); len(loc.Objects) != 1 {
		t.Fatal("the object that another topic shares is gone")
	}
	if n := w.img.PartitionCount(); n != 2 {
		t.Fatalf("%d partitions are left", n)
	}
}

// Opening is repeated safely by the owner that did not hear the answer, and by nobody else.
func TestOpenTwice(t *testing.T) {
	w := newWorld(t)
	node := w.register(base.NoNode)
	topic := w.topic("t", 1)
	cmd := &OpenPartitions{Node: node, Partitions: []OpenPartition{{PartitionID{topic, 0}, -1}}, ServeEmpty: true}
	first := w.do(cmd).(*PartitionsOpened).Partitions[0]
	again := w.do(cmd).(*PartitionsOpened).Partitions[0]
	if first.Err != nil || again.Err != nil || again.Partition.LeaderEpoch != 0 || first.Partition.State != Serving {
		t.Fatalf("%+v, %+v", first, again)
	}
	cmd.Partitions[0].Expected = 0
	if code := codeOf(w.do(cmd).(*PartitionsOpened).Partitions[0].Err); code != StreamsNotClosed {
		t.Fatalf("an open stream was opened: %v", code)
	}
	cmd.Partitions[0].Expected = 5
	if code := codeOf(w.do(cmd).(*PartitionsOpened).Partitions[0].Err); code != StaleEpoch {
		t.Fatalf("opened under a wrong epoch: %v", code)
	}
}

// Incarnations: the same one gets the same answer, and none once it is over.
func TestIncarnations(t *testing.T) {
	w := newWorld(t)
	u := w.uuid()
	reg := &Register{Incarnation: u, Reclaim: base.NoNode}
	ref := w.do(reg).(*Registered).Node
	if again := w.do(reg).(*Registered).Node; again != ref {
		t.Fatalf("%v, then %v", ref, again)
	}
	next := w.register(ref.ID)
	if next.ID != ref.ID || next.Epoch <= ref.Epoch {
		t.Fatalf("reclaimed as %v after %v", next, ref)
	}
	w.refused(reg, StaleEpoch, base.Fenced)
	w.refused(&Register{Incarnation: w.uuid(), Reclaim: 55}, UnknownNode, base.NotFound)
	w.do(&FenceNode{Node: ref}) // over already
	w.refused(&PrepareObjects{Node: ref, Count: 1}, StaleEpoch, base.Fenced)
}

// A node may ask for an id that none has had: the very first one for 0, later ones for any that is not handed out yet.
func TestWantedNodeIDs(t *testing.T) {
	w := newWorld(t)
	want := func(id base.NodeID) *Register { return &Register{Incarnation: w.uuid(), Reclaim: id, Wanted: true} }
	as := func(reg *Register, id base.NodeID) {
		t.Helper()
		cmd, _, err := DecodeCommand(AppendCommand(nil, reg))
		if err != nil {
			t.Fatal(err)
		}
		if ref := w.do(cmd).(*Registered).Node; ref.ID != id {
			t.Fatalf("registered as %v, want %d", ref, id)
		}
	}
	again := want(0)
	as(again, 0)
	as(again, 0) // the same incarnation
	w.refused(want(0), InvalidCommand, base.Invalid)
	as(&Register{Incarnation: w.uuid(), Reclaim: base.NoNode}, 1)
	as(want(7), 7)
	as(&Register{Incarnation: w.uuid(), Reclaim: base.NoNode}, 8)
	for _, id := range []base.NodeID{7, 8, 3, MaxWantedNode + 1, -1, -9} {
		w.refused(want(id), InvalidCommand, base.Invalid)
	}
	as(&Register{Incarnation: w.uuid(), Reclaim: 7}, 7) // its directory comes back
}

// Topic creation validates as Kafka does, each topic for itself.
func TestCreateTopics(t *testing.T) {
	w := newWorld(t)
	w.refused2("no node", &CreateTopics{Topics: []NewTopic{{Name: "a", Partitions: 1}}}, NoLiveNode)
	node := w.register(base.NoNode)
	w.topic("a.b", 1)
	for _, c := range []struct {
		topic NewTopic
		want  RejectCode
	}{
		{NewTopic{Name: "a.b", Partitions: 1}, TopicExists},
		{NewTopic{Name: "a_b", Partitions: 1}, InvalidTopic},
		{NewTopic{Name: "", Partitions: 1}, InvalidTopic},
		{NewTopic{Name: "..", Partitions: 1}, InvalidTopic},
		{NewTopic{Name: "x y", Partitions: 1}, InvalidTopic},
		{NewTopic{Name: fmt.Sprintf("%0250d", 1), Partitions: 1}, InvalidTopic},
		{NewTopic{Name: "p", Partitions: 0}, InvalidPartitions},
		{NewTopic{Name: "p", Partitions: -1}, InvalidPartitions},
		{NewTopic{Name: "p", Partitions: 2, Leaders: []base.NodeID{1}}, InvalidAssignment},
		{NewTopic{Name: "p", Partitions: 1, Leaders: []base.NodeID{42}}, InvalidAssignment},
		{NewTopic{Name: "p", Partitions: 1, Leaders: []base.NodeID{node.ID}}, None},
	} {
		w.refused2(c.topic.Name, &CreateTopics{Topics: []NewTopic{c.topic}, ValidateOnly: true}, c.want)
		w.refused2(c.topic.Name, &CreateTopics{Topics: []NewTopic{c.topic}}, c.want)
	}
	if w.img.TopicCount() != 2 {
		t.Fatalf("%d topics", w.img.TopicCount())
	}
	w.do(&DeleteTopics{Topics: []TopicRef{{Name: "a.b"}}})
	w.topic("a_b", 1)
}

func (w *world) refused2(what string, cmd *CreateTopics, code RejectCode) {
	w.t.Helper()
	res, err := w.try(cmd)
	if err != nil {
		w.t.Fatal(err)
	}
	if got := codeOf(res.(*TopicsCreated).Topics[0].Err); got != code {
		w.t.Fatalf("%q: %v, want %v", what, got, code)
	}
}

// An AlterConfigs made from an old image does not undo a newer one.
func TestAlterConfigsSince(t *testing.T) {
	w := newWorld(t)
	w.register(base.NoNode)
	w.topic("t", 1)
	for _, res := range []ConfigChange{{Kind: TopicConfig, Name: "t"}, {Kind: BrokerConfig}, {Kind: GroupConfig, Name: "g"}} {
		seen := w.img.Pos()
		res.Since, res.Configs = seen, map[string]string{"a": "1"}
		w.do(&AlterConfigs{Changes: []ConfigChange{res}})
		if got := codeOf(w.mustOutcomes(&AlterConfigs{Changes: []ConfigChange{res}}).Errs[0]); got != Conflict {
			t.Fatalf("kind %d: %v", res.Kind, got)
		}
		if got := w.img.Configs(res.Kind, res.Name)["a"]; got != "1" {
			t.Fatalf("kind %d: configs %v", res.Kind, w.img.Configs(res.Kind, res.Name))
		}
		res.Since, res.Configs = w.img.Pos(), nil
		w.do(&AlterConfigs{Changes: []ConfigChange{res}})
		if got := w.img.Configs(res.Kind, res.Name); len(got) != 0 {
			t.Fatalf("kind %d: configs %v after their removal", res.Kind, got)
		}
	}
}

// Records are refused, and harm nothing, where they do not follow.
func TestApplyTwice(t *testing.T) {
	w := newWorld(t)
	at := w.img
	recs, _, err := Decide(at, &Register{Incarnation: w.uuid(), Reclaim: base.NoNode}, w.now)
	if err != nil {
		t.Fatal(err)
	}
	next, err := at.Apply(at.Pos(), recs)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := next.Apply(at.Pos(), recs); !base.IsKind(err, base.Corrupt) {
		t.Fatalf("applied twice at the old position: %v", err)
	}
	if _, err := next.Apply(next.Pos(), recs); !base.IsKind(err, base.Corrupt) {
		t.Fatalf("applied twice at the new position: %v", err)
	}
}
