package meta

import (
	"errors"
	"fmt"

	"sluice/base"
)

// RejectCode says why a command, or one item of it, was refused. The edge maps codes to Kafka's errors.
type RejectCode uint8

// The codes. None is only the zero value.
const (
	None RejectCode = iota
	InvalidCommand
	TooLarge
	StaleEpoch // of a node, a stream or a leader: the sender gives up that role
	VoidGrant  // a newer grant exists, or none, or the rescue is done
	UnknownNode
	NoLiveNode
	TopicExists
	UnknownTopic // by name
	UnknownTopicID
	UnknownPartition
	InvalidTopic // its name
	InvalidPartitions
	InvalidAssignment
	InvalidReplicationFactor // for the edge; never made here
	InvalidConfig            // for the edge; never made here
	Conflict                 // changed since the position named
	NotOwner
	NotLeader
	StreamsNotClosed // a former owner still has to close, or to be rescued
	NotCommitted     // close or trim beyond the committed end
	ObjectNotPrepared
	UploadGap // a number or a range that does not follow what is committed
	UnknownRescue
	RescueRunning
	NodeLive // it has to be fenced first
	UnknownVolume
	VolumeBusy // in use, or being prepared or drained
	codes      // one past the last
)

var codeInfo = [...]struct {
	name string
	kind base.Kind
}{
	None:                     {"none", base.Unknown},
	InvalidCommand:           {"invalid command", base.Invalid},
	TooLarge:                 {"too large", base.Invalid},
	StaleEpoch:               {"stale epoch", base.Fenced},
	VoidGrant:                {"void grant", base.Fenced},
	UnknownNode:              {"unknown node", base.NotFound},
	NoLiveNode:               {"no live node", base.Unavailable},
	TopicExists:              {"topic exists", base.Exists},
	UnknownTopic:             {"unknown topic", base.NotFound},
	UnknownTopicID:           {"unknown topic id", base.NotFound},
	UnknownPartition:         {"unknown partition", base.NotFound},
	InvalidTopic:             {"invalid topic", base.Invalid},
	InvalidPartitions:        {"invalid partitions", base.Invalid},
	InvalidAssignment:        {"invalid assignment", base.Invalid},
	InvalidReplicationFactor: {"invalid replication factor", base.Invalid},
	InvalidConfig:            {"invalid config", base.Invalid},
	Conflict:                 {"conflict", base.Unavailable},
	NotOwner:                 {"not owner", base.Fenced},
	NotLeader:                {"not leader", base.Fenced},
	StreamsNotClosed:         {"streams not closed", base.Unavailable},
	NotCommitted:             {"not committed", base.OutOfRange},
	ObjectNotPrepared:        {"object not prepared", base.NotFound},
	UploadGap:                {"upload gap", base.Invalid},
	UnknownRescue:            {"unknown rescue", base.NotFound},
	RescueRunning:            {"rescue running", base.Unavailable},
	NodeLive:                 {"node live", base.Exists},
	UnknownVolume:            {"unknown volume", base.NotFound},
	VolumeBusy:               {"volume busy", base.Exists},
}

func (c RejectCode) String() string {
	if int(c) < len(codeInfo) {
		return codeInfo[c].name
	}
	return fmt.Sprintf("reject(%d)", uint8(c))
}

// Kind is the base kind that goes with the code.
func (c RejectCode) Kind() base.Kind {
	if int(c) < len(codeInfo) {
		return codeInfo[c].kind
	}
	return base.Unknown
}

// Rejection is why a command, or an item of it, was refused. It is an error whose base kind is that of its code.
type Rejection struct {
	Code    RejectCode
	Message string
}

func (r *Rejection) Error() string { return r.Message }

// As lets base.KindOf see the kind of the code.
func (r *Rejection) As(target any) bool {
	if t, ok := target.(**base.Error); ok {
		errors.As(base.Errorf(r.Code.Kind(), "%s", r.Message), t)
		return true
	}
	return false
}

// CodeOf returns the code of the rejection in err, or None if there is none.
func CodeOf(err error) RejectCode {
	var r *Rejection
	if errors.As(err, &r) && r != nil {
		return r.Code
	}
	return None
}

func reject(code RejectCode, format string, args ...any) *Rejection {
	return &Rejection{Code: code, Message: fmt.Sprintf(format, args...)}
}
