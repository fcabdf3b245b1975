package file

import "testing"

// TestLastSegmentStays: the first segment of a WAL is smaller than the others and is deleted once it is trimmed, but not while it is all
// there is, or a crash on a full disk would leave a WAL without segments, which recovery refuses; nor while the disk is full.
func TestLastSegmentStays(t *testing.T) {
	const usual, small = 64 << 20, 4 << 20
	first := &segment{name: "first", size: small}
	s := newSpace(1<<30, usual, nil, nil)
	s.mu.bytes = small
	s.add(first)
	fill := func(pos int) {
		t.Helper()
		if _, _, err := s.place(0, pos); err != nil {
			t.Fatal(err)
		}
	}
	fill(small - dataStart)
	s.trim(1)
	s.mu.waiting = true
	s.reclaimLocked()
	if w := s.next(false); w.recycle != first {
		t.Fatalf("the only segment is not used again: %+v", w)
	}
	s.mu.waiting = false

	s.add(first)
	fill(small - dataStart)
	s.trim(2)
	s.mu.bytes += usual
	s.add(&segment{name: "second", size: usual})
	fill(usual - dataStart)
	s.mu.limit = s.mu.bytes
	if w := s.next(true); w.remove != nil {
		t.Fatalf("a full disk loses a segment: %+v", w)
	}
	s.mu.free, s.mu.limit = []*segment{first}, 0
	if w := s.next(true); w.remove != first {
		t.Fatalf("a segment of another size is kept beside usual ones: %+v", w)
	}
}
