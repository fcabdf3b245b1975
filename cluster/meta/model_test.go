package meta

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"testing"

	"pgregory.net/rapid"

	"sluice/base"
)

// driver throws random commands at an image: mostly sensible ones, for which it looks at the image, and some that are late, stale or
// wrong. It keeps the log as it would be written and what the outside was promised.
type driver struct {
	t        *rapid.T
	img      *Image
	now      int64
	log      []byte // all records
	count    int
	middle   *Image // a snapshot of some moment, and where the log was then
	middleAt int
	middleN  int
	uuid     byte
	refs     []NodeRef // every node epoch that ever was
	grants   map[NodeRef][]uint64
	ends     map[base.StreamID]base.Offset // what committed ends were once seen, and starts
	starts   map[base.StreamID]base.Offset
	accepted map[string]int
	plans    []*CommitCompaction // made against some image before
	past     []*Image            // those before img whose deltas it should know
}

func newDriver(t *rapid.T) *driver {
	d := &driver{t: t, img: Empty(), now: 1_000_000, grants: map[NodeRef][]uint64{}, ends: map[base.StreamID]base.Offset{},
		starts: map[base.StreamID]base.Offset{}, accepted: map[string]int{}}
	d.apply([]Record{CreateCluster(d.newUUID(), [32]byte{7}, d.now), ChangeController(0, "test", base.NoNode)})
	for range 2 { // something to work on from the start
		d.register()
		d.createTopic()
	}
	d.open()
	d.upload()
	return d
}

func (d *driver) newUUID() base.UUID {
	d.uuid++
	return base.UUID{1, 2, 3, d.uuid}
}

func (d *driver) apply(recs []Record) {
	d.past = append(d.past[max(0, len(d.past)-deltasMax+1):], d.img)
	next, err := d.img.Apply(d.img.Pos(), recs)
	if err != nil {
		d.t.Fatalf("apply: %v", err)
	}
	for _, r := range recs {
		d.log = AppendRecord(d.log, r)
	}
	d.count += len(recs)
	d.img = next
}

// submit decides a command, through its codec, and applies its records.
func (d *driver) submit(cmd Command) (Result, error) {
	cmd = Fill(cmd, d.newUUID)
	b := AppendCommand(nil, cmd)
	back, rest, err := DecodeCommand(b)
	if err != nil || len(rest) != 0 || !bytes.Equal(AppendCommand(nil, back), b) {
		d.t.Fatalf("%s does not survive its codec: %v", CommandName(cmd), err)
	}
	if u, ok := cmd.(*UnregisterNode); ok { // what is not sent
		back = u
	}
	before := d.img
	beforeDump := ""
	if d.now%7 == 0 {
		beforeDump = dump(before)
	}
	recs, res, err := Decide(d.img, back, d.now)
	if err != nil && CodeOf(err) == None {
		d.t.Fatalf("%s: an error that is no rejection: %v", CommandName(cmd), err)
	}
	d.apply(recs)
	d.checkDelta(CommandName(cmd), before)
	d.checkHeld(cmd, before)
	d.checkDelta(CommandName(cmd)+" and what was before it", d.past[int(d.now)%len(d.past)])
	if beforeDump != "" && dump(before) != beforeDump {
		d.t.Fatalf("%s changed the image it was decided against", CommandName(cmd))
	}
	if err != nil {
		return nil, d.rejectionBack(err)
	}
	d.accepted[CommandName(cmd)]++
	return d.resultBack(res), nil
}

func (d *driver) int(label string, low, high int) int {
	return rapid.IntRange(low, high).Draw(d.t, label)
}

// rarely is true once in n.
func (d *driver) rarely(n int) bool { return d.int("rarely", 1, n) == 1 }

func pick[T any](d *driver, label string, from []T) (T, bool) {
	if len(from) == 0 {
		var zero T
		return zero, false
	}
	return from[d.int(label, 0, len(from)-1)], true
}

