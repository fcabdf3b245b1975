package clients

import (
	"sync"
	"time"
)

// ledger is what a group has done with a topic whose offsets are dense, and says what must not be:
//
//  1. A partition has one owner in a generation (of the classic protocol) or epoch (of the consumer protocol).
//  2. Who is given a partition goes on from at least the last commit that was acknowledged before it asked.
//  3. A commit of an older generation is not acknowledged after one of a newer generation was.
//  4. In the end some member has read every record, and what was acknowledged is committed.
//
// One thing takes a committed offset back legally: a commit whose end nobody knows, of the generation that committed last, may arrive late.
type ledger struct {
	mu       sync.Mutex
	complain func(format string, args ...any)
	parts    map[int32]*progress
	records  int              // that some member has read
	owners   map[claim]string // member
}

type claim struct {
	generation int32
	partition  int32
}

type progress struct {
	seen       []bool // by offset: a member has read it
	acked      int64  // the highest commit that was acknowledged
	generation int32  // of that commit
	unclear    map[commit]bool
}

type commit struct {
	generation int32
	offset     int64
}

func newLedger(complain func(format string, args ...any)) *ledger {
	return &ledger{complain: complain, parts: map[int32]*progress{}, owners: map[claim]string{}}
}

func (l *ledger) partLocked(p int32) *progress {
	if l.parts[p] == nil {
		l.parts[p] = &progress{unclear: map[commit]bool{}}
	}
	return l.parts[p]
}

// assigned takes down that a member was given partitions, and returns the commits that were acknowledged so far.
func (l *ledger) assigned(member string, generation int32, partitions []int32) map[int32]commit {
	l.mu.Lock()
	defer l.mu.Unlock()
	floor := map[int32]commit{}
	for _, p := range partitions {
		c := claim{generation, p}
		if was, ok := l.owners[c]; ok && was != member {
			l.complain("partition %d is assigned to member %s and to member %s in generation %d", p, was, member, generation)
		}
		l.owners[c] = member
		floor[p] = commit{l.partLocked(p).generation, l.partLocked(p).acked}
	}
	return floor
}

// found takes down from where a member goes on. floor is what was acknowledged before it asked.
func (l *ledger) found(member string, p int32, floor commit, offset int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if offset >= floor.offset || floor.offset == 0 {
		return
	}
	for c := range l.partLocked(p).unclear {
		if c.offset == offset && c.generation >= floor.generation {
			return
		}
	}
	l.complain("member %s goes on from %d in partition %d, where %d was committed", member, offset, p, floor.offset)
}

// read takes down a record that a member has read.
func (l *ledger) read(p int32, offset int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	part := l.partLocked(p)
	for int64(len(part.seen)) <= offset {
		part.seen = append(part.seen, false)
	}
	if !part.seen[offset] {
		part.seen[offset] = true
		l.records++
	}
}

// count returns how many records some member has read.
func (l *ledger) count() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.records
}

// begin takes down that a member begins to commit, and returns the generation of the last commit that was acknowledged.
func (l *ledger) begin(p int32) int32 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.partLocked(p).generation
}

// end takes down how a commit ended. newest is what begin returned.
func (l *ledger) end(member string, p int32, c commit, newest int32, acknowledged bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	part := l.partLocked(p)
	if !acknowledged {
		part.unclear[c] = true
		return
	}
	if c.generation < newest {
		l.complain("member %s committed %d of partition %d in generation %d, after a commit of generation %d was acknowledged", member, c.offset, p, c.generation, newest)
	}
	part.acked, part.generation = max(part.acked, c.offset), max(part.generation, c.generation)
}

// missing returns a record that no member has read, of the partition up to end.
func (l *ledger) missing(p int32, end int64) (offset int64, some bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	seen := l.partLocked(p).seen
	for o := range end {
		if o >= int64(len(seen)) || !seen[o] {
			return o, true
		}
	}
	return 0, false
}

// committed compares what is committed in the end with what was acknowledged.
func (l *ledger) committed(p int32, offset int64) {
	l.mu.Lock()
	floor := commit{l.partLocked(p).generation, l.partLocked(p).acked}
	l.mu.Unlock()
	l.found("at the end", p, floor, offset)
}

// shares is what a share group has done. A record whose acceptance, or rejection, was acknowledged is not delivered again.
type shares struct {
	mu       sync.Mutex
	complain func(format string, args ...any)
	settled  map[place]time.Time // when the acknowledgement was there
}

type place struct {
	partition int32
	offset    int64
}

// onItsWay bounds how long an answer of a broker may be on its way to a client before the client gives the connection up: a record that another member has
// settled meanwhile may still be in it.
const onItsWay = 20 * time.Second

// delivered takes down that a member got a record. began is when the member did.
func (s *shares) delivered(p int32, offset int64, began time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	at, ok := s.settled[place{p, offset}]
	if now := time.Now(); ok && (began.After(at) || now.Sub(at) > onItsWay) {
		s.complain("record %d of partition %d is delivered %v after its acknowledgement was accepted", offset, p, now.Sub(at))
	}
}

func (s *shares) settle(p int32, offset int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ok := s.settled[place{p, offset}]; !ok {
		s.settled[place{p, offset}] = time.Now()
	}
}
