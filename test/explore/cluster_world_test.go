package explore

import (
	"encoding/binary"
	"fmt"

	"sluice/base"
	"sluice/cluster/meta"
)

// The model of the cluster. The metadata are the real ones: every command is decided and applied by meta.Draft. Around them are small
// processes, each a node epoch of its own that may own partitions, upload from its WAL and rescue others; a WAL per process, which is
// a row of slots ended by a seal; and objects. Requests to the controller may lose their answers or arrive much later, processes may
// stand still at any place, and the trim, the fence and the grants come whenever they like.
//
// Every append is one record of one offset in one slot, acknowledged when its slot is stored: what happens between these two the
// explorers of slotlog and wal/file look at.

const (
	partsMax   = 2
	procsMax   = 3
	slotsMax   = 5
	offsetsMax = 5
	objectsMax = 12
	uploadsMax = 2
	sourcesMax = 3
	lateMax    = 2
)

// bounds are what limits a world, and the mistake that is planted in it.
type bounds struct {
	parts      int
	appends    [procsMax]int8 // records each process appends at most
	uploads    int8           // uploads a process has under way at a time
	uploadsAll int8           // uploads of one process together; 0: as many as it likes
	piece      int8           // blocks a rescuer uploads at a time
	vary       bool           // one more, if it has started over
	fences     [procsMax]bool // node epochs that may be fenced
	rescuers   [procsMax]bool
	grants     int8           // new grants
	faults     int8           // lost answers, late requests, restarts of a rescuer
	expiries   int8           // times that all prepared objects expire
	moves      int8           // planned moves; to any process that may append
	closes     int8           // closes by the owner, which opens the partition anew
	trims      int8           // by the owner, to anywhere
	compacts   [procsMax]int8 // compactions of each process
	cleans     bool           // they may remove the first record of what they rewrite
	cuts       bool           // they may put what they rewrite into two objects
	lags       [procsMax]bool // processes whose image may be old; objects are deleted late then, and leave the image
	reads      int8           // reads of each of those that take their time
	mistake    mistake
}

// mistake is a planted one.
type mistake string

const (
	noMistake        mistake = ""
	noNumberCheck    mistake = "the commit does not check the upload's number"
	noFenceCheck     mistake = "the commit of a fenced node is taken as its rescuer's"
	walkFromStart    mistake = "the rescuer walks from the beginning, not from the trim that the fence froze"
	trimAhead        mistake = "the WAL is trimmed when the object is put, before the commit"
	completeEarly    mistake = "the rescue is completed before everything is committed"
	lastSlotUnsealed mistake = "the rescuer reads up to the first empty slot without sealing it"
	appendAfterSent  mistake = "the owner goes on appending when no answer to its hand-over or close came"
	handOverEarly    mistake = "a partition is handed over before its rest is uploaded, and its ends are not checked"
	takenEarly       mistake = "the target takes the partition when the move is wanted, not when it is handed over"
	sourcesUnchecked mistake = "the commit of a compaction takes what is there for what was read"
	laidFromHeld     mistake = "new ranges are laid from where the held ones begin, though a trim has dropped the first"
	sourcesDeleted   mistake = "a compactor deletes its sources, though other streams may still lie in them"
	takenFenced      mistake = "a partition is taken over when its leader is fenced, before the rescue is over"
	fromSeal         mistake = "a rescuer that follows another begins at the seal, not at the trim"
	positionsIgnored mistake = "objects are deleted when they are marked, whoever may still look for them"
	positionAssumed  mistake = "the position that is reported for a node is the controller's"
	sourcesUnseen    mistake = "a 404 is taken for the end of the data"
	fencedAwaited    mistake = "deletions wait for nodes that are fenced"
	duplicateTrusted mistake = "a rescue that starts over, and cuts its pieces differently, takes the answer to another piece for its own"
)

// record is what a slot of a WAL or an object holds; value tells records apart.
type record struct{ value, part, epoch, base int8 }

const seal = -1 // the value of a seal

// content is what an object holds; a record of value 0 is none.
type content [slotsMax]record

// phase is how far an upload or a rescue has come.
type phase int8

const (
	idle phase = iota
	walking
	sealing
	reading
	preparing
	putting
	committing
	completing
	removing
	forgetting
)

type upload struct {
	phase                    phase
	number, from, to, object int8
}

