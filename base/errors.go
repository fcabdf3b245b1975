package base

import (
	"context"
	"errors"
	"fmt"
)

// Kind says what a caller may do about an error. It is the whole of the contract between layers; the text is for people.
type Kind uint8

const (
	// Unknown is an error nobody classified. Callers fail loudly: they neither retry nor carry on.
	Unknown Kind = iota
	// Invalid is a request that can never succeed as it stands.
	Invalid
	// NotFound says that what was named does not exist (or no longer).
	NotFound
	// Exists says that what was to be created is there already.
	Exists
	// Fenced says that the caller's epoch has been superseded: it must give up the role, and never retry under that epoch.
	Fenced
	// Unavailable is a failure that may pass: throttling, a lost connection, an outage. The caller may retry with back-off.
	// The operation had no effect, or its effect is harmless to repeat.
	Unavailable
	// Undetermined says that the operation may or may not have happened, or may happen later. Only repeating exactly the same
	// operation is safe.
	Undetermined
	// Full says that a bounded resource has no room now; the caller waits for room or answers backpressure.
	Full
	// Closed says that the component was shut down.
	Closed
	// Corrupt says that stored bytes are not what was written. It is never retried and never skipped over.
	Corrupt
	// Failed is a sticky failure of something durable (a failed sync); the owner must be fenced and recovered.
	Failed
	// OutOfRange says that an offset or a position lies outside of what exists.
	OutOfRange
)

var kindNames = [...]string{"unknown", "invalid", "not found", "exists", "fenced", "unavailable", "undetermined", "full", "closed", "corrupt", "failed", "out of range"}

func (k Kind) String() string {
	if int(k) < len(kindNames) {
		return kindNames[k]
	}
	return fmt.Sprintf("kind(%d)", uint8(k))
}

// Error is an error with a kind.
type Error struct {
	Kind Kind
	err  error
}

func (e *Error) Error() string { return e.err.Error() }

// Unwrap returns the error that was classified.
func (e *Error) Unwrap() error { return e.err }

// Errorf formats an error, as fmt.Errorf does, and gives it a kind.
func Errorf(k Kind, format string, args ...any) error {
	return &Error{Kind: k, err: fmt.Errorf(format, args...)}
}

// Wrap gives err the kind k; nil stays nil.
func Wrap(k Kind, err error) error {
	if err == nil {
		return nil
	}
	return &Error{Kind: k, err: err}
}

// KindOf returns the outermost kind that was given to err. A cancelled or expired context without a kind is Unavailable.
// KindOf(nil) is Unknown; ask only about errors.
func KindOf(err error) Kind {
	var e *Error
	if errors.As(err, &e) {
		return e.Kind
	}
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return Unavailable
	}
	return Unknown
}

// IsKind reports whether err is an error of kind k.
func IsKind(err error, k Kind) bool { return err != nil && KindOf(err) == k }
