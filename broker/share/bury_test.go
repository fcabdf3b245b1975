package share

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"sluice/base"
	"sluice/wire/batch"
	"sluice/wire/kerr"
	"sluice/wire/msg"
)

// graveyard keeps dead letters. Its errors are given one after the other before it does as it is told.
type graveyard struct {
	store *memStore
	bytes int

	mu      sync.Mutex
	errs    []error
	letters []string
	early   []string // letters of records that were archived already
}

func (y *graveyard) fail() error {
	y.mu.Lock()
	defer y.mu.Unlock()
	if len(y.errs) == 0 {
		return nil
	}
	err := y.errs[0]
	y.errs = y.errs[1:]
	return err
}

func (y *graveyard) Open(_ context.Context, name string) (int, error) {
	if name != "dlq.g" {
		return 0, kerr.Errorf(kerr.InvalidConfig, "no such topic")
	}
	return max(y.bytes, 100), y.fail()
}

func (y *graveyard) Append(_ context.Context, _ string, source int32, records []byte) error {
	if err := y.fail(); err != nil {
		return err
	}
	if len(records) > y.bytes {
		return kerr.Errorf(kerr.MessageTooLarge, "%d bytes, %d are allowed", len(records), y.bytes)
	}
	y.store.mu.Lock()
	durable := y.store.state
	y.store.mu.Unlock()
	y.mu.Lock()
	defer y.mu.Unlock()
	for b := range batch.All(records) {
		for r := range b.Records(batch.Limits{}) {
			y.add(r, source, durable)
		}
		y.letters = append(y.letters, "|")
	}
	return nil
}

func (y *graveyard) add(r batch.Record, source int32, durable State) {
	var at base.Offset
	var text []string
	for _, h := range r.Headers {
		text = append(text, strings.TrimPrefix(h.Key, "__dlq.errors.")+"="+string(h.Value))
		if h.Key == headerOffset {
			fmt.Sscan(string(h.Value), &at)
		}
	}
	letter := fmt.Sprintf("%d %q %q %s", source, r.Key, r.Value, strings.Join(text, " "))
	y.letters = append(y.letters, letter)
	if !slices.ContainsFunc(durable.Batches, func(b StateBatch) bool { return b.First <= at && at <= b.Last && b.State == Archiving }) {
		y.early = append(y.early, fmt.Sprint(letter, durable))
	}
}

func newGraveyard(t *testing.T) (*stage, *graveyard) {
	s := newStage(t)
	y := &graveyard{store: s.store, bytes: 1 << 20}
	s.dead, s.group.DeadTopic = y, "dlq.g"
	return s, y
}

// check compares the letters, and wants none of a record that was archived before it was there.
func (y *graveyard) check(t *testing.T, want ...string) {
	t.Helper()
	y.mu.Lock()
	defer y.mu.Unlock()
	if !slices.Equal(y.letters, want) {
		t.Errorf("letters\n%s\nwant\n%s", strings.Join(y.letters, "\n"), strings.Join(want, "\n"))
	}
	if y.early != nil {
		t.Errorf("not archiving when the letter was written: %v", y.early)
	}
}

func letterOf(at, count int, value, why string) string {
	return fmt.Sprintf(`0 "" %q topic=t partition=0 offset=%d group=g delivery.count=%d message=%s`, value, at, count, why)
}

const (
	byClient = "Offset rejected by client."
	limitMet = "Offset delivery count exceeded the threshold."
)

func acks(first, last int64, t AckType) msg.ShareFetchRequestAcknowledgementBatch {
	return msg.ShareFetchRequestAcknowledgementBatch{FirstOffset: first, LastOffset: last, AcknowledgeTypes: []int8{int8(t)}}
}

// What is rejected gets a letter, and is archived behind it; what is accepted, and what is not there, gets none.
func TestRejectedRecordsGetLetters(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, y := newGraveyard(t)
		y.errs = []error{kerr.Errorf(kerr.NotLeaderOrFollower, "moved"), kerr.Errorf(kerr.RequestTimedOut, "slow")}
		s.produce(4)
		s.fetch(t.Context(), "m", 0)
		s.fetch(t.Context(), "m", 1, acks(0, 0, AckAccept), acks(1, 2, AckReject), acks(3, 3, AckGap))
		s.store.await(func(st State) bool { return st.Start == 4 })
		y.check(t, letterOf(1, 1, "", byClient), letterOf(2, 1, "", byClient), "|")
	})
}

// A record that was delivered as often as allowed gets a letter, with what it holds if the group wants that.
func TestRecordsDeliveredTooOftenGetLetters(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, y := newGraveyard(t)
		s.group.DeliveryLimit, s.group.DeadCopy = 2, true
		s.produce(2)
		s.produce(2)
		s.fetch(t.Context(), "m", 0)
		s.fetch(t.Context(), "m", 1, acks(0, 3, AckRelease))
		s.fetch(t.Context(), "m", 2, acks(1, 2, AckRelease), acks(3, 3, AckAccept))
		s.store.await(func(st State) bool { return st.Complete == 3 })
		y.check(t, letterOf(1, 2, "1", limitMet), letterOf(2, 2, "0", limitMet), "|")
	})
}

// Letters go into batches that the topic takes; a record that is too large for it is left out of its letter.
func TestLettersFitTheTopic(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, y := newGraveyard(t)
		s.group.DeadCopy, y.bytes = true, 520
		s.produce(3)
		b := batch.NewBuilder(batch.Options{})
		b.Add(batch.Record{Timestamp: 1, Value: make([]byte, 1000)})
		s.append(b.Bytes())
		s.fetch(t.Context(), "m", 0)
		s.fetch(t.Context(), "m", 1, acks(0, 3, AckReject))
		s.store.await(func(st State) bool { return st.Start == 4 })
		y.check(t, letterOf(0, 1, "0", byClient), letterOf(1, 1, "1", byClient), "|", letterOf(2, 1, "2", byClient), "|", letterOf(3, 1, "", byClient), "|")
	})
}

// Letters that can never be written hold nothing up.
func TestLettersThatCanNotBeWritten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, y := newGraveyard(t)
		y.errs = []error{kerr.Errorf(kerr.InvalidConfig, "not allowed")}
		s.produce(2)
		s.fetch(t.Context(), "m", 0)
		s.fetch(t.Context(), "m", 1, acks(0, 1, AckReject))
		s.store.await(func(st State) bool { return st.Start == 2 })
		y.check(t)
	})
}

// What is archiving when a leader takes over gets its letter from that one; why it was given up is told by its count.
func TestLettersAfterARestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, y := newGraveyard(t)
		s.produce(3)
		s.store.state = State{Start: 0, Complete: 1, Batches: []StateBatch{{0, 0, Archiving, 1}, {1, 1, Archived, 1}, {2, 2, Archiving, 5}}}
		s.fetch(t.Context(), "m", 0)
		s.store.await(func(st State) bool { return st.Start == 3 })
		y.check(t, letterOf(0, 1, "", byClient), "|", letterOf(2, 5, "", limitMet), "|")
	})
}
