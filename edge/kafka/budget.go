package kafka

import (
	"context"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/semaphore"
)

// What a frame of more than smallFrame bytes has to do once it holds memory that others wait for: after a moment it must have come, on average, at this
// rate. Otherwise its connection is closed. Whoever announces much and sends little would hold everybody up.
const (
	slowGrace = 2 * time.Second
	slowRate  = 64 << 10 // bytes per second
)

// budget bounds the bytes of frames that are being received or processed. Whoever asks first gets first, but frames of one address that are still
// being received may hold half of it at most.
type budget struct {
	bytes   int64
	free    *semaphore.Weighted
	waiting atomic.Int32 // frames that wait for memory

	mu struct {
		sync.Mutex
		shares map[netip.Addr]*share // of the addresses that receive something or wait to
	}
}

// share is what an address may receive at one time.
type share struct {
	free    *semaphore.Weighted
	waiting atomic.Int32 // frames of the address that wait for their share
	users   int
}

// claim is memory that a frame holds.
type claim struct {
	of    *budget
	bytes int64
	from  netip.Addr
	share *share // of the address; nil when the frame has arrived
	part  int64  // of the share
}

func newBudget(bytes int64) *budget {
	bytes = max(bytes, 1)
	b := &budget{bytes: bytes, free: semaphore.NewWeighted(bytes)}
	b.mu.shares = map[netip.Addr]*share{}
	return b
}

// take waits until n bytes are free, or all of them for a frame that is larger. arrived says that the frame is here already.
func (b *budget) take(ctx context.Context, from netip.Addr, n int, arrived bool) (*claim, error) {
	c := &claim{of: b, from: from, bytes: min(int64(n), b.bytes)}
	if !arrived {
		half := max(b.bytes/2, 1)
		s, part := b.enter(from, half), min(int64(n), half)
		if err := acquire(ctx, s.free, &s.waiting, part); err != nil {
			b.leave(from)
			return nil, err
		}
		c.share, c.part = s, part
	}
	if err := acquire(ctx, b.free, &b.waiting, c.bytes); err != nil {
		c.arrived()
		return nil, err
	}
	return c, nil
}

// acquire takes n of s, and counts as waiting only if it has to.
func acquire(ctx context.Context, s *semaphore.Weighted, waiting *atomic.Int32, n int64) error {
	if s.TryAcquire(n) {
		return nil
	}
	waiting.Add(1)
	defer waiting.Add(-1)
	return s.Acquire(ctx, n)
}

func (b *budget) enter(from netip.Addr, bytes int64) *share {
	b.mu.Lock()
	defer b.mu.Unlock()
	s := b.mu.shares[from]
	if s == nil {
		s = &share{free: semaphore.NewWeighted(bytes)}
		b.mu.shares[from] = s
	}
	s.users++
	return s
}

func (b *budget) leave(from netip.Addr) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if s := b.mu.shares[from]; s.users == 1 {
		delete(b.mu.shares, from)
	} else {
		s.users--
	}
}

// arrived says that all of the frame is here: it does not count against its address any more.
func (c *claim) arrived() {
	if c.share == nil {
		return
	}
	c.share.free.Release(c.part)
	c.share = nil
	c.of.leave(c.from)
}

// give ends the claim.
func (c *claim) give() {
	c.arrived()
	c.of.free.Release(c.bytes)
}

// tooSlow reports whether others wait for the memory of a frame of which so much has come in such a time.
func (c *claim) tooSlow(got int, in time.Duration) bool {
	wanted := c.of.waiting.Load() > 0 || c.share != nil && c.share.waiting.Load() > 0
	return wanted && in > slowGrace && float64(got) < (in-slowGrace).Seconds()*slowRate
}

// budgets are the parts of the memory for requests. What is small is not to wait for what is large, and nothing for those who have not logged in.
type budgets struct {
	guests              *budget // frames before a login
	small, smallProduce *budget // frames that lie in the read buffer when memory is taken
	others, produce     *budget // larger ones
}

func newBudgets(bytes int64) budgets {
	part := func(sixteenths int64) *budget { return newBudget(bytes * sixteenths / 16) }
	return budgets{guests: part(1), small: part(2), others: part(2), smallProduce: part(2), produce: part(9)}
}

// of is the budget of a frame.
func (b budgets) of(key int16, size int, guest bool) *budget {
	switch small := size <= smallFrame; {
	case guest:
		return b.guests
	case key == ProduceKey && small:
		return b.smallProduce
	case key == ProduceKey:
		return b.produce
	case small:
		return b.small
	}
	return b.others
}
