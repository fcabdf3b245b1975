package kafka

import (
	"context"
	"errors"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"
)

// smallAnswer bytes of an answer, and fewer, are not counted: a connection has at most one answer waiting that is no Produce's.
const smallAnswer = 4 << 10

// answers bounds the memory of answers that clients have not read yet: those that lie in memory of their own, not in a cache's. What an answer
// takes is known only when it is there, so a request waits before it is processed for as long as the answers of its address, or of all, take too much, and is
// taken for as large as the last large one of its kind until then. Whoever does not read while others wait is cut off, as is who sends slowly.
//
// Of all bytes an address may have half, and whoever has none unread begins as long as there are any.
type answers struct {
	bytes int64
	usual [128]atomic.Int64 // by API key: bytes of the last large answer

	mu struct {
		sync.Mutex
		held    int64
		piles   map[netip.Addr]*pile
		waiting int // requests that wait, of all addresses
	}
}

// pile is what the clients of an address have not read.
type pile struct {
	held    int64
	unread  map[*Request]time.Time // since when
	waiting []*turn
	users   int // requests that wait or are being processed
}

// turn is a request that waits for its turn to be processed.
type turn struct {
	bytes int64
	come  chan struct{} // closed when it has come; its bytes are held then
}

func newAnswers(bytes int64) *answers {
	a := &answers{bytes: max(bytes, 2)}
	a.mu.piles = map[netip.Addr]*pile{}
	return a
}

// enter waits until a request with the key may be processed. Until leave is called it is taken for as large as its answer usually is. Requests whose answers
// have been small so far never wait. Records that a fetch answers with are not counted: they lie in caches.
func (a *answers) enter(ctx context.Context, from netip.Addr, key int16) (leave func(), err error) {
	if key < 0 || int(key) >= len(a.usual) || a.usual[key].Load() == 0 {
		return func() {}, nil
	}
	t := &turn{bytes: min(a.usual[key].Load(), a.bytes/4), come: make(chan struct{})}
	a.mu.Lock()
	p := a.pileLocked(from)
	p.users++
	p.waiting = append(p.waiting, t)
	a.mu.waiting++
	a.wakeLocked()
	a.mu.Unlock()
	if err := a.await(ctx, from, t); err != nil {
		return nil, err
	}
	return func() { a.leave(from, t.bytes) }, nil
}

// leave ends a turn that had come.
func (a *answers) leave(from netip.Addr, bytes int64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.mu.piles[from].users--
	a.freeLocked(from, bytes)
}

// await waits for the turn to come. Whoever is first in his pile looks from time to time who is in the way.
func (a *answers) await(ctx context.Context, from netip.Addr, t *turn) error {
	select {
	case <-t.come:
		return nil
	default:
	}
	tick := time.NewTicker(readTick)
	defer tick.Stop()
	for {
		select {
		case <-t.come:
			return nil
		case <-tick.C:
			for _, r := range a.slow(from, t, time.Now()) {
				r.conn.close(reasonStalled, errUnread.Error())
			}
		case <-ctx.Done():
			a.giveUp(from, t)
			return ctx.Err()
		}
	}
}

// errUnread closes the connection of an answer that is not read.
var errUnread = errors.New("an answer was read slowly, or not at all, while others waited for its memory")

// giveUp takes a turn back, whether it has come or not.
func (a *answers) giveUp(from netip.Addr, t *turn) {
	a.mu.Lock()
	defer a.mu.Unlock()
	p := a.mu.piles[from]
	for i, w := range p.waiting {
		if w == t {
			p.waiting = append(p.waiting[:i], p.waiting[i+1:]...)
			p.users--
			a.mu.waiting--
			a.freeLocked(from, 0)
			return
		}
	}
	p.users--
	a.freeLocked(from, t.bytes)
}

// slow returns the answers that are in the way of the turn and have been read at less than slowRate: of its address if that has its part, else of all.
func (a *answers) slow(from netip.Addr, t *turn, now time.Time) (slow []*Request) {
	a.mu.Lock()
	defer a.mu.Unlock()
	p := a.mu.piles[from]
	if len(p.waiting) == 0 || p.waiting[0] != t {
		return nil
	}
	piles := map[netip.Addr]*pile{from: p}
	if p.held+t.bytes <= a.bytes/2 {
		piles = a.mu.piles
	}
	for _, p := range piles {
		for r, since := range p.unread {
			if now.Sub(since) > slowGrace+time.Duration(r.unread)*time.Second/slowRate {
				slow = append(slow, r)
			}
		}
	}
	return slow
}

// add counts the answer of r until remove is called, unless it is small.
func (a *answers) add(r *Request, bytes int64) {
	if bytes <= smallAnswer {
		return
	}
	if r.Key >= 0 && int(r.Key) < len(a.usual) {
		a.usual[r.Key].Store(bytes)
	}
	r.unread = bytes
	a.mu.Lock()
	defer a.mu.Unlock()
	p := a.pileLocked(addressOf(r.conn.nc))
	p.unread[r] = time.Now()
	p.held += bytes
	a.mu.held += bytes
}

// remove says that the answer of r, which may have been added, has been written or dropped.
func (a *answers) remove(r *Request) {
	if r.unread == 0 {
		return
	}
	from := addressOf(r.conn.nc)
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.mu.piles[from].unread, r)
	a.freeLocked(from, r.unread)
}

func (a *answers) freeLocked(from netip.Addr, bytes int64) {
	p := a.mu.piles[from]
	p.held -= bytes
	a.mu.held -= bytes
	if p.users == 0 && len(p.unread) == 0 {
		delete(a.mu.piles, from)
	}
	a.wakeLocked()
}

// wakeLocked lets those go on for whom there is room, of each address in the order in which they came.
func (a *answers) wakeLocked() {
	if a.mu.waiting == 0 {
		return
	}
	for _, p := range a.mu.piles {
		for len(p.waiting) > 0 && a.roomLocked(p, p.waiting[0].bytes) {
			t := p.waiting[0]
			p.waiting = p.waiting[1:]
			a.mu.waiting--
			p.held += t.bytes
			a.mu.held += t.bytes
			close(t.come)
		}
	}
}

func (a *answers) roomLocked(p *pile, bytes int64) bool {
	return a.mu.held == 0 || a.mu.held+bytes <= a.bytes && (p.held == 0 || p.held+bytes <= a.bytes/2)
}

func (a *answers) pileLocked(from netip.Addr) *pile {
	p := a.mu.piles[from]
	if p == nil {
		p = &pile{unread: map[*Request]time.Time{}}
		a.mu.piles[from] = p
	}
	return p
}

// held is what all unread answers take, and those that are being made.
func (a *answers) held() int64 {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.mu.held
}
