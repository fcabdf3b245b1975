package meta

import (
	"fmt"

	"sluice/base"
)

// Record is one change of the metadata. Records come out of [Draft.Execute] and of the metadata log, and go into [Draft.Apply];
// what they hold is documented byte by byte in docs/formats.md, section Metadata.
type Record interface {
	recordType() recordType
	code(c *coder)
	apply(d *Draft) error
}

type recordType uint8

// Types of records. A number is never used again for something else.
const (
	typeClusterCreated recordType = iota + 1
	typeControllerChanged
	typeControllerNamed
	typeNodeRegistered
	typeNodeFenced
	typeNodeUpdated
	typeNodeApplied
	typeRescueGranted
	typeRescueCompleted
	typeRescueForgotten
	typeTopicCreated
	typePartitionsCreated
	typeTopicDeleted
	typeRangesReaped
	typePartitionsReaped
	typeTopicConfigsSet
	typeConfigsSet
	typePartitionsOpened
	typePartitionsServed
	typePartitionsAssigned
	typeObjectsPrepared
	typeUploadCommitted
	typeRangesCommitted
	typeStreamsTrimmed
	typeStreamsClosed
	typeObjectsMarked
	typeObjectsRemoved
	typeProducerIDsAllocated
	typeNodeDrained
	typeNodeUnregistered
	typePartitionsTargeted
	typePartitionsHandedOver
	typeSecretDrawn
	typeObjectsCompacted
	typeRangesReplaced
	typeVolumeAdded
	typeVolumeSet
	typeVolumeRemoved
	recordTypes // one past the last
)

// version is the newest version of a type, the one that is written. Older ones are read.
func (t recordType) version() uint8 {
	switch t {
	case typeClusterCreated, typeControllerChanged:
		return 2
	}
	return 1
}

var recordMakers = [recordTypes]func() Record{
	typeClusterCreated:       freshRecord[clusterCreated],
	typeControllerChanged:    freshRecord[controllerChanged],
	typeControllerNamed:      freshRecord[controllerNamed],
	typeNodeRegistered:       freshRecord[nodeRegistered],
	typeNodeFenced:           freshRecord[nodeFenced],
	typeNodeUpdated:          freshRecord[nodeUpdated],
	typeNodeApplied:          freshRecord[nodeApplied],
	typeRescueGranted:        freshRecord[rescueGranted],
	typeRescueCompleted:      freshRecord[rescueCompleted],
	typeRescueForgotten:      freshRecord[rescueForgotten],
	typeTopicCreated:         freshRecord[topicCreated],
	typePartitionsCreated:    freshRecord[partitionsCreated],
	typeTopicDeleted:         freshRecord[topicDeleted],
	typeRangesReaped:         freshRecord[rangesReaped],
	typePartitionsReaped:     freshRecord[partitionsReaped],
	typeTopicConfigsSet:      freshRecord[topicConfigsSet],
	typeConfigsSet:           freshRecord[configsSet],
	typePartitionsOpened:     freshRecord[partitionsOpened],
	typePartitionsServed:     freshRecord[partitionsServed],
	typePartitionsAssigned:   freshRecord[partitionsAssigned],
	typeObjectsPrepared:      freshRecord[objectsPrepared],
	typeUploadCommitted:      freshRecord[uploadCommitted],
	typeRangesCommitted:      freshRecord[rangesCommitted],
	typeStreamsTrimmed:       freshRecord[streamsTrimmed],
	typeStreamsClosed:        freshRecord[streamsClosed],
	typeObjectsMarked:        freshRecord[objectsMarked],
	typeObjectsRemoved:       freshRecord[objectsRemoved],
	typeProducerIDsAllocated: freshRecord[producerIDsAllocated],
	typeNodeDrained:          freshRecord[nodeDrained],
	typeNodeUnregistered:     freshRecord[nodeUnregistered],
	typePartitionsTargeted:   freshRecord[partitionsTargeted],
	typePartitionsHandedOver: freshRecord[partitionsHandedOver],
	typeSecretDrawn:          freshRecord[secretDrawn],
	typeObjectsCompacted:     freshRecord[objectsCompacted],
	typeRangesReplaced:       freshRecord[rangesReplaced],
	typeVolumeAdded:          freshRecord[volumeAdded],
	typeVolumeSet:            freshRecord[volumeSet],
	typeVolumeRemoved:        freshRecord[volumeRemoved],
}

