package meta

import "sluice/base"

// NodeRef names one incarnation of a node.
type NodeRef struct {
	ID    base.NodeID
	Epoch base.NodeEpoch
}

// PartitionID names a partition for as long as its topic lives. A topic that is created again has another UUID.
type PartitionID struct {
	Topic base.UUID
	Index int32
}

// Topic is a Kafka topic. Configs is read-only and holds only what was set, not the defaults.
type Topic struct {
	ID         base.UUID
	Name       string
	Configs    map[string]string
	Partitions int32
	CreatedMS  int64        // Unix time in milliseconds
	ConfigsPos base.MetaPos // where Configs last changed

	num     uint32 // number within the cluster, never reused; the key of its partitions
	deleted bool   // out of sight, waiting to be reaped
}

// PartitionState says how far the present leader has come.
type PartitionState uint8

const (
	// Assigned: a leader is named (or none, base.NoNode), but it has not opened the streams.
	Assigned PartitionState = iota
	// Opening: the leader has opened the streams and replays; clients must not be sent to it yet.
	Opening
	// Serving: the leader answers clients.
	Serving
)

func (s PartitionState) String() string {
	return [...]string{"assigned", "opening", "serving"}[min(s, Serving)]
}

// Partition is one partition of a topic.
type Partition struct {
	Topic       base.UUID
	Index       int32
	Leader      base.NodeID      // base.NoNode if nobody
	LeaderEpoch base.StreamEpoch // -1: never opened
	State       PartitionState
	Target      base.NodeID   // who is to lead next, where a move is wanted; else base.NoNode
	Data        base.StreamID // its offsets are the Kafka offsets
	Meta        base.StreamID // producer snapshots, aborted transactions
	EpochStarts []EpochStart  // ascending; epochs that wrote nothing are left out, except the last; read-only
}

// EpochStart says that the records of Epoch start at offset Start of the data stream.
type EpochStart struct {
	Epoch base.StreamEpoch
	Start base.Offset
}

// StreamState says whether a stream has an owner that may append.
type StreamState uint8

const (
	// Closed: nobody may append; everything that was ever acknowledged is committed.
	Closed StreamState = iota
	// Open: the owner may append to its WAL under the stream's epoch.
	Open
)

func (s StreamState) String() string { return [...]string{"closed", "open"}[min(s, Open)] }

// Stream is the metadata of one stream. Start is the first offset that may be read, CommittedEnd the first one that is in no
// committed object.
type Stream struct {
	ID           base.StreamID
	Topic        base.UUID
	Partition    int32
	Owner        base.NodeID      // base.NoNode if never opened; kept after a close
	OwnerEpoch   base.NodeEpoch   // of the owner's volume on which it is
	Epoch        base.StreamEpoch // -1: never opened
	State        StreamState
	Start        base.Offset
	CommittedEnd base.Offset
	Bytes        int64       // record bytes in the ranges that are still held, as their uploads and compactions reported them
	CleanedTo    base.Offset // below it, key compaction has removed what newer records replace; 0: it never ran

	topicNum uint32
	ranges   rangeList
}

// Ranges returns how many ranges of objects hold the stream.
func (s *Stream) Ranges() int { return s.ranges.len() }

// Range is a part of a stream as it lies in one object.
type Range struct {
	base.OffsetRange
	Object       base.ObjectID
	Bytes        int64 // record bytes; 0 if the upload did not say
	MaxTimestamp int64 // largest record timestamp in milliseconds; -1 or 0 if the upload did not say
}

// PeerEndpoint is the name of the endpoint through which the other nodes of the cluster reach a node.
const PeerEndpoint = "PEER"

// Endpoint is where clients, or with the name PeerEndpoint other nodes, reach a node through one listener.
type Endpoint struct {
	Name string
	Host string
	Port int32
}

// Node is a broker: its id is for ever, everything else belongs to its present incarnation.
type Node struct {
	ID           base.NodeID
	Incarnation  base.UUID
	Epoch        base.NodeEpoch
	Name         string
	Zone         string
	Endpoints    []Endpoint // read-only
	Volumes      []Volume   // its WALs, at least one; the first that is active is where streams go by default; read-only
	Fenced       bool       // its epoch is over; trims and uploads of its volumes are in their Rescues
	Draining     bool       // it is to lead nothing; until its id registers again
	RegisteredMS int64
	Applied      base.MetaPos // last reported position; lags behind while nothing waits for it
}

// Ref names the present incarnation.
func (n *Node) Ref() NodeRef { return NodeRef{n.ID, n.Epoch} }

// Endpoint returns the endpoint of that name.
func (n *Node) Endpoint(name string) (Endpoint, bool) {
	for _, e := range n.Endpoints {
		if e.Name == name {
			return e, true
		}
	}
	return Endpoint{}, false
}

// RescueState says how far the rescue of a fenced node epoch has come.
type RescueState uint8