// role is what a process is to a partition.
type role struct {
	open, opening bool
	expected      int8 // leader epoch that the open under way names
	epoch, next   int8
	committed     int8     // as the answers to its commits say
	leaving       callKind // callHandOver or callClose: appends are paused for it
	end           int8     // where it is sent to end
	sent          bool     // it was sent: nothing is ever appended again under this epoch
	spent         int8     // the last epoch it had, plus one
}

// proc is a process: one node epoch.
type proc struct {
	roles   [partsMax]role
	next    int8 // slot of its WAL
	left    int8 // appends
	over    bool // it knows that its epoch is over and has stopped
	frozen  int8 // blocks below are in uploads
	trim    int8 // as its last commit moved it
	deleted int8
	number  int8 // of its last upload
	uploads [uploadsMax]upload
	rescue  rescue
	compact compaction
	read    lookup
}

// compaction is a rewrite of [start, end) of a partition, which was in the sources when it was planned.
type compaction struct {
	phase            phase
	part, start, end int8
	sources          [sourcesMax]int8
	cut              int8 // from where on it goes into the next object; 0: nowhere
	clean            int8 // offset of the record it removes, plus one; 0: none
	object           int8
}

// lookup is a read that has found out which object holds the record, and has not got it yet.
type lookup struct{ part, off, object int8 }

type rescue struct {
	phase       phase
	victim      int8
	grant, last int8
	at, end, to int8
	object      int8
	piece       content
	again       bool // it started over
}

// call is a request to the controller. The fields are those that the kind needs.
type call struct {
	kind                 callKind
	proc, victim, grant  int8
	number, trim, object int8
	part, epoch, end     int8
	held                 content
	compact              compaction
}

type callKind int8

const (
	noCall callKind = iota
	callPrepare
	callCommit
	callGrant
	callComplete
	callForget
	callOpen
	callFence
	callAssign
	callExpire
	callMove
	callHandOver
	callClose
	callTrim
	callCompact
	callReport
	callRemove
	callSeal // of a WAL's slot; to the store
)

// flat is the part of a world that is plain bytes.
type flat struct {
	procs    [procsMax]proc
	wals     [procsMax][slotsMax]record
	objects  [objectsMax + 1]content // by id; 0 is unused
	put      [objectsMax + 1]bool
	acked    [partsMax][offsetsMax]int8 // values
	removed  [partsMax][offsetsMax]bool // by a compaction that took effect
	late     [lateMax]call
	grants   int8           // left
	faults   int8           // left
	expiries int8           // left
	moves    int8           // left
	closes   int8           // left
	trims    int8           // left
	compacts [procsMax]int8 // left
	reads    [procsMax]int8 // left
	values   int8           // used
}

// cluster is the world.
type cluster struct {
	flat
	meta  *image
	views [procsMax]*image // of processes whose image may be old; else nil
	env   *env
}

// env is what all worlds of one exploration share.
type env struct {
	bounds
	images map[string]*image
	memo   map[request]answer
	topic  base.UUID
	nodes  [procsMax]meta.NodeRef
}

// image is an image of the metadata, one for all that are equal but for positions.
type image struct {
	img *meta.Image
	num uint32
}

type request struct {
	at *image
	call
}

// answer is what the controller answered and made of the image.
type answer struct {
	code  meta.RejectCode
	after *image
	res   meta.Result
}

func (c *cluster) Clone() *cluster { d := *c; return &d }

func (c *cluster) AppendKey(dst []byte) []byte {
	dst = binary.LittleEndian.AppendUint32(dst, c.meta.num)
	for i, v := range c.views {
		if c.env.lags[i] {
			dst = binary.LittleEndian.AppendUint32(dst, v.num)
		}
	}
	return appendFlat(dst, &c.flat)
}

var appendFlat = Plain[flat]()

