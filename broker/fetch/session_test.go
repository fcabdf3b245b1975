package fetch

import (
	"fmt"
	"testing"

	"sluice/wire/kerr"
)

func (s *session) order() (order []int32) {
	for p := s.head.next; p != &s.head; p = p.next {
		order = append(order, p.key.index)
	}
	return order
}

func namedParts(indexes ...int32) (parts []part) {
	for _, i := range indexes {
		parts = append(parts, part{key: key{name: "t", index: i}})
	}
	return parts
}

// TestTurnsOfLateComers: partitions that a client names one after the other, as it learns where they begin, have their first turns in the order of their numbers; one that comes to many does not
// have it before them; and however many come, nobody's first turn is put off for ever.
func TestTurnsOfLateComers(t *testing.T) {
	s := newSession(false)
	s.putAll(namedParts(7, 3, 5))
	s.answered(key{name: "t", index: 3}, kerr.None, 1, 0, 0, false)
	s.putAll(namedParts(9, 3, 4, 8, 6))
	if got := fmt.Sprint(s.order()); got != "[3 4 5 6 7 8 9]" {
		t.Errorf("turns: %s", got)
	}
	s = newSession(false)
	s.putAll(namedParts(99, 98, 97, 96, 95, 94, 93, 92, 91))
	s.putAll(namedParts(1))
	if got := s.order(); got[len(got)-1] != 1 {
		t.Errorf("one more among %d: %v", len(got), got)
	}
	s = newSession(false)
	s.putAll(namedParts(1000))
	for i := range int32(100) {
		s.putAll(namedParts(i))
		if s.head.next.key.index == 1000 {
			return
		}
		s.answered(s.head.next.key, kerr.None, 1, 0, 0, false)
	}
	t.Errorf("the first partition is not first after 100 others: %v", s.order())
}
