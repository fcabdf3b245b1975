package fetch

import (
	"cmp"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"sluice/base"
	"sluice/wire/kerr"
)

// key names a partition the way the client does: by topic id since version 13, by name before. The other one is zero.
type key struct {
	id    base.UUID
	name  string
	index int32
}

// want is what a client wants of a partition.
type want struct {
	offset      base.Offset
	maxBytes    int32
	leaderEpoch int32
	lastEpoch   int32
}

// slot is a partition of a session.
type slot struct {
	key  key
	want want
	// hw and logStart are what the client was last told; hw is -1 if it has to be told anew.
	hw, logStart base.Offset
	prev, next   *slot

	had       bool  // it has had a turn
	postponed uint8 // how often its first turn was put off
}

// Bounds of putting off the first turns of partitions, so that those that come after them have theirs together with them.
const (
	postponedMost = 8 // times that of one is put off
	postponedPart = 8 // so many for each of those that come
)

// session is what a client need not repeat. Its mutex is held while a request changes it or an answer is put together, never while a
// fetch waits.
type session struct {
	id   int32
	byID bool

	mu    sync.Mutex
	epoch int32 // that the next request must have
	parts map[key]*slot
	head  slot // of the ring of parts in turn order

	// Owned by the cache.
	size              int
	createdAt, usedAt time.Time
	older, newer      *session
}

func newSession(byID bool) *session {
	s := &session{byID: byID, epoch: 1, parts: map[key]*slot{}}
	s.head.prev, s.head.next = &s.head, &s.head
	return s
}

// putAll puts the partitions of a request. New ones have their turns last and in the order of their numbers, whatever the order they were named in: so they lie in objects, and those that
// have their turn one after the other find each other's bytes in memory. A client that learns where thousands begin may name some of them first and the others a moment later: those that have
// not had a turn by then have it in the order of all, unless the new ones are few among them.
func (s *session) putAll(parts []part) {
	var fresh []*slot
	for i := range parts {
		if p := s.parts[parts[i].key]; p != nil {
			p.want = parts[i].want
			continue
		}
		p := &slot{key: parts[i].key, want: parts[i].want, hw: -1, logStart: -1}
		s.parts[p.key] = p
		fresh = append(fresh, p)
	}
	if len(fresh) == 0 {
		return
	}
	if waiting := s.waiting(postponedPart * len(fresh)); len(waiting) <= postponedPart*len(fresh) {
		for _, p := range waiting {
			p.unlink()
			p.postponed++
		}
		fresh = append(waiting, fresh...)
	}
	topics := map[key]int{}
	for _, p := range fresh {
		if t := p.key.topic(); topics[t] == 0 {
			topics[t] = len(topics) + 1
		}
	}
	slices.SortStableFunc(fresh, func(a, b *slot) int {
		return cmp.Or(cmp.Compare(topics[a.key.topic()], topics[b.key.topic()]), cmp.Compare(a.key.index, b.key.index))
	})
	for _, p := range fresh {
		s.link(p)
	}
}

// waiting lists the partitions whose first turn may be put off, no more than one above most.
func (s *session) waiting(most int) (waiting []*slot) {
	for p := s.head.next; p != &s.head && len(waiting) <= most; p = p.next {
		if !p.had && p.postponed < postponedMost {
			waiting = append(waiting, p)
		}
	}
	return waiting
}

// topic is the key without the partition's number.
func (k key) topic() key { return key{id: k.id, name: k.name} }

func (s *session) link(p *slot) {
	p.prev, p.next = s.head.prev, &s.head
	p.prev.next, s.head.prev = p, p
}

func (p *slot) unlink() { p.prev.next, p.next.prev = p.next, p.prev }

func (s *session) remove(k key) {
	if p := s.parts[k]; p != nil {
		p.unlink()
		delete(s.parts, k)
	}
}

// answered notes what the client is told of a partition, and reports whether it has to be told at all. A partition that returned
// records has its turn last from now on.
func (s *session) answered(k key, code kerr.Code, bytes int, hw, logStart base.Offset, force bool) bool {
	p := s.parts[k]
	if p == nil {
		return true // removed by a later request; cannot hurt
	}
	tell := force || bytes > 0 || code != kerr.None || p.hw != hw || p.logStart != logStart
	p.hw, p.logStart = hw, logStart
	if code != kerr.None {
		p.hw = -1 // so that the end of the error is told
	}
	if bytes > 0 {
		p.had = true
		p.unlink()
		s.link(p)
	}
	return tell
}

func nextEpoch(e int32) int32 {
	if e <= 0 || e == 1<<31-1 {
		return 1
	}
	return e + 1
}

// cache holds the sessions, least recently used first. A session is given up for another one only when it has not been used for
// idle, as Kafka has it: or clients would push each other out on every request.
type cache struct {
	slotsMax int // sessions
	partsMax int // partitions in all sessions
	idle     time.Duration

	mu    sync.Mutex
	byID  map[int32]*session
	ring  session // older: most recently used, newer: least
	parts int
}

func newCache(slotsMax, partsMax int, idle time.Duration) *cache {
	c := &cache{slotsMax: slotsMax, partsMax: partsMax, idle: idle, byID: map[int32]*session{}}
	c.ring.older, c.ring.newer = &c.ring, &c.ring
	return c
}

// add gives the session an id, or returns false if there is no room.
func (c *cache) add(s *session, now time.Time) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	size := len(s.parts)
	for len(c.byID) >= c.slotsMax || c.parts+size > c.partsMax {
		old := c.ring.newer
		if old == &c.ring || now.Sub(old.usedAt) < c.idle {
			return false
		}
		c.removeLocked(old)
	}
	for s.id == 0 || c.byID[s.id] != nil {
		s.id = rand.Int32N(1<<31-2) + 1
	}
	s.createdAt, s.usedAt, s.size = now, now, size
	c.byID[s.id] = s
	c.parts += size
	c.linkLocked(s)
	return true
}

func (c *cache) linkLocked(s *session) {
	s.newer, s.older = &c.ring, c.ring.older
	s.older.newer, c.ring.older = s, s
}

func (c *cache) unlinkLocked(s *session) { s.older.newer, s.newer.older = s.newer, s.older }

func (c *cache) removeLocked(s *session) {
	if c.byID[s.id] != s {
		return
	}
	c.unlinkLocked(s)
	delete(c.byID, s.id)
	c.parts -= s.size
}

// get finds a session and marks it as used; nil if there is none.
func (c *cache) get(id int32, now time.Time) *session {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.byID[id]
	if s != nil {
		s.usedAt = now
		c.unlinkLocked(s)
		c.linkLocked(s)
	}
	return s
}

// resized notes the number of partitions of a session that a request has changed. It returns false if they have become too many, and
// then forgets the session.
func (c *cache) resized(s *session, size int) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.byID[s.id] != s {
		return true // given up meanwhile; the next request will be told
	}
	c.parts += size - s.size
	s.size = size
	if c.parts > c.partsMax {
		c.removeLocked(s)
		return false
	}
	return true
}

// remove forgets a session.
func (c *cache) remove(id int32) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if s := c.byID[id]; s != nil {
		c.removeLocked(s)
	}
}

func (c *cache) counts() (sessions, parts int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.byID), c.parts
}
