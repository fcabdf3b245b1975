package meta

import (
	"slices"

	"sluice/base"
)

// Command is a request to change the metadata. [Decide] validates it against an image. Commands are plain data with a codec
// ([AppendCommand], [DecodeCommand]), so that they can come from another process. A command must not be changed once submitted.
type Command interface {
	commandType() commandType
	code(c *coder)
	decide(d *Draft, nowMS int64) (Result, *Rejection)
}

// Register makes a process a node of the cluster. The same incarnation gets the same answer, unless it has been fenced
// (StaleEpoch); another one gets a new epoch. With Reclaim, the new incarnation takes over that node id (the owner of a WAL
// directory coming back); if its old epoch was not fenced yet it is now. With Wanted, that id is for a new node, and refused if a node has it or had it.
// Result: [Registered].
type Register struct {
	Incarnation base.UUID   // drawn anew by every start of a process
	Reclaim     base.NodeID // base.NoNode: a new id, the next one
	Wanted      bool        // Reclaim is an id that no node has had
	Name        string
	Zone        string
	Endpoints   []Endpoint
	WAL         string // URI of the WAL class and place
}

// Registered is the result of Register.
type Registered struct{ Node NodeRef }

// UpdateNode replaces a node's name, zone and endpoints (its listeners are bound now, say). Result: [Done].
type UpdateNode struct {
	Node      NodeRef
	Name      string
	Zone      string
	Endpoints []Endpoint
}

// FenceNode ends a node epoch: nothing it sends is accepted from then on, its WAL trim is frozen, a pending [Rescue] appears. An
// epoch that is over already is accepted again. Result: [Done].
type FenceNode struct {
	Node NodeRef
	Why  string
}

// DrainNode says that a node is to lead nothing (Drain) or may lead again. Who plans moves takes its partitions away and gives it no
// new ones; the node goes on serving what it leads until then. It ends with the node's next registration. Result: [Done].
type DrainNode struct {
	Node  NodeRef
	Drain bool
	Why   string
}

// UnregisterNode forgets a node that will not come back: fenced (else NodeLive), without an open stream and with all its rescues done (else
// RescueRunning). Partitions that still name it have no leader then. Its id is not used again. Rescues that only the node itself could carry out, or tidy up after, end with it: with
// nothing open on those WALs nobody needs them. Result: [Done].
type UnregisterNode struct {
	ID    base.NodeID
	local func(url string) bool // nil: no WAL is local
}

// Knowing is the command for whoever decides it, and is not sent: local reports whether only the node whose WAL it is can reach it, by its URL.
func (m *UnregisterNode) Knowing(local func(url string) bool) *UnregisterNode {
	return &UnregisterNode{ID: m.ID, local: local}
}

// ReportApplied says that the node's own image has reached Pos and no new read of it will use an older one. Writes a record only
// if a deletion waits for it. Result: [Done].
type ReportApplied struct {
	Node NodeRef
	Pos  base.MetaPos
}

// NameController says which node the controller's process is. Sent by the controller itself. Result: [Done].
type NameController struct{ Node NodeRef }

// GrantRescue gives Rescuer the right to rescue the fenced Victim; older grants become void. A repetition for the same rescuer
// answers the same grant. Result: [Granted].
type GrantRescue struct{ Victim, Rescuer NodeRef }

// Granted is the result of GrantRescue: what the rescuer needs. The trim was read at or after the fence.
type Granted struct{ Rescue Rescue }

// CompleteRescue says that the victim's WAL was sealed and all of it is committed: its streams close at their committed ends and
// the WAL may be removed. Result: [Done].
type CompleteRescue struct {
	Victim NodeRef
	Grant  uint64
}

// ForgetRescue says that the WAL of a completed rescue has been removed. Unknown ones are accepted. Result: [Done].
type ForgetRescue struct{ Victim NodeRef }

// NewTopic is a topic to create.
type NewTopic struct {
	Name       string
	Partitions int32
	Leaders    []base.NodeID // empty: chosen by the controller; else one registered, unfenced node per partition
	Configs    map[string]string
	ID         base.UUID // zero: drawn by the controller (see Fill)
}

// CreateTopics creates topics, each for itself: one that is refused does not touch the others. A topic that exists under the same name and
// the id given was created by an earlier try and is answered as created. Where no leaders are named, the partitions go one by one to
// the live node that leads the fewest and is not draining. Result: [TopicsCreated].
type CreateTopics struct {
	Topics       []NewTopic
	ValidateOnly bool
}