// node picks a current node epoch, or now and then any that ever was.
func (d *driver) node() NodeRef {
	if d.rarely(10) {
		if ref, ok := pick(d, "old node", d.refs); ok {
			return ref
		}
	}
	var live []NodeRef
	for n := range d.img.Nodes() {
		if !n.Fenced {
			live = append(live, n.Ref())
		}
	}
	ref, ok := pick(d, "node", live)
	if !ok {
		return NodeRef{99, 99}
	}
	return ref
}

func (d *driver) register() {
	reclaim := base.NoNode
	if ref, ok := pick(d, "reclaim", d.refs); ok && d.rarely(2) {
		reclaim = ref.ID
	}
	if len(d.refs) > 12 && reclaim == base.NoNode {
		return
	}
	u := d.newUUID()
	res, err := d.submit(&Register{Incarnation: u, Reclaim: reclaim, Name: "n", WAL: "mem://", Endpoints: []Endpoint{{"a", "h", 9092}}})
	if _, ok := d.img.Node(reclaim); !ok && reclaim != base.NoNode && CodeOf(err) == UnknownNode {
		return // it was unregistered
	}
	if err != nil {
		d.t.Fatalf("register: %v", err)
	}
	ref := res.(*Registered).Node
	d.refs = append(d.refs, ref)
	if again, err := d.submit(&Register{Incarnation: u, Reclaim: reclaim}); err != nil || again.(*Registered).Node != ref {
		d.t.Fatalf("the same incarnation got %v, %v, not %v", again, err, ref)
	}
}

func (d *driver) fence() {
	if d.rarely(3) {
		_, _ = d.submit(&FenceNode{Node: d.node(), Why: "test"})
	}
}

func (d *driver) topics() []Topic {
	var all []Topic
	for t := range d.img.Topics() {
		all = append(all, t)
	}
	return all
}

// class is a WAL class for a topic, or none.
func (d *driver) class() string {
	return []string{"", ClassFile, ClassS3}[d.int("class", 0, 2)]
}

func (d *driver) createTopic() {
	name := fmt.Sprintf("t%d", d.int("topic", 0, 6))
	if d.rarely(4) {
		name = []string{"a.b", "a_b", "", "bad name"}[d.int("odd", 0, 3)]
	}
	_, _ = d.submit(&CreateTopics{Topics: []NewTopic{{Name: name, Partitions: int32(d.int("partitions", 0, 3)), Configs: map[string]string{"k": "v", WALClassConfig: d.class()}}},
		ValidateOnly: d.rarely(8)})
}

func (d *driver) changeTopic() {
	t, ok := pick(d, "topic", d.topics())
	if !ok {
		return
	}
	switch d.int("change", 0, 3) {
	case 0:
		_, _ = d.submit(&DeleteTopics{Topics: []TopicRef{{ID: t.ID}, {Name: t.Name}}})
	case 1:
		_, _ = d.submit(&CreatePartitions{Topics: []MorePartitions{{Topic: TopicRef{ID: t.ID}, Count: t.Partitions + int32(d.int("more", 0, 2))}}})
	case 2:
		_, _ = d.submit(&AlterConfigs{Changes: []ConfigChange{{Kind: TopicConfig, Name: t.Name, Configs: map[string]string{"x": fmt.Sprint(d.now), WALClassConfig: d.class()}}}})
	case 3:
		_, _ = d.submit(&AlterConfigs{Changes: []ConfigChange{{Kind: BrokerConfig, Configs: map[string]string{"x": fmt.Sprint(d.now)}},
			{Kind: GroupConfig, Name: "g"}, {Kind: QuotaConfig, Name: fmt.Sprint(d.now % 3), Configs: map[string]string{"q": "1"}},
			{Kind: ConfigKind(1 + d.now%int64(lastConfigKind)), Configs: map[string]string{"f": "2"}}}})
	}
}