func freshRecord[T any, P interface {
	*T
	Record
}]() Record {
	return P(new(T))
}

// newRecord returns an empty record of the type, nil if there is no such type.
func newRecord(t recordType) Record {
	if t == 0 || t >= recordTypes {
		return nil
	}
	return recordMakers[t]()
}

// RecordName names the record's type, for logs and inspection.
func RecordName(r Record) string { return fmt.Sprintf("%T", r)[len("*meta."):] }

// AppendRecord appends the encoding of r to dst.
func AppendRecord(dst []byte, r Record) []byte {
	return appendFrame(dst, uint8(r.recordType()), r.recordType().version(), r.code)
}

// DecodeRecord decodes one record and returns what follows it. The record does not alias b. Errors have kind Corrupt.
func DecodeRecord(b []byte) (r Record, rest []byte, err error) {
	typ, version, body, rest, err := cutFrame(b)
	if err != nil {
		return nil, nil, err
	}
	if r = newRecord(recordType(typ)); r == nil {
		return nil, nil, base.Errorf(base.Corrupt, "unknown record type %d: it was written by a newer program", typ)
	}
	if err := decodeBody(RecordName(r), body, version, recordType(typ).version(), r.code); err != nil {
		return nil, nil, err
	}
	return r, rest, nil
}

// DecodeRecords decodes exactly count records.
func DecodeRecords(b []byte, count int) ([]Record, error) {
	recs := make([]Record, 0, min(count, len(b)/3+1))
	for len(recs) < count {
		r, rest, err := DecodeRecord(b)
		if err != nil {
			return nil, fmt.Errorf("record %d of %d: %w", len(recs), count, err)
		}
		recs, b = append(recs, r), rest
	}
	if len(b) != 0 {
		return nil, base.Errorf(base.Corrupt, "%d bytes after %d records", len(b), count)
	}
	return recs, nil
}

// CreateCluster returns the record that begins a cluster at a time in Unix milliseconds. The secret is drawn at random; whoever can read
// the metadata log knows it.
func CreateCluster(id base.UUID, secret [32]byte, ms int64) Record {
	return &clusterCreated{ID: id, MS: ms, Secret: secret}
}

// DrawSecret returns the record that gives a secret to a cluster that was created without one, by an older program.
func DrawSecret(secret [32]byte) Record { return &secretDrawn{Secret: secret} }

// ChangeController returns the record that begins an epoch of the metadata log. Node is the node of the process that begins it,
// base.NoNode if it has not registered yet; a controller that goes on under the same name then keeps the node it had.
func ChangeController(epoch uint64, who string, node base.NodeID) Record {
	return &controllerChanged{Epoch: epoch, Who: who[:min(len(who), 256)], Node: node}
}

type clusterCreated struct {
	ID     base.UUID
	MS     int64
	Secret [32]byte // since version 2
}

type controllerChanged struct {
	Epoch uint64
	Who   string
	Node  base.NodeID // since version 2
}

type secretDrawn struct{ Secret [32]byte }

type controllerNamed struct{ Node NodeRef }

type nodeRegistered struct {
	Node        NodeRef
	Incarnation base.UUID
	Name, Zone  string
	Endpoints   []Endpoint
	WAL         string
	MS          int64
}

type nodeFenced struct {
	Node NodeRef
	Why  string
	MS   int64
}

type nodeUpdated struct {
	Node       NodeRef
	Name, Zone string
	Endpoints  []Endpoint
}

type nodeApplied struct {
	Node NodeRef
	Pos  base.MetaPos
}

type nodeDrained struct {
	Node  NodeRef
	Drain bool
	Why   string
	MS    int64
}

// nodeUnregistered takes a fenced node out of the image, and out of the partitions that still name it as their leader.
type nodeUnregistered struct{ Node NodeRef }

type rescueGranted struct {
	Victim, Rescuer NodeRef
	Grant           uint64
}