// TopicsCreated is the result of CreateTopics, in the order of the command.
type TopicsCreated struct{ Topics []TopicCreatedResult }

// TopicCreatedResult is what became of one topic. With TopicExists, ID is that of the existing topic. With ValidateOnly, ID is zero.
type TopicCreatedResult struct {
	Name string
	ID   base.UUID
	Err  *Rejection
}

// TopicRef names a topic by id or, if that is zero, by name.
type TopicRef struct {
	ID   base.UUID
	Name string
}

// DeleteTopics deletes topics, each for itself. Result: [TopicsDeleted].
type DeleteTopics struct{ Topics []TopicRef }

// TopicsDeleted is the result of DeleteTopics, in the order of the command.
type TopicsDeleted struct{ Topics []TopicDeletedResult }

// TopicDeletedResult is what became of one topic; id and name are filled in where the topic was known.
type TopicDeletedResult struct {
	Topic TopicRef
	Err   *Rejection
}

// MorePartitions is a topic to grow to Count partitions. Leaders as in NewTopic, for the new ones only.
type MorePartitions struct {
	Topic   TopicRef
	Count   int32
	Leaders []base.NodeID
}

// CreatePartitions grows topics, each for itself. Result: [Outcomes].
type CreatePartitions struct {
	Topics       []MorePartitions
	ValidateOnly bool
}

// ConfigChange replaces all configurations of a resource. With Since not zero it is refused with Conflict if they changed after that
// position, which makes read-modify-write safe.
type ConfigChange struct {
	Kind    ConfigKind
	Name    string
	Configs map[string]string
	Since   base.MetaPos
}

// AlterConfigs replaces configurations, each resource for itself. Keys and values are the caller's to validate. Result: [Outcomes].
type AlterConfigs struct {
	Changes      []ConfigChange
	ValidateOnly bool
}

// Outcomes is the result of commands on several things: nil or why not, in the order of the command.
type Outcomes struct{ Errs []*Rejection }

// OpenPartition is a partition to open. Expected is the leader epoch that the caller knows (-1: never opened).
type OpenPartition struct {
	Partition PartitionID
	Expected  base.StreamEpoch
}

// OpenPartitions raises the leader epochs and opens both streams of each partition for the node, which must be its leader. With
// ServeEmpty, partitions that hold nothing go to Serving at once. A repetition by the same node epoch answers the epoch that the
// first one gave. Result: [PartitionsOpened].
type OpenPartitions struct {
	Node       NodeRef
	Partitions []OpenPartition
	ServeEmpty bool
}

// PartitionsOpened is the result of OpenPartitions, in the order of the command.
type PartitionsOpened struct{ Partitions []OpenedPartition }

// OpenedPartition is a partition after the open, or why not. The streams come without their ranges: those are in the image.
type OpenedPartition struct {
	Partition  Partition
	Data, Meta Stream
	Err        *Rejection
}

// EpochPartition names a partition under a leader epoch.
type EpochPartition struct {
	Partition PartitionID
	Epoch     base.StreamEpoch
}

// ServePartitions announces partitions that the node has opened and replayed. Result: [Outcomes].
type ServePartitions struct {
	Node       NodeRef
	Partitions []EpochPartition
}

// PartitionLeader names a leader for a partition; base.NoNode for none.
type PartitionLeader struct {
	Partition PartitionID
	Leader    base.NodeID
}

// AssignPartitions names new leaders for partitions whose streams are closed. Result: [Outcomes].
type AssignPartitions struct{ Partitions []PartitionLeader }

// MovePartitions wants partitions to be led by other nodes, each for itself. One whose streams are closed is assigned at once. One that is
// open gets a Target, and its present leader hands it over ([HandOver]). Naming the present leader or base.NoNode takes the Target
// away. The new leader must be registered and not fenced (else InvalidAssignment); while a former owner is being rescued, or is just
// closing, nothing can be moved (StreamsNotClosed). Result: [Outcomes].
type MovePartitions struct{ Partitions []PartitionLeader }

// HandedOver is a partition that its leader gives away: it has stopped appending under Epoch, and all it appended lies below the ends.
type HandedOver struct {
	Partition        PartitionID
	Epoch            base.StreamEpoch
	DataEnd, MetaEnd base.Offset
}

// HandOver closes both streams of each partition at their committed ends, which DataEnd and MetaEnd must be (else NotCommitted: upload
// the rest), and opens them for the partition's Target under the next epoch: the target then leads a partition that is Opening. Where
// the Target is gone by now, they are opened anew for the old leader. StaleEpoch and NotOwner mean that the sender's ownership is
// over, perhaps by an earlier try of this command. Once it was sent, the sender must not append under that epoch again, whatever
// the answer. Result: [Outcomes].
type HandOver struct {
	Node       NodeRef
	Partitions []HandedOver
}

