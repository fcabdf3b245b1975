package coord

import (
	"time"

	"sluice/base"
	"sluice/broker/partition"
	"sluice/wire/kerr"
)

// Record is one record of a coordinator's partition.
type Record struct {
	// Offset and Timestamp (milliseconds) are set on records that are replayed.
	Offset    base.Offset
	Timestamp int64
	// ProducerID is the id of the transactional producer that wrote the record, -1 for the coordinator itself.
	ProducerID int64
	Key        []byte
	// Value is nil for a tombstone.
	Value []byte
	// Marker is set for a marker, which has no key and value. A Log replays those too; machines get them by [TxnMachine.ReplayMarker] alone.
	Marker *Marker
}

// Ticket stands for a caller that waits for an answer. Tickets are not reused within an incarnation; 0 is nobody.
type Ticket uint64

// Token stands for an append under way. Tokens ascend in the order of the appends; 0 is none.
type Token uint64

// Machine is a coordinator's rules. It has no goroutine, clock, context, log or I/O; all calls come from one goroutine at a time.
//
// The machine may keep volatile state beside the durable one (members that are joining, sessions); it lives as long as the
// incarnation. Whatever it does to durable state it does in Replay.
type Machine interface {
	// Replay applies one durable record. Unknown kinds of records are skipped; an error means that the log cannot be understood.
	Replay(r Record) error
	// Loaded is called once, when the log has been replayed, before any Step.
	Loaded(now time.Time, fx *Effects)
	// Step takes in a command. The ticket must be answered by exactly one Reply, now or in a later call.
	Step(now time.Time, t Ticket, command any, fx *Effects)
	// Applied says that all records of an append were replayed. Tokens come in ascending order.
	Applied(now time.Time, t Token, fx *Effects)
	// Tick runs what has become due. It may be called too early or in vain.
	Tick(now time.Time, fx *Effects)
	// Next returns the time of the earliest deadline, false if there is none.
	Next() (time.Time, bool)
}

// TxnMachine is implemented by machines whose log has records of transactions: records that transactional producers have handed in, and markers
// that end the transactions.
type TxnMachine interface {
	Machine
	// ReplayMarker applies a durable marker. It comes in its place among the records.
	ReplayMarker(m Marker) error
	// Refused says that the partition has refused an append of a producer's records or of a marker, and that nothing of it was written. It takes the
	// place of Applied.
	Refused(now time.Time, t Token, code kerr.Code, fx *Effects)
}

// Producer is the transactional producer that records are appended for.
type Producer struct {
	ID    int64
	Epoch int16
	// Guard shows that the transaction's coordinator was asked; see partition.Verify.
	Guard partition.Guard
}

// Marker ends a producer's transaction.
type Marker struct {
	ProducerID       int64
	Epoch            int16
	CoordinatorEpoch int32
	Commit           bool
	// TransactionVersion is the version of transactions under which the marker was sent; it is not known of a marker that is replayed.
	TransactionVersion int8
	Offset             base.Offset // set on markers that are replayed
}

// Writer is implemented by commands that append something every time. When too much is under way ([Options.PendingBytesMax]) they
// are refused; others, such as heartbeats, go on.
type Writer interface{ Writes() }

// Reply is an answer for a caller.
type Reply struct {
	Ticket   Ticket
	Response any
}

// Append asks for records to be appended, all of them in one batch if they fit; or for a marker.
type Append struct {
	Token   Token
	Records []Record
	// Producer is whom the records are appended for, nil for the coordinator itself. They are part of its transaction.
	Producer *Producer
	// Marker is set, and Records is empty, for a marker.
	Marker *Marker
}

// Note is something an operator wants to read in the log, at level info.
type Note struct {
	Message string
	Args    []any // as for slog
}

// Effects collects what a machine wants done. Order is kept among appends, among replies and among actions.
type Effects struct {
	Replies []Reply
	Appends []Append
	Actions []any
	Notes   []Note
	last    Token
}

// Do asks for something outside of the partition to be done, of which the machine hears by a command if at all ([Options.Do]).
func (fx *Effects) Do(action any) { fx.Actions = append(fx.Actions, action) }

// Note tells the operator.
func (fx *Effects) Note(message string, args ...any) {
	fx.Notes = append(fx.Notes, Note{message, args})
}

// Reply answers a caller.
func (fx *Effects) Reply(t Ticket, response any) {
	fx.Replies = append(fx.Replies, Reply{t, response})
}

// Append appends records and returns the token under which Applied will report them.
func (fx *Effects) Append(records ...Record) Token {
	if len(records) == 0 {
		panic("BUG: append without records")
	}
	return fx.add(Append{Records: records})
}

// AppendFor appends records to a producer's transaction. It may be refused; see [TxnMachine].
func (fx *Effects) AppendFor(p Producer, records ...Record) Token {
	if len(records) == 0 {
		panic("BUG: append without records")
	}
	return fx.add(Append{Records: records, Producer: &p})
}

// AppendMarker ends a producer's transaction in this partition. It may be refused; see [TxnMachine].
func (fx *Effects) AppendMarker(m Marker) Token {
	return fx.add(Append{Marker: &m})
}

func (fx *Effects) add(a Append) Token {
	fx.last++
	a.Token = fx.last
	fx.Appends = append(fx.Appends, a)
	return fx.last
}

// Reset forgets what was collected, so that fx can be used for the next call. Tokens go on ascending.
func (fx *Effects) Reset() {
	clear(fx.Replies)
	clear(fx.Appends)
	clear(fx.Actions)
	clear(fx.Notes)
	fx.Replies, fx.Appends, fx.Actions, fx.Notes = fx.Replies[:0], fx.Appends[:0], fx.Actions[:0], fx.Notes[:0]
}