type rescueCompleted struct{ Victim NodeRef }

type rescueForgotten struct{ Victim NodeRef }

type topicCreated struct {
	Num     uint32
	ID      base.UUID
	Name    string
	Configs map[string]string
	MS      int64
}

// partitionsCreated adds partitions From, From+1, … to a topic, one per leader; the streams of the i-th are FirstStream+2i and
// FirstStream+2i+1.
type partitionsCreated struct {
	Num         uint32
	From        int32
	FirstStream base.StreamID
	Leaders     []base.NodeID
}

type topicDeleted struct{ Num uint32 }

type rangesReaped struct {
	Stream base.StreamID
	Count  uint32
	MS     int64
}

// partitionsReaped removes partitions [From, To) of a deleted topic and what ranges they still have; with Last, the topic too.
type partitionsReaped struct {
	Num      uint32
	From, To int32
	Last     bool
	MS       int64
}

type topicConfigsSet struct {
	Num     uint32
	Configs map[string]string
}

type configsSet struct {
	Kind    ConfigKind
	Name    string
	Configs map[string]string
}

// part names a partition within records, by the number of its topic.
type part struct {
	Num   uint32
	Index int32
}

type openedPart struct {
	part
	Epoch base.StreamEpoch
	Serve bool
}

type partitionsOpened struct {
	Node       NodeRef
	Partitions []openedPart
}

type partitionsServed struct{ Partitions []part }

type assignedPart struct {
	part
	Leader base.NodeID
}

type partitionsAssigned struct{ Partitions []assignedPart }

type partitionsTargeted struct{ Partitions []assignedPart }

// handedPart is a partition that was handed over: Epoch is the leader epoch under which To owns its streams now.
type handedPart struct {
	part
	Epoch base.StreamEpoch
	To    NodeRef
}

// partitionsHandedOver closes both streams of each partition for From, and opens them for To.
type partitionsHandedOver struct {
	From       NodeRef
	Partitions []handedPart
}

type objectsPrepared struct {
	Node  NodeRef
	First base.ObjectID
	Count uint32
	MS    int64
}

type committedObject struct {
	ID   base.ObjectID
	Size int64
	Kind ObjectKind
}

// uploadCommitted moves number and trim of the node epoch (of its rescue, if it is fenced) and commits the objects; the ranges
// follow in rangesCommitted of the same slot. Unused objects hold nothing that was committed and are marked.
type uploadCommitted struct {
	Node    NodeRef
	Number  uint64
	Trim    base.WALPos
	Objects []committedObject
	Unused  []base.ObjectID
	Skips   []skip
	MS      int64
}

// committedRange follows the committed end of its stream, so only its length is written.
type committedRange struct {
	Stream       base.StreamID
	Count        uint64
	Object       base.ObjectID
	Bytes        int64
	MaxTimestamp int64
}

type rangesCommitted struct{ Ranges []committedRange }

// objectsCompacted commits the objects of a compaction; what refers to them follows in rangesReplaced of the same slot.
type objectsCompacted struct{ Objects []committedObject }

// committedPart is a new range; each begins where the one before it ends.
type committedPart struct {
	Count        uint64
	Object       base.ObjectID
	Bytes        int64
	MaxTimestamp int64
}

// replacedRanges puts New in the place of the Count ranges of a stream from the one that starts at First. New begins at Begin, which is
// another offset only where the list's first range is replaced. Without New only CleanedTo moves, to the end of those ranges.
type replacedRanges struct {
	Stream  base.StreamID
	First   base.Offset
	Count   uint32
	Cleaned bool
	Begin   base.Offset
	New     []committedPart
}

type rangesReplaced struct {
	Replaced []replacedRanges
	MS       int64
}

type trimmedStream struct {
	Stream base.StreamID
	Start  base.Offset
}

type streamsTrimmed struct {
	Streams []trimmedStream
	MS      int64
}

type streamsClosed struct{ Streams []base.StreamID }

type objectsMarked struct {
	Objects []base.ObjectID
	MS      int64
}

type objectsRemoved struct{ Objects []base.ObjectID }

type producerIDsAllocated struct {
	Node  NodeRef
	First int64
	Count uint32
}
