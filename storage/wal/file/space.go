package file

import (
	"sync"

	"sluice/base"
)

// space hands out room in segments, in order, and takes back what was trimmed.
//
//	being made → spare (stamped) → live (being filled, or full) → free (trimmed) → stamped again: spare
type space struct {
	capacity, segment int64
	onRoom, onFull    func()
	kick              chan struct{} // wakes the preparer
	mu                struct {
		sync.Mutex
		live    []*segment // ascending; the last one is being filled. Empty when nothing is live
		spare   []*segment // ascending
		free    []*segment // ascending
		bytes   int64      // of all segments, and of the one being made
		used    int64      // of live segments: the full ones' sizes, and what the last one holds
		limit   int64      // what the disk has room for, if that turned out to be less than the capacity; else 0
		trim    base.WALPos
		ahead   int   // spares to keep
		waiting bool  // a writer waits for a segment
		err     error // the WAL is closed or has failed
	}
	room sync.Cond
}

func newSpace(capacity, segment int64, onRoom, onFull func()) *space {
	s := &space{capacity: capacity, segment: segment, onRoom: onRoom, onFull: onFull, kick: make(chan struct{}, 1)}
	s.mu.ahead = 1
	s.room.L = &s.mu
	return s
}

// place gives the block at pos its place, size bytes in the segment, waiting until there is room. It is called for one block at a time.
func (s *space) place(pos base.WALPos, size int) (*segment, int64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for told := false; ; {
		if s.mu.err != nil {
			return nil, 0, s.mu.err
		}
		if n := len(s.mu.live); n > 0 && s.mu.live[n-1].room() >= int64(size) {
			seg := s.mu.live[n-1]
			off := seg.at
			seg.at += int64(size)
			seg.end = pos + 1
			s.mu.used += int64(size)
			return seg, off, nil
		}
		if len(s.mu.spare) > 0 {
			s.activateLocked(pos)
			continue
		}
		s.mu.waiting = true
		s.reclaimLocked()
		s.wakePreparer()
		if !told && s.onFull != nil && s.exhaustedLocked() {
			told = true
			s.mu.Unlock()
			s.onFull()
			s.mu.Lock()
			continue
		}
		s.room.Wait()
		s.mu.waiting = false
	}
}

// exhaustedLocked reports whether only Trim can make room.
func (s *space) exhaustedLocked() bool {
	return len(s.mu.free) == 0 && (s.mu.limit > 0 || s.mu.bytes+s.segment > s.capacity)
}

// activateLocked begins to fill the next spare. The rest of the segment before it stays empty.
func (s *space) activateLocked(pos base.WALPos) {
	if n := len(s.mu.live); n > 0 {
		s.mu.used += s.mu.live[n-1].room()
		s.mu.ahead = 2 // more than one segment is used: keep well ahead
	}
	seg := s.mu.spare[0]
	s.mu.spare = s.mu.spare[1:]
	seg.at, seg.end = dataStart, pos
	s.mu.used += dataStart
	s.mu.live = append(s.mu.live, seg)
	s.wakePreparer()
}

// reclaimLocked frees the segments whose blocks are all trimmed, but keeps the one being filled unless a writer waits because it is full.
func (s *space) reclaimLocked() (freed bool) {
	for len(s.mu.live) > 0 {
		seg := s.mu.live[0]
		last := len(s.mu.live) == 1
		if seg.end > s.mu.trim || last && !s.mu.waiting {
			break
		}
		if last {
			s.mu.used -= seg.at
		} else {
			s.mu.used -= seg.size
		}
		s.mu.live = s.mu.live[1:]
		s.mu.free = append(s.mu.free, seg)
		freed = true
	}
	return freed
}

// trim frees what lies below to.
func (s *space) trim(to base.WALPos) {
	s.mu.Lock()
	s.mu.trim = max(s.mu.trim, to)
	freed := s.reclaimLocked() || len(s.mu.live) == 1 && s.mu.live[0].end <= s.mu.trim
	s.mu.Unlock()
	s.wakePreparer()
	if freed && s.onRoom != nil {
		s.onRoom()
	}
}

// usedBytes counts whole segments, but nothing when everything is trimmed: then the one being filled is freed as soon as it is full.
func (s *space) usedBytes() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	if n := len(s.mu.live); n == 0 || n == 1 && s.mu.live[0].end <= s.mu.trim {
		return 0
	}
	return s.mu.used
}

// capacityBytes is the capacity, or what the disk has room for, less one segment for what is lost at the ends of segments.
func (s *space) capacityBytes() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.mu.limit > 0 {
		return max(s.mu.limit-s.segment, s.mu.limit/2)
	}
	return s.capacity - s.segment
}

// fail ends all waiting.
func (s *space) fail(err error) {
	s.mu.Lock()
	if s.mu.err == nil {
		s.mu.err = err
	}
	s.room.Broadcast()
	s.mu.Unlock()
	s.wakePreparer()
}

func (s *space) wakePreparer() {
	select {
	case s.kick <- struct{}{}:
	default:
	}
}

// work is what the preparer is to do next.
type work struct {
	recycle *segment // stamp it again
	remove  *segment // its size is not the usual one, and it is neither the only one nor is the disk full: delete it
	create  bool     // make a new segment
	closed  bool
}

// next tells the preparer what to do; no field set means nothing.
func (s *space) next(mayCreate bool) work {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.mu.err != nil {
		return work{closed: true}
	}
	if len(s.mu.free) > 0 && s.mu.free[0].size != s.segment && s.mu.limit == 0 && len(s.mu.live)+len(s.mu.spare) > 0 {
		seg := s.mu.free[0]
		s.mu.free = s.mu.free[1:]
		s.mu.bytes -= seg.size
		return work{remove: seg}
	}
	if len(s.mu.spare) >= s.mu.ahead {
		return work{}
	}
	if len(s.mu.free) > 0 {
		seg := s.mu.free[0]
		s.mu.free = s.mu.free[1:]
		return work{recycle: seg}
	}
	if mayCreate && s.mu.bytes+s.segment <= s.capacity {
		s.mu.bytes += s.segment
		return work{create: true}
	}
	return work{}
}

// add gives the preparer's result to the writers.
func (s *space) add(seg *segment) {
	s.mu.Lock()
	s.mu.spare = append(s.mu.spare, seg)
	s.room.Broadcast()
	s.mu.Unlock()
}

// made notes how the making of a segment ended. Where the disk was full the WAL is as large as it is, until that succeeds again.
func (s *space) made(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err != nil {
		s.mu.bytes -= s.segment
	}
	if s.mu.limit = 0; isFull(err) {
		s.mu.limit = s.mu.bytes
		s.room.Broadcast() // who waits tells that it is full
	}
}

// urgent reports whether a writer waits for the segment being made.
func (s *space) urgent() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.mu.waiting || s.mu.err != nil
}

// all returns every segment, to be closed.
func (s *space) all() []*segment {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append(append(append([]*segment(nil), s.mu.live...), s.mu.spare...), s.mu.free...)
}
