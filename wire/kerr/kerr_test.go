package kerr

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"sluice/base"

	franz "github.com/twmb/franz-go/pkg/kerr"
)

func TestNamesAreKafkas(t *testing.T) {
	seen := map[string]Code{}
	for c := UnknownServerError; c.Known(); c++ {
		if prev, dup := seen[c.String()]; dup {
			t.Errorf("%v names both %d and %d", c, prev, c)
		}
		seen[c.String()] = c
		other, ok := franz.ErrorForCode(int16(c)).(*franz.Error)
		if c == None || !ok || other.Code != int16(c) {
			continue
		}
		if other.Message != c.String() && c != NotLeaderOrFollower { // renamed in Kafka 2.6
			t.Errorf("%d: %v, franz-go calls it %v", c, c, other.Message)
		}
	}
	if len(seen) != 135 || None != 0 || ShareSessionLimitReached != 133 || Code(134).Known() {
		t.Errorf("%d codes", len(seen))
	}
}

func TestCodeOf(t *testing.T) {
	var typedNil *Error
	for _, c := range []struct {
		err  error
		want Code
	}{
		{nil, None},
		{typedNil, None},
		{fmt.Errorf("commit: %w", Errorf(IllegalGeneration, "generation is 3")), IllegalGeneration},
		{base.Wrap(base.Fenced, errors.New("sealed")), NotLeaderOrFollower},
		{base.Wrap(base.Unavailable, errors.New("503")), KafkaStorageError},
		{base.Wrap(base.Full, errors.New("no room")), KafkaStorageError},
		{base.Wrap(base.OutOfRange, errors.New("below start")), OffsetOutOfRange},
		{context.DeadlineExceeded, RequestTimedOut},
		{base.Wrap(base.Fenced, Errorf(UnknownTopicID, "")), UnknownTopicID},
		{errors.New("who knows"), UnknownServerError},
	} {
		if got := CodeOf(c.err); got != c.want {
			t.Errorf("%v: got %v, want %v", c.err, got, c.want)
		}
	}
}

func TestMessageIsForClientsOnly(t *testing.T) {
	if MessageOf(errors.New("dial 10.0.0.7: refused")) != nil || MessageOf(nil) != nil || MessageOf(NotCoordinator.Err()) != nil {
		t.Fatal("an internal text reached the client")
	}
	if m := MessageOf(fmt.Errorf("x: %w", Errorf(InvalidConfig, "retention.ms: not a number"))); m == nil || *m != "retention.ms: not a number" {
		t.Fatal(m)
	}
	if !errors.Is(fmt.Errorf("x: %w", Errorf(NotCoordinator, "moved")), NotCoordinator.Err()) || None.Err() != nil {
		t.Fatal("Is compares codes")
	}
	if !NotCoordinator.Retriable() || InvalidConfig.Retriable() || Code(999).Retriable() || Code(999).String() != "ERROR_999" {
		t.Fatal("retriable")
	}
}
