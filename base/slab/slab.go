// Package slab hands out large recycled byte buffers with reference counts. All record bytes of the broker live in them: the
// socket reads into them, the WAL writes from them, the caches keep them and the sockets write from them.
//
// Invariants:
//
//  1. A buffer is recycled exactly when its last reference is released. A release too many, or a use of a released buffer's
//     reference count, panics.
//  2. The bytes of a buffer do not change while anybody but its filler holds a reference.
//  3. Buffers start at a multiple of 4096 bytes, so that they can be the source of direct I/O.
//  4. In test binaries the bytes of a recycled buffer are overwritten, so that a use after release shows.
//
// The package starts no goroutine; pools are safe for concurrent use.
package slab

import (
	"fmt"
	"math/bits"
	"sync"
	"sync/atomic"
	"testing"
	"unsafe"
)

// Align is the alignment of every buffer in bytes.
const Align = 4096

// Size classes: 4, 8 and 16 KiB, then four to each doubling, up to 128 MiB; so a buffer is at most a quarter larger than asked for,
// and always a multiple of Align.
const (
	doublingsMin = 12 // 4 KiB
	quartersMin  = 14 // from 16 KiB on
	doublingsMax = 27 // 128 MiB
	classes      = quartersMin - doublingsMin + 4*(doublingsMax-quartersMin) + 1
)

// classOf returns the smallest class of at least size bytes and the bytes of its buffers, -1 for more than the largest class.
func classOf(size int) (class, bytes int) {
	doubling := max(bits.Len(uint(max(size, 1)-1)), doublingsMin) // 2^doubling is the next power of two
	switch {
	case doubling > doublingsMax:
		return -1, size
	case doubling <= quartersMin:
		return doubling - doublingsMin, 1 << doubling
	}
	half := 1 << (doubling - 1)
	step := half / 4
	k := (size - half + step - 1) / step // 1 to 4
	return quartersMin - doublingsMin + 4*(doubling-1-quartersMin) + k, half + k*step
}

// Size returns how many bytes the buffer has that Get(size) returns.
func Size(size int) int {
	_, bytes := classOf(size)
	return bytes
}

// Buf is a recycled buffer. B is its whole capacity; what part of it is filled is the holder's affair.
type Buf struct {
	B    []byte
	refs atomic.Int32
	pool *Pool
	cls  int
	kept uint64 // while it is kept: the how manieth release it was
}

// FreeMax is how many bytes of released buffers a pool keeps for reuse, unless SetFreeMax says otherwise.
const FreeMax = 64 << 20

// Pool recycles buffers by size class (see classOf). The zero value is ready to use.
//
// Released buffers are kept in stacks of their own rather than in a sync.Pool: a buffer that the garbage collector has taken away
// costs a page fault for each of its pages when it is needed again, which for a busy broker is more than all its other work.
type Pool struct {
	inUse   atomic.Int64
	freeMax atomic.Int64 // 0 = FreeMax

	mu struct {
		sync.Mutex
		free      [classes]stack
		freeBytes int64
		released  uint64 // how many have been kept so far
	}
}

// stack holds the released buffers of a class. The last one is used next, the first one is given up next.
type stack struct {
	bufs []*Buf
	gone int // entries at the front that are not there any more
}

func (s *stack) len() int { return len(s.bufs) - s.gone }

func (s *stack) pop() *Buf {
	if s.len() == 0 {
		return nil
	}
	b := s.bufs[len(s.bufs)-1]
	s.bufs[len(s.bufs)-1] = nil
	s.bufs = s.bufs[:len(s.bufs)-1]
	return b
}

func (s *stack) push(b *Buf) {
	if s.gone > s.len() {
		n := copy(s.bufs, s.bufs[s.gone:])
		clear(s.bufs[n:])
		s.bufs, s.gone = s.bufs[:n], 0
	}
	s.bufs = append(s.bufs, b)
}

// first is the buffer that was released before all others of the stack.
func (s *stack) first() *Buf { return s.bufs[s.gone] }

func (s *stack) dropFirst() {
	s.bufs[s.gone] = nil
	s.gone++
}

// SetFreeMax bounds the bytes of released buffers that are kept for reuse.
func (p *Pool) SetFreeMax(bytes int64) { p.freeMax.Store(max(bytes, 1)) }

// Get returns a buffer of at least size bytes with one reference, which the caller owns. Its content is arbitrary.
func (p *Pool) Get(size int) *Buf {
	cls, bytes := classOf(size)
	if cls < 0 {
		b := &Buf{B: aligned(bytes), pool: p, cls: cls}
		b.refs.Store(1)
		p.inUse.Add(int64(len(b.B)))
		return b
	}
	b := p.take(cls)
	if b == nil {
		b = &Buf{B: aligned(bytes), pool: p, cls: cls}
	}
	b.refs.Store(1)
	p.inUse.Add(int64(len(b.B)))
	return b
}

// take returns a kept buffer of the class, nil if there is none.
func (p *Pool) take(cls int) *Buf {
	p.mu.Lock()
	defer p.mu.Unlock()
	b := p.mu.free[cls].pop()
	if b != nil {
		p.mu.freeBytes -= int64(len(b.B))
	}
	return b
}

// put keeps a released buffer. When enough are kept, those that were released first are left to the garbage collector, whatever their class: sizes that
// are not asked for any more must not keep out those that are.
func (p *Pool) put(b *Buf) {
	limit := p.freeMax.Load()
	if limit == 0 {
		limit = FreeMax
	}
	if int64(len(b.B)) > limit {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.mu.released++
	b.kept = p.mu.released
	p.mu.free[b.cls].push(b)
	p.mu.freeBytes += int64(len(b.B))
	for p.mu.freeBytes > limit {
		p.dropFirst()
	}
}

// dropFirst gives up the buffer that was released before all others that are kept.
func (p *Pool) dropFirst() {
	var oldest *stack
	for i := range p.mu.free {
		if s := &p.mu.free[i]; s.len() > 0 && (oldest == nil || s.first().kept < oldest.first().kept) {
			oldest = s
		}
	}
	p.mu.freeBytes -= int64(len(oldest.first().B))
	oldest.dropFirst()
}

// InUse returns the bytes of all buffers that have not been released.
func (p *Pool) InUse() int64 { return p.inUse.Load() }

// Retain adds n references.
func (b *Buf) Retain(n int) {
	if b.refs.Add(int32(n)) <= int32(n) {
		panic("BUG: slab: retain of a released buffer")
	}
}

// Release gives one reference back; the last one recycles the buffer.
func (b *Buf) Release() {
	switch n := b.refs.Add(-1); {
	case n > 0:
	case n < 0:
		panic(fmt.Sprintf("BUG: slab: released %d times too often", -n))
	default:
		if testing.Testing() {
			for i := range min(len(b.B), 512) {
				b.B[i] = 0xdb
			}
		}
		b.pool.inUse.Add(-int64(len(b.B)))
		if b.cls >= 0 {
			b.pool.put(b)
		}
	}
}

// Refs returns the number of references, for assertions and tests.
func (b *Buf) Refs() int { return int(b.refs.Load()) }

func aligned(size int) []byte {
	b := make([]byte, size+Align)
	off := int(-uintptr(unsafe.Pointer(unsafe.SliceData(b))) & (Align - 1))
	return b[off : off+size : off+size]
}