// partitions picks a few, most of the time.
func (d *driver) partitions() []Partition {
	var out []Partition
	for t := range d.img.Topics() {
		for p := range d.img.PartitionsOf(t.ID) {
			if d.int("take", 0, 2) > 0 {
				out = append(out, p)
			}
		}
	}
	return out
}

func (d *driver) open() {
	ref := d.node()
	cmd := &OpenPartitions{Node: ref, ServeEmpty: d.rarely(2)}
	for _, p := range d.partitions() {
		expected := p.LeaderEpoch
		if d.rarely(10) {
			expected--
		}
		cmd.Partitions = append(cmd.Partitions, OpenPartition{PartitionID{p.Topic, p.Index}, expected})
		if d.rarely(20) {
			cmd.Partitions = append(cmd.Partitions, cmd.Partitions[0])
		}
	}
	before := d.img
	res, err := d.submit(cmd)
	if err != nil {
		return
	}
	for i, o := range res.(*PartitionsOpened).Partitions {
		if o.Err == nil && (o.Partition.LeaderEpoch != cmd.Partitions[i].Expected+1 || !d.img.holds(ref, o.Data) || o.Data.State != Open) {
			d.t.Fatalf("opened %+v for %v", o, ref)
		}
		if was, _ := before.Stream(o.Data.ID); o.Err == nil && was.State == Closed {
			d.checkPlaced(before, o.Partition.Topic, ref.ID, o.Data, o.Meta)
		}
	}
	if again, err := d.submit(cmd); err == nil {
		for i, o := range again.(*PartitionsOpened).Partitions {
			first := res.(*PartitionsOpened).Partitions[i]
			if (o.Err == nil) != (first.Err == nil) || o.Err == nil && o.Partition.LeaderEpoch != first.Partition.LeaderEpoch {
				d.t.Fatalf("a repeated open answers %+v, first %+v", o, first)
			}
		}
	}
}

func (d *driver) serveOrAssign() {
	ref := d.node()
	serve, assign := &ServePartitions{Node: ref}, &AssignPartitions{}
	for _, p := range d.partitions() {
		serve.Partitions = append(serve.Partitions, EpochPartition{PartitionID{p.Topic, p.Index}, p.LeaderEpoch})
		assign.Partitions = append(assign.Partitions, PartitionLeader{PartitionID{p.Topic, p.Index}, ref.ID})
	}
	if d.rarely(2) {
		_, _ = d.submit(serve)
	} else {
		_, _ = d.submit(assign)
	}
}

func (d *driver) streamsOf(ref NodeRef) []Stream {
	var out []Stream
	d.img.streams.all(func(_ base.StreamID, s *Stream) bool {
		if s.Owner == ref.ID && s.OwnerEpoch == ref.Epoch || d.rarely(15) {
			out = append(out, *s)
		}
		return true
	})
	return out
}

func (d *driver) upload() {
	ref := d.volume(d.node())
	grant, preparer, last, trim := uint64(0), ref, uint64(0), base.WALPos(0)
	if n, ok := d.img.Node(ref.ID); ok {
		v, _ := n.Volume(ref.Epoch)
		last, trim = v.LastUpload, v.Trim
	}
	for r := range d.img.Rescues() {
		if r.State == RescueGranted && d.rarely(2) {
			ref, grant, preparer, last, trim = r.Victim, r.Grant, r.Rescuer, r.LastUpload, r.WALTrim
		}
	}
	if grant != 0 && d.rarely(5) {
		grant--
	}
	res, err := d.submit(&PrepareObjects{Node: preparer, Count: int32(d.int("objects", 1, 3))})
	if err != nil {
		return
	}
	d.now += int64(d.int("time", 0, 4000))
	p := res.(*ObjectsPrepared)
	cmd := &CommitUpload{Node: ref, Grant: grant, Number: last + 1, Trim: trim + base.WALPos(d.int("trim", 0, 3))}
	if d.rarely(10) {
		cmd.Number = uint64(d.int("number", 0, int(last)+2))
	}
	for i := range p.Count {
		cmd.Objects = append(cmd.Objects, UploadObject{ID: p.First + base.ObjectID(i), Size: 100, Kind: ObjectKind(d.int("kind", 0, 1))})
	}
	for _, s := range d.streamsOf(ref) {
		if d.rarely(3) {
			continue
		}
		start := s.CommittedEnd
		if d.rarely(4) {
			start = base.Offset(d.int("start", 0, int(start)))
		}
		if d.rarely(40) {
			start++
		}
		o := &cmd.Objects[d.int("object", 0, len(cmd.Objects)-1)]
		epoch := s.Epoch
		if epoch > 0 && d.rarely(8) {
			epoch--
		}
		r := UploadRange{Stream: s.ID, Epoch: epoch, Range: base.OffsetRange{Start: start, End: start + base.Offset(d.int("count", 1, 5))}, Bytes: 10, MaxTimestamp: d.now}
		o.Ranges = append(o.Ranges, r)
	}
	if d.rarely(6) {
		_, _ = d.submit(&ExpireObjects{AgeMS: 1000, Limit: 10})
	}
	d.commit(cmd)
}

