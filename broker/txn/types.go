package txn

import (
	"regexp"

	"sluice/wire/kerr"
)

// The commands of the machine and their answers.

// initCommand begins a new life of a producer.
type initCommand struct {
	id        string
	timeoutMS int32
	expected  *identity // the life that goes on; nil: a new producer
	freshID   int64     // a producer id that nobody had before; noID: none is at hand
}

// initResult answers an initCommand. If an id is needed the command is to be made again with one.
type initResult struct {
	code     kerr.Code
	producer identity
	needID   bool
}

// addCommand adds partitions to a transaction, or looks whether they are in it.
type addCommand struct {
	id         string
	producer   identity
	partitions []TopicPartition
	verify     bool
	version    int16 // of the protocol
}

// addResult has a code for all partitions, or for each if it is None and there are any.
type addResult struct {
	code  kerr.Code
	codes []kerr.Code
}

// endCommand ends a transaction.
type endCommand struct {
	id       string
	producer identity
	commit   bool
	version  int16 // of the protocol: 0 or 2
	freshID  int64 // see initCommand
}

// endResult answers an endCommand: who the producer is from now on.
type endResult struct {
	code     kerr.Code
	producer identity
	needID   bool
}

// abortCommand aborts a transaction whose time is over, with a new producer id for its successors.
type abortCommand struct {
	id      string
	freshID int64
}

// markersWritten says where a verdict is known now.
type markersWritten struct {
	of         *delivery
	partitions []TopicPartition
}

type describeCommand struct{ id string }

type described struct {
	code kerr.Code
	value
}

// listCommand asks for transactional ids; nil and negative filters mean all.
type listCommand struct {
	producerIDs []int64
	states      []state
	durationMS  int64
	pattern     *regexp.Regexp
}

type listed struct {
	id         string
	producerID int64
	state      state
}

// Writes makes these commands wait for room.
func (*initCommand) Writes() {}

// Writes makes these commands wait for room.
func (*endCommand) Writes() {}

func failedInit(code kerr.Code) initResult {
	return initResult{code: code, producer: identity{noID, noEpoch}}
}

func failedEnd(code kerr.Code) endResult {
	return endResult{code: code, producer: identity{noID, noEpoch}}
}
