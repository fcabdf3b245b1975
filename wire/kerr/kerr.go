package kerr

import (
	"context"
	"errors"
	"fmt"

	"sluice/base"
)

// Code is an error code of the Kafka protocol. The zero value is None.
type Code int16

// String returns Kafka's name of the code, as UNKNOWN_TOPIC_OR_PARTITION.
func (c Code) String() string {
	if i := int(c) + 1; i >= 0 && i < len(table) {
		return table[i].name
	}
	return fmt.Sprintf("ERROR_%d", int16(c))
}

// Known reports whether the code is one of Kafka's.
func (c Code) Known() bool { i := int(c) + 1; return i >= 0 && i < len(table) }

// Retriable reports whether Kafka's clients retry a request that failed with c.
func (c Code) Retriable() bool { return c.Known() && table[int(c)+1].retriable }

// Err returns an *Error with this code and no text of its own, or nil if c is None.
func (c Code) Err() error {
	if c == None {
		return nil
	}
	return &Error{Code: c}
}

// Error is an error with a code for the client. Message is written for the client's user; it may be empty.
type Error struct {
	Code    Code
	Message string
}

func (e *Error) Error() string {
	if e.Message == "" {
		return e.Code.String()
	}
	return e.Code.String() + ": " + e.Message
}

// Is reports whether target is an *Error with the same code, so that errors.Is(err, kerr.NotCoordinator.Err()) works.
func (e *Error) Is(target error) bool {
	t, ok := target.(*Error)
	return ok && t != nil && e != nil && t.Code == e.Code
}

// Errorf returns an error with a code and a formatted text for the client.
func Errorf(c Code, format string, args ...any) *Error {
	return &Error{Code: c, Message: fmt.Sprintf(format, args...)}
}

// CodeOf returns the code to answer for err. nil, and a nil *Error, are None. The code of an [Error] in the chain wins; otherwise
// the kind decides. What may pass, and what is the node's own trouble, gets a code that makes clients retry elsewhere or later.
func CodeOf(err error) Code {
	if err == nil {
		return None
	}
	var e *Error
	if errors.As(err, &e) {
		if e == nil {
			return None
		}
		return e.Code
	}
	switch base.KindOf(err) {
	case base.Invalid:
		return InvalidRequest
	case base.NotFound:
		return UnknownTopicOrPartition
	case base.Fenced, base.Closed:
		return NotLeaderOrFollower
	case base.OutOfRange:
		return OffsetOutOfRange
	case base.Unavailable:
		if errors.Is(err, context.DeadlineExceeded) {
			return RequestTimedOut
		}
		return KafkaStorageError
	case base.Undetermined, base.Full, base.Failed, base.Corrupt:
		return KafkaStorageError
	}
	return UnknownServerError
}

// MessageOf returns the text for the client's user that goes with CodeOf(err): that of an [Error] in the chain, or nil.
func MessageOf(err error) *string {
	var e *Error
	if err != nil && errors.As(err, &e) && e != nil && e.Message != "" {
		return &e.Message
	}
	return nil
}