// newCluster is a cluster of three nodes, the first of which has opened all partitions.
func newCluster(b bounds) *cluster {
	e := &env{bounds: b, images: map[string]*image{}, memo: map[request]answer{}, topic: base.UUID{7}}
	img, err := meta.Empty().Apply(0, []meta.Record{meta.CreateCluster(base.UUID{1}, [32]byte{1}, 1), meta.ChangeController(0, "explorer", base.NoNode)})
	if err != nil {
		panic(err)
	}
	do := func(cmd meta.Command) meta.Result {
		d := img.Draft()
		_, res, err := d.Execute(cmd, 1)
		if err != nil {
			panic(err)
		}
		img = d.Image()
		return res
	}
	for i := range e.nodes {
		e.nodes[i] = do(&meta.Register{Incarnation: base.UUID{2, byte(i)}, Reclaim: base.NoNode, WAL: "model"}).(*meta.Registered).Node
	}
	leaders := make([]base.NodeID, b.parts)
	for i := range leaders {
		leaders[i] = e.nodes[0].ID
	}
	do(&meta.CreateTopics{Topics: []meta.NewTopic{{Name: "t", ID: e.topic, Partitions: int32(b.parts), Leaders: leaders}}})
	if e.uploadsAll == 0 {
		e.uploadsAll = slotsMax
	}
	c := &cluster{env: e}
	open := &meta.OpenPartitions{Node: e.nodes[0]}
	for i := range b.parts {
		open.Partitions = append(open.Partitions, meta.OpenPartition{Partition: e.partition(int8(i)), Expected: -1})
		c.procs[0].roles[i] = role{open: true, spent: 1}
	}
	do(open)
	for i := range c.procs {
		c.procs[i].left = b.appends[i]
	}
	c.grants, c.faults, c.expiries, c.moves, c.closes = b.grants, b.faults, b.expiries, b.moves, b.closes
	c.trims, c.compacts = b.trims, b.compacts
	c.meta = e.intern(img)
	for i, lags := range b.lags {
		if lags {
			c.views[i], c.reads[i] = c.meta, b.reads
		}
	}
	return c
}

func (e *env) partition(i int8) meta.PartitionID {
	return meta.PartitionID{Topic: e.topic, Index: int32(i)}
}

func (e *env) procOf(ref meta.NodeRef) int8 {
	for i, n := range e.nodes {
		if n == ref {
			return int8(i)
		}
	}
	panic(fmt.Sprintf("node %v is no process of the model", ref))
}

// intern returns the one image for all that differ only in positions, of which the model looks at nothing but which nodes have seen
// which marks. A new one is checked.
func (e *env) intern(img *meta.Image) *image {
	key := string(e.fingerprint(img))
	if known, ok := e.images[key]; ok {
		return known
	}
	checkSnapshot(img)
	n := &image{img, uint32(len(e.images))}
	e.images[key] = n
	return n
}

// fingerprint writes down what a command's effect can depend on.
func (e *env) fingerprint(img *meta.Image) []byte {
	var b []byte
	put := func(vs ...int64) {
		for _, v := range vs {
			b = binary.AppendVarint(b, v)
		}
		b = append(b, '|')
	}
	for n := range img.Nodes() {
		fenced := int64(0)
		if n.Fenced {
			fenced = 1
		}
		put(int64(n.ID), int64(n.Epoch), fenced, int64(n.Volumes[0].Trim), int64(n.Volumes[0].LastUpload))
	}
	for r := range img.Rescues() {
		put(int64(r.Victim.ID), int64(r.Victim.Epoch), int64(r.State), int64(r.WALTrim), int64(r.LastUpload), int64(r.Grant), int64(r.Rescuer.ID), int64(r.Rescuer.Epoch))
	}
	for p := range img.PartitionsOf(e.topic) {
		put(int64(p.Leader), int64(p.LeaderEpoch), int64(p.State), int64(p.Target))
		for _, id := range []base.StreamID{p.Data, p.Meta} {
			s, _ := img.Stream(id)
			put(int64(s.Owner), int64(s.OwnerEpoch), int64(s.Epoch), int64(s.State), int64(s.Start), int64(s.CommittedEnd), int64(s.CleanedTo))
			for r := range img.RangesOf(id, 0) {
				put(int64(r.Start), int64(r.End), int64(r.Object))
			}
		}
	}
	for o := range img.Objects() {
		put(int64(o.ID), int64(o.State), int64(o.Refs))
	}
	if e.lags != ([procsMax]bool{}) {
		e.fingerprintMarks(img, put)
	}
	return b
}

// checkSnapshot checks I8: an image and what its snapshot loads are the same, and go on as the same.
func checkSnapshot(img *meta.Image) {
	snapshot := img.AppendSnapshot(nil)
	back, err := meta.LoadSnapshot(snapshot)
	if err != nil {
		panic(fmt.Sprintf("I8: a snapshot does not load: %v", err))
	}
	if string(back.AppendSnapshot(nil)) != string(snapshot) {
		panic("I8: a snapshot of a loaded snapshot differs from it")
	}
}