// expect is a slow reading of the rules for the ranges of an upload whose sender, number and objects are right.
func expect(img *Image, cmd *CommitUpload) (verdicts []Verdict, ends map[base.StreamID]base.Offset, gap bool) {
	ends = map[base.StreamID]base.Offset{}
	for _, o := range cmd.Objects {
		for _, r := range o.Ranges {
			s, ok := img.Stream(r.Stream)
			if _, seen := ends[r.Stream]; ok && !seen {
				ends[r.Stream] = s.CommittedEnd
			}
			mine := ok && s.Owner == cmd.Node.ID && s.OwnerEpoch == cmd.Node.Epoch && s.Epoch == r.Epoch && s.State == Open
			switch {
			case !ok:
				verdicts = append(verdicts, VerdictDeleted)
			case !mine:
				verdicts = append(verdicts, VerdictNotOwned)
			case r.Range.End <= ends[r.Stream]:
				verdicts = append(verdicts, VerdictBelow)
			case r.Range.Start > ends[r.Stream]:
				return nil, nil, true
			default:
				verdicts = append(verdicts, VerdictCommitted)
				ends[r.Stream] = r.Range.End
			}
		}
	}
	return verdicts, ends, false
}

// commit submits an upload and checks what comes of it.
func (d *driver) commit(cmd *CommitUpload) {
	before := d.img
	verdicts, ends, gap := expect(before, cmd)
	res, err := d.submit(cmd)
	if err != nil {
		if d.img.Pos() != before.Pos() {
			d.t.Fatalf("a rejected upload changed the image")
		}
		if CodeOf(err) == UploadGap {
			d.accepted["gap"]++
		}
		return
	}
	done := res.(*UploadDone)
	if !done.Duplicate {
		if gap || fmt.Sprint(done.Verdicts) != fmt.Sprint(verdicts) {
			d.t.Fatalf("upload %+v: verdicts %v, want %v, gap %v", cmd, done.Verdicts, verdicts, gap)
		}
		for id, end := range ends {
			if s, _ := d.img.Stream(id); s.CommittedEnd != end {
				d.t.Fatalf("stream %d is committed up to %d, want %d", id, s.CommittedEnd, end)
			}
		}
		for _, v := range done.Verdicts {
			d.accepted[v.String()]++
		}
	}
	at := d.img.Pos()
	again, err := d.submit(cmd)
	if err != nil || !again.(*UploadDone).Duplicate || d.img.Pos() != at {
		d.t.Fatalf("a repeated upload answers %+v, %v", again, err)
	}
	if !done.Duplicate && fmt.Sprint(again.(*UploadDone).Verdicts) != fmt.Sprint(done.Verdicts) {
		d.t.Fatalf("a repeated upload answers %v, first %v", again.(*UploadDone).Verdicts, done.Verdicts)
	}
}