// PrepareObjects hands out Count ids of objects to upload. Result: [ObjectsPrepared].
type PrepareObjects struct {
	Node  NodeRef
	Count int32
}

// ObjectsPrepared is the result of PrepareObjects: Count consecutive ids from First.
type ObjectsPrepared struct {
	First base.ObjectID
	Count int32
}

// UploadRange is a part of a stream in an uploaded object.
type UploadRange struct {
	Stream       base.StreamID
	Epoch        base.StreamEpoch
	Range        base.OffsetRange
	Bytes        int64
	MaxTimestamp int64
}

// UploadObject is an uploaded object. Ranges of one stream ascend, over all objects of an upload.
type UploadObject struct {
	ID     base.ObjectID
	Size   int64
	Kind   ObjectKind
	Ranges []UploadRange
}

// CommitUpload commits an upload from the WAL of Node: by the node itself (Grant 0) or by its rescuer. See the package's page on
// the order of checks (machine_upload.go). Result: [UploadDone].
type CommitUpload struct {
	Node    NodeRef
	Grant   uint64
	Number  uint64 // consecutive per node epoch, from 1
	Trim    base.WALPos
	Objects []UploadObject
}

// UploadDone is the result of CommitUpload: one verdict per range, object by object.
type UploadDone struct {
	Duplicate bool // it was committed before
	Verdicts  []Verdict
}

// StreamTrim moves the start of a stream to Start, which must not lie beyond its committed end. A start below the present one is
// accepted and changes nothing.
type StreamTrim struct {
	Stream base.StreamID
	Epoch  base.StreamEpoch
	Start  base.Offset
}

// TrimStreams trims streams of their owner, each for itself. Deleted streams are accepted. Result: [Outcomes].
type TrimStreams struct {
	Node  NodeRef
	Trims []StreamTrim
}

// StreamClose closes a stream at End, which must be its committed end.
type StreamClose struct {
	Stream base.StreamID
	Epoch  base.StreamEpoch
	End    base.Offset
}

// CloseStreams closes streams of their owner, each for itself. Deleted streams, and ones closed before at that end, are accepted.
// Result: [Outcomes].
type CloseStreams struct {
	Node   NodeRef
	Closes []StreamClose
}

// AllocateProducerIDs hands out a block of producer ids. Result: [ProducerIDs].
type AllocateProducerIDs struct{ Node NodeRef }

// ProducerIDs is the result of AllocateProducerIDs: Count ids from First.
type ProducerIDs struct {
	First int64
	Count int32
}

// ExpireObjects marks objects that have been prepared for longer than AgeMS and are still prepared. Sent by the controller's
// life-cycle loop; at most Limit at once. Result: [Worked].
type ExpireObjects struct {
	AgeMS int64
	Limit int32
}

// ReapTopics removes the oldest remains of deleted topics, at most about Limit ranges and partitions together. Result: [Worked].
type ReapTopics struct{ Limit int32 }

// RemoveObjects says that marked objects have been physically deleted. Ids that are unknown are accepted. Result: [Done].
type RemoveObjects struct{ Objects []base.ObjectID }

// Worked is the result of the life cycle's commands: how many items were handled.
type Worked struct{ Items int }

// Done is the result of commands that have nothing to tell.
type Done struct{}

// Result is what a command that was accepted answers: a pointer to the type its documentation names. Results have a codec
// ([AppendResult], [DecodeResult]).
type Result interface {
	resultType() resultType
	code(c *coder)
}

// Repeatable reports whether a command that was submitted again, because no answer came, has the effect of one; its answer may be another (a
// Conflict with itself, StaleEpoch of a partition that it handed over). Deletions are not, for the repetition would miss the topic or hit
// one created since; nor are changes of configurations that overwrite what they did not see, nor topics whose ids are still to be
// drawn (see Fill).
func Repeatable(cmd Command) bool {
	switch m := cmd.(type) {
	case *DeleteTopics:
		return false
	case *CreatePartitions:
		return m.ValidateOnly
	case *CreateTopics:
		return m.ValidateOnly || !slices.ContainsFunc(m.Topics, func(t NewTopic) bool { return t.ID.IsZero() })
	case *AlterConfigs:
		return m.ValidateOnly || !slices.ContainsFunc(m.Changes, func(ch ConfigChange) bool { return ch.Since == 0 })
	}
	return true
}
