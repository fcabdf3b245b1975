package slab

import (
	"sync"
	"testing"
	"unsafe"
)

func TestBuffersAreAlignedAndLargeEnough(t *testing.T) {
	var p Pool
	for _, size := range []int{0, 1, Align - 1, Align, Align + 1, 1 << 20, 1<<20 + 1} {
		b := p.Get(size)
		if len(b.B) < size || uintptr(unsafe.Pointer(unsafe.SliceData(b.B)))%Align != 0 || b.Refs() != 1 {
			t.Errorf("size %d: %d bytes at %p, %d references", size, len(b.B), b.B, b.Refs())
		}
		b.Release()
	}
	if p.InUse() != 0 {
		t.Errorf("%d bytes in use after the last release", p.InUse())
	}
}

func TestClasses(t *testing.T) {
	last, lastBytes := 0, Align
	for size := 1; size <= 128<<20; size += 1 + size/97 {
		class, bytes := classOf(size)
		if class < last || class > last+1 || class >= classes || bytes < size || bytes < lastBytes || bytes%Align != 0 || size > 16<<10 && bytes > size+size/4+Align {
			t.Fatalf("size %d: class %d of %d bytes after class %d of %d bytes", size, class, bytes, last, lastBytes)
		}
		last, lastBytes = class, bytes
	}
	if class, _ := classOf(128<<20 + 1); class >= 0 {
		t.Fatalf("class %d for more than the largest", class)
	}
}

func TestLastReleaseRecycles(t *testing.T) {
	var p Pool
	b := p.Get(Align)
	b.Retain(2)
	b.Release()
	b.Release()
	if other := p.Get(Align); other == b {
		t.Fatal("recycled with a reference left")
	}
	b.B[0] = 1
	b.Release()
	if b.B[0] == 1 {
		t.Error("a recycled buffer keeps its bytes: a use after release would not show")
	}
	if again := p.Get(Align); again != b {
		t.Error("not recycled")
	}
}

func TestKeepsNoMoreThanTheBound(t *testing.T) {
	var p Pool
	p.SetFreeMax(3 * Align)
	var bufs []*Buf
	for range 10 {
		bufs = append(bufs, p.Get(Align))
	}
	for _, b := range bufs {
		b.Release()
	}
	if p.mu.freeBytes != 3*Align || p.mu.free[0].len() != 3 {
		t.Errorf("kept %d bytes in %d buffers", p.mu.freeBytes, p.mu.free[0].len())
	}
}

// TestKeepsWhatWasReleasedLast: buffers of a size that nobody wants any more make room for those of another, the first released first.
func TestKeepsWhatWasReleasedLast(t *testing.T) {
	var p Pool
	p.SetFreeMax(8 * Align)
	var small []*Buf
	for range 8 {
		small = append(small, p.Get(Align))
	}
	for _, b := range small {
		b.Release()
	}
	large := p.Get(2 * Align)
	large.Release()
	if got := p.Get(2 * Align); got != large {
		t.Error("what was released last was not kept")
	}
	if n := p.mu.free[0].len(); n != 6 || p.mu.freeBytes != 6*Align {
		t.Errorf("%d small ones are kept, %d bytes", n, p.mu.freeBytes)
	}
	for i := 7; i >= 2; i-- {
		if p.Get(Align) != small[i] {
			t.Errorf("small buffer %d was not kept, or not used in its turn", i)
		}
	}
	for round := range 1000 { // the stack does not grow
		b := p.Get(Align * (1 + round%2))
		b.Release()
		p.Get(8 * Align).Release()
	}
	if n := cap(p.mu.free[0].bufs); n > 64 {
		t.Errorf("a stack of at most 8 has room for %d", n)
	}
}

func TestMisuseIsFound(t *testing.T) {
	var p Pool
	for name, misuse := range map[string]func(*Buf){
		"released twice":         func(b *Buf) { b.Release() },
		"retained after release": func(b *Buf) { b.Retain(1) },
	} {
		b := p.Get(1)
		b.Release()
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s: no panic", name)
				}
			}()
			misuse(b)
		}()
	}
}

func TestConcurrentUse(t *testing.T) {
	var p Pool
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for i := range 1000 {
				b := p.Get(1 << (10 + i%8))
				b.B[0] = byte(i)
				b.Retain(1)
				b.Release()
				b.Release()
			}
		})
	}
	wg.Wait()
	if p.InUse() != 0 {
		t.Errorf("%d bytes in use", p.InUse())
	}
}

func BenchmarkGetRelease(b *testing.B) {
	var p Pool
	for b.Loop() {
		p.Get(1 << 20).Release()
	}
}
