package group

import (
	"sluice/base"
	"sluice/broker/coord"
	"sluice/wire/kerr"
)

// The machine's commands and results. They do not depend on versions of the wire protocol: the API file translates.

// client says who sent a request; clientHost is kept as Kafka prints it, "/10.0.0.1".
type client struct{ id, host string }

// protocol is one embedded protocol (assignor) a member supports, with the member's subscription for it.
type protocol struct {
	name     string
	metadata []byte
}

// identity names a member in a request.
type identity struct {
	member   string
	instance instance
}

type joinCommand struct {
	client             client
	group              string
	identity           identity
	sessionTimeoutMS   int32
	rebalanceTimeoutMS int32
	protocolType       string
	protocols          []protocol
	reason             string
	idRequired         bool // v4: a dynamic member must come back with the id it was given
	canSkip            bool // v9: the leader understands that it must not compute an assignment
}

type joinResult struct {
	code         kerr.Code
	generation   int32
	protocolType string
	protocol     string
	leader       string
	skip         bool
	member       string
	members      []joinedMember
}

type joinedMember struct {
	id       string
	instance instance
	metadata []byte
}

type syncCommand struct {
	group        string
	identity     identity
	generation   int32
	protocolType string // empty: not said
	protocol     string // empty: not said
	assignments  []assignment
}

type assignment struct {
	member string
	data   []byte
}

type syncResult struct {
	code         kerr.Code
	protocolType string
	protocol     string
	assignment   []byte
}

type heartbeatCommand struct {
	group      string
	identity   identity
	generation int32
}

type codeResult struct{ code kerr.Code }

type leaveCommand struct {
	group   string
	members []leavingMember
}

type leavingMember struct {
	identity
	reason string
}

type leaveResult struct {
	code    kerr.Code
	members []kerr.Code // one for each leaving member; nil if code is set
}

type commitCommand struct {
	group       string
	identity    identity
	generation  int32
	retentionMS int64 // -1: the broker's
	offsets     []commitOffset
	rigid       bool            // of a version that knows no member epochs
	producer    *coord.Producer // set: the commit is part of its transaction
	missing     kerr.Code       // what a generation of a group that does not exist is answered with
}

type commitOffset struct {
	partition partitionKey
	topicID   base.UUID
	offset    int64
	epoch     int32
	metadata  string
	code      kerr.Code // not None: refused already, not to be committed
}

// endTxnCommand ends a producer's transaction.
type endTxnCommand struct{ marker coord.Marker }

type commitResult struct{ codes []kerr.Code } // one for each offset

type fetchCommand struct {
	group         string
	all           bool
	partitions    []fetchPartition
	requireStable bool
	member        string // who asks, of the consumer protocol; empty: nobody in particular
	epoch         int32
}

type fetchPartition struct {
	partition partitionKey
	topicID   base.UUID // zero: not known
}

type fetchResult struct {
	code    kerr.Code       // set: of the whole group
	offsets []fetchedOffset // one for each partition asked for; of all, ascending by topic and partition
}

// fetchedOffset has offset and epoch -1 where nothing is committed.
type fetchedOffset struct {
	partition partitionKey
	topicID   base.UUID
	offset    int64
	epoch     int32
	metadata  string
	code      kerr.Code // None, or why there is no offset
}

type deleteOffsetsCommand struct {
	group      string
	partitions []partitionKey
}

type deleteOffsetsResult struct {
	code  kerr.Code
	codes []kerr.Code // one for each partition; nil if code is set
}

type deleteGroupCommand struct{ group string }

// topicDeletedCommand forgets the offsets of a topic that is gone.
type topicDeletedCommand struct {
	name string
	id   base.UUID
}

type describeCommand struct{ group string }

type describeResult struct {
	found        bool
	other        bool // a group of another protocol
	state        state
	protocolType string
	protocol     string
	members      []describedMember
}

type describedMember struct {
	id                   string
	instance             instance
	client               client
	metadata, assignment []byte
}

// listCommand lists groups; states are lower-case names, none means any.
type listCommand struct{ states []string }

type listResult struct{ groups []listedGroup }

type listedGroup struct {
	group, protocolType, typ, state string
}

// Commands that append whatever they find; see coord.Writer.
func (*commitCommand) Writes()        {}
func (*endTxnCommand) Writes()        {}
func (*deleteOffsetsCommand) Writes() {}
func (*deleteGroupCommand) Writes()   {}

// partitionKey names a partition an offset was committed for.
type partitionKey struct {
	topic string
	index int32
}

func (k partitionKey) less(o partitionKey) bool {
	return k.topic < o.topic || k.topic == o.topic && k.index < o.index
}