const (
	// RescuePending: the epoch is fenced, nobody has been granted the rescue.
	RescuePending RescueState = iota
	// RescueGranted: Rescuer may seal and read the WAL and commit what it holds with Grant.
	RescueGranted
	// RescueDone: everything is committed, the victim's streams are closed; the WAL may be removed, then ForgetRescue sent.
	RescueDone
)

func (s RescueState) String() string {
	return [...]string{"pending", "granted", "done"}[min(s, RescueDone)]
}

// Rescue is what remains to be done for a volume of a fenced node epoch, or one that was removed. Its trim is frozen but for commits with the
// grant.
type Rescue struct {
	Victim      NodeRef   // the node's id and the epoch of the volume
	Incarnation base.UUID // of the node epoch that was fenced; zero if only the volume is over
	Name        string
	WAL         string // URI
	WALTrim     base.WALPos
	LastUpload  uint64
	State       RescueState
	Rescuer     NodeRef // of the newest grant
	Grant       uint64  // number of the newest grant; 0: none
	FencedMS    int64

	lastSkips []skip
}

// ObjectKind says what an object holds.
type ObjectKind uint8

const (
	// SSO is a stream-set object.
	SSO ObjectKind = iota
	// SO is an object of a single stream.
	SO
)

// ObjectState is the life of an object; it goes one way only.
type ObjectState uint8

const (
	// Prepared: the id was handed out; the object may exist, wholly or not at all. Expires.
	Prepared ObjectState = iota
	// Committed: ranges refer to it.
	Committed
	// Destroying: nothing refers to it and nothing ever will; it is deleted after the grace time.
	Destroying
)

func (s ObjectState) String() string {
	return [...]string{"prepared", "committed", "destroying"}[min(s, Destroying)]
}

// Object is an uploaded object, or one that may be.
type Object struct {
	ID         base.ObjectID
	State      ObjectState
	Kind       ObjectKind
	Node       NodeRef // who prepared it
	Size       int64   // bytes; 0 while prepared
	Refs       int32   // ranges of streams that refer to it
	PreparedMS int64
	MarkedMS   int64        // destroying: since when
	MarkedPos  base.MetaPos // destroying: position of the record that marked it

	mark uint64 // destroying: its place in the queue
}

// Controller names the holder of the metadata log.
type Controller struct {
	Epoch uint64      // of the metadata log
	Who   string      // what it calls itself
	Node  base.NodeID // base.NoNode until it has registered
}

// ConfigKind is the kind of resource a configuration belongs to.
type ConfigKind uint8

const (
	// TopicConfig belongs to the topic of that name.
	TopicConfig ConfigKind = iota
	// BrokerConfig belongs to the broker whose id is the name, or with an empty name to all of them.
	BrokerConfig
	// GroupConfig belongs to the group of that name.
	GroupConfig
	// ClientMetricsConfig belongs to the telemetry subscription of that name.
	ClientMetricsConfig
	// QuotaConfig holds the quotas of a client entity; package edge/quota says how an entity is written as a name.
	QuotaConfig
	// FeatureConfig, with an empty name, holds the feature levels that were set: feature name to level.
	FeatureConfig

	// ACLConfig holds the ACLs of a resource pattern; package broker/auth says how they are written.
	ACLConfig
	// ScramConfig holds the SCRAM credentials of the user of that name, by mechanism.
	ScramConfig
	// TokenConfig holds the delegation token of that id; package broker/auth says how it is written.
	TokenConfig

	lastConfigKind = TokenConfig
)

// ConfigResource is a configured resource that is not a topic.
type ConfigResource struct {
	Kind    ConfigKind
	Name    string
	Configs map[string]string // read-only
	Pos     base.MetaPos      // where they last changed
}

// Verdict is what became of one range of an upload.
type Verdict uint8

const (
	// VerdictCommitted: the range, or the part of it above the committed end, is committed.
	VerdictCommitted Verdict = iota
	// VerdictBelow: all of it was committed before.
	VerdictBelow
	// VerdictNotOwned: the stream is no longer owned under that node and stream epoch.
	VerdictNotOwned
	// VerdictDeleted: the stream has been deleted.
	VerdictDeleted
)

func (v Verdict) String() string {
	return [...]string{"committed", "below", "not owned", "deleted"}[min(v, VerdictDeleted)]
}

// skip is a verdict other than VerdictCommitted of the range with that index in its upload.
type skip struct {
	index   uint32
	verdict Verdict
}

// Limits of the metadata. They bound records and commands, not the cluster.
const (
	MaxTopicPartitions   = 200_000 // partitions of one topic
	MaxCommandPartitions = 200_000 // partitions one command creates, opens, closes or assigns
	MaxUploadRanges      = 400_000 // ranges in one upload
	MaxPrepare           = 10_000  // objects one command prepares
	MaxTopicName         = 249     // bytes, as Kafka
	MaxString            = 1 << 16 // bytes of any string in a record
	recordItems          = 1024    // items (partitions, ranges, objects) in one record
	producerBlock        = 1000    // producer ids handed out at once, as Kafka
)