func (d *driver) trimOrClose() {
	ref := d.node()
	if d.rarely(2) {
		ref = d.volume(ref)
	}
	trims, closes := &TrimStreams{Node: ref}, &CloseStreams{Node: ref}
	for _, s := range d.streamsOf(ref) {
		trims.Trims = append(trims.Trims, StreamTrim{s.ID, s.Epoch, base.Offset(d.int("to", 0, int(s.CommittedEnd)+1))})
		if d.rarely(2) {
			closes.Closes = append(closes.Closes, StreamClose{s.ID, s.Epoch, s.CommittedEnd - base.Offset(d.int("short", 0, 4)/4)})
		}
	}
	if d.rarely(2) {
		_, _ = d.submit(trims)
	} else if d.rarely(2) {
		_, _ = d.submit(closes)
	}
}

func (d *driver) rescue() {
	for r := range d.img.Rescues() {
		switch d.int("rescue", 0, 3) {
		case 0:
			if res, err := d.submit(&GrantRescue{Victim: r.Victim, Rescuer: d.node()}); err == nil {
				g := res.(*Granted).Rescue
				d.grants[g.Victim] = append(d.grants[g.Victim], g.Grant)
			}
		case 1:
			g := r.Grant
			if old, ok := pick(d, "grant", d.grants[r.Victim]); ok && d.rarely(4) {
				g = old
			}
			_, err := d.submit(&CompleteRescue{Victim: r.Victim, Grant: g})
			if err == nil && g != r.Grant {
				d.t.Fatalf("rescue of %v completed with grant %d, the newest is %d", r.Victim, g, r.Grant)
			}
		case 2:
			_, _ = d.submit(&ForgetRescue{Victim: r.Victim})
		}
	}
}

func (d *driver) housekeeping() {
	d.now += int64(d.int("time", 0, 2000))
	_, _ = d.submit(&ReapTopics{Limit: int32(d.int("limit", 1, 6))})
	_, _ = d.submit(&ExpireObjects{AgeMS: 3000, Limit: int32(d.int("limit", 0, 3))})
	_, _ = d.submit(&ReportApplied{Node: d.node(), Pos: d.img.Pos()})
	_, _ = d.submit(&NameController{Node: d.node()})
	_, _ = d.submit(&UpdateNode{Node: d.node(), Name: "m", Zone: "z"})
	_, _ = d.submit(&AllocateProducerIDs{Node: d.node()})
	var ids []base.ObjectID
	for o := range d.img.Objects() {
		if o.State == Destroying || d.rarely(50) {
			ids = append(ids, o.ID)
		}
	}
	if d.rarely(2) {
		_, _ = d.submit(&RemoveObjects{Objects: ids})
	}
}

// keep takes a snapshot to replay the rest of the log on.
func (d *driver) keep() {
	img, err := LoadSnapshot(d.img.AppendSnapshot(nil))
	if err != nil {
		d.t.Fatalf("load snapshot: %v", err)
	}
	if got, want := dump(img), dump(d.img); got != want {
		d.t.Fatalf("the snapshot differs:\n%s\nwant\n%s", got, want)
	}
	d.middle, d.middleAt, d.middleN = img, len(d.log), d.count
}

// watch checks what must hold after every command.
func (d *driver) watch() {
	if err := check(d.img); err != nil {
		d.t.Fatal(err)
	}
	d.img.streams.all(func(id base.StreamID, s *Stream) bool {
		if s.CommittedEnd < d.ends[id] || s.Start < d.starts[id] {
			d.t.Fatalf("stream %d went back from [%d, %d) to [%d, %d)", id, d.starts[id], d.ends[id], s.Start, s.CommittedEnd)
		}
		d.ends[id], d.starts[id] = s.CommittedEnd, s.Start
		return true
	})
}

func (d *driver) finish() {
	want := dump(d.img)
	recs, err := DecodeRecords(d.log, d.count)
	if err != nil {
		d.t.Fatal(err)
	}
	all, err := Empty().Apply(0, recs)
	if err != nil {
		d.t.Fatal(err)
	}
	if got := dump(all); got != want {
		d.t.Fatalf("replay differs:\n%s\nwant\n%s", got, want)
	}
	if d.middle == nil {
		return
	}
	rest, err := DecodeRecords(d.log[d.middleAt:], d.count-d.middleN)
	if err != nil {
		d.t.Fatal(err)
	}
	img, err := d.middle.Apply(d.middle.Pos(), rest)
	if err != nil {
		d.t.Fatal(err)
	}
	if got := dump(img); got != want {
		d.t.Fatalf("replay on a snapshot differs:\n%s\nwant\n%s", got, want)
	}
	if !bytes.Equal(img.AppendSnapshot(nil), all.AppendSnapshot(nil)) {
		d.t.Fatal("equal images give different snapshots")
	}
}

func TestMain(m *testing.M) {
	flag.Parse()
	if f := flag.Lookup("rapid.checks"); f.Value.String() == f.DefValue {
		_ = f.Value.Set("400")
	}
	if f := flag.Lookup("rapid.steps"); f.Value.String() == f.DefValue {
		_ = f.Value.Set("50")
	}
	os.Exit(m.Run())
}

// Replay and snapshots give the same image, every invariant holds after every command, and what is repeated is harmless.
func TestRandomCommands(t *testing.T) {
	accepted := map[string]int{}
	// A short run may miss a rare command by chance: more of them, up to a bound, until each was accepted once.
	for round := 0; round == 0 || round < 20 && len(missing(accepted)) > 0; round++ {
		checkRandomCommands(t, accepted)
	}
	for _, what := range missing(accepted) {
		t.Errorf("%s never happened: the test shows nothing about it", what)
	}
}

// missing lists the commands and outcomes that have not been seen.
func missing(accepted map[string]int) (out []string) {
	want := []string{"gap", "volume removed", "other volume", "class missing", "moved", "closed moved", "handed over", "kept", "leader unregistered", "compact replaced", "compact trimmed", "compact deleted", "compact changed", "compact duplicate",
		"compact expired", "compact rest", "compact mark", NotCommitted.String(), VerdictCommitted.String(), VerdictBelow.String(), VerdictNotOwned.String()}
	for typ := commandType(1); typ < commandTypes; typ++ {
		want = append(want, CommandName(newCommand(typ)))
	}
	for _, what := range want {
		if accepted[what] == 0 {
			out = append(out, what)
		}
	}
	return out
}

func checkRandomCommands(t *testing.T, accepted map[string]int) {
	rapid.Check(t, func(rt *rapid.T) {
		d := newDriver(rt)
		step := func(f func()) func(*rapid.T) { return func(*rapid.T) { f() } }
		rt.Repeat(map[string]func(*rapid.T){
			"register": step(d.register), "fence": step(d.fence), "create": step(d.createTopic), "change": step(d.changeTopic),
			"open": step(d.open), "open too": step(d.open), "serve": step(d.serveOrAssign), "upload": step(d.upload),
			"upload too": step(d.upload), "upload three": step(d.upload), "trim": step(d.trimOrClose), "trim too": step(d.trimOrClose),
			"rescue": step(d.rescue), "rescue too": step(d.rescue), "house": step(d.housekeeping),
			"move": step(d.move), "hand over": step(d.handOver), "hand over too": step(d.handOver), "drain": step(d.drain), "unregister": step(d.unregister),
			"compact": step(d.planCompaction), "compact too": step(d.planCompaction), "commit compaction": step(d.commitCompaction), "commit compaction too": step(d.commitCompaction),
			"volumes": step(d.volumes), "volumes too": step(d.volumes),
			"keep": step(d.keep), "": step(d.watch),
		})
		d.finish()
		for name, n := range d.accepted {
			accepted[name] += n
		}
	})
}
