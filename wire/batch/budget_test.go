package batch

import (
	"bytes"
	"runtime"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"sluice/base"
)

// zeros is a batch of one record of n zeros.
func zeros(n int, codec Codec) Batch {
	b := NewBuilder(Options{Codec: codec})
	b.Add(Record{Value: make([]byte, n)})
	one, _, err := Parse(b.Bytes())
	if err != nil {
		panic(err)
	}
	return one
}

// TestBudgetIsShared: of two large outputs that do not fit together the second one waits until the loop over the first has ended; a small one does not wait.
func TestBudgetIsShared(t *testing.T) {
	first, second, small := zeros(16<<20, Gzip), zeros(16<<20, Zstd), zeros(100<<10, Snappy) // encoders outlive the bubble
	if err := second.Check(); err != nil {
		t.Fatal(err)
	}
	for range second.Records(Limits{}) { // so do decoders
	}
	synctest.Test(t, func(t *testing.T) {
		lim := Limits{Budget: NewBudget(24 << 20)}
		hold, left := make(chan bool), make(chan string, 3)
		open := func(name string, b Batch, hold <-chan bool) {
			for _, err := range b.Records(lim) {
				if err != nil {
					t.Error(err)
				}
				<-hold
			}
			left <- name
		}
		go open("first", first, hold)
		synctest.Wait()
		at := make(chan bool)
		close(at)
		go open("second", second, at)
		synctest.Wait()
		go open("small", small, at)
		synctest.Wait()
		if len(left) != 1 || <-left != "small" {
			t.Fatal("the second one did not wait, or the small one did")
		}
		close(hold)
		synctest.Wait()
		if len(left) != 2 {
			t.Fatalf("%d of 2 have ended", len(left))
		}
	})
}

// TestBudgetChangesNothing: whatever the ratio, the records are those that are read without a budget, and so is the refusal of what is too large.
func TestBudgetChangesNothing(t *testing.T) {
	budget := NewBudget(1) // smaller than all that is large: one at a time
	for codec := Gzip; codec <= Zstd; codec++ {
		for _, n := range []int{0, 1000, 80 << 10, 3 << 20, 20 << 20} {
			got := 0
			for r, err := range zeros(n, codec).Records(Limits{Budget: budget}) {
				if err != nil || !bytes.Equal(r.Value, make([]byte, n)) {
					t.Fatalf("%v, %d zeros: %d bytes, %v", codec, n, len(r.Value), err)
				}
				got++
			}
			if got != 1 {
				t.Errorf("%v, %d zeros: %d records", codec, n, got)
			}
		}
		for _, err := range zeros(3<<20, codec).Records(Limits{Bytes: 2 << 20, Budget: budget}) {
			if !base.IsKind(err, base.Invalid) {
				t.Errorf("%v: too much is not refused: %v", codec, err)
			}
		}
	}
	if !budget.small.TryAcquire(claimSmall) || len(budget.used) > 0 {
		t.Error("something is not given back")
	}
}

// TestBudgetMakesNoGarbage: one large output after the other takes the same memory, and no more than the budget has.
func TestBudgetMakesNoGarbage(t *testing.T) {
	defer debug.SetGCPercent(debug.SetGCPercent(-1))
	lim := Limits{Bytes: 40 << 20, Budget: NewBudget(32 << 20)}
	var in []Batch
	for codec := Gzip; codec <= Zstd; codec++ {
		in = append(in, zeros(24<<20, codec), zeros(9<<20, codec), zeros(50<<20, codec))
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for i, b := range in {
		for _, err := range b.Records(lim) {
			if refused := base.IsKind(err, base.Invalid); refused != (i%3 == 2) {
				t.Errorf("%v: batch %d: %v", b.Codec(), i, err)
			}
		}
	}
	runtime.ReadMemStats(&after)
	if mib := (after.TotalAlloc - before.TotalAlloc) >> 20; mib > 32+10 { // decoders and first attempts take some
		t.Errorf("%d MiB were allocated within a budget of 32", mib)
	}
}

// TestSizes: what is found out without memory is what comes out, or for zstd up to a block more for each block.
func TestSizes(t *testing.T) {
	for codec := Gzip; codec <= Zstd; codec++ {
		for _, n := range []int{0, 1, 1000, 128 << 10, 128<<10 + 1, 3 << 20} {
			for name, in := range map[string][]byte{"zeros": make([]byte, n), "noise": noise(n)} {
				src := Compress(nil, in, codec)
				got, err := decompressedBytes(src, codec, DecompressedBytesMax)
				if err != nil || got < n || got > n && (codec != Zstd || got >= n+zstdBlockBytes) {
					t.Errorf("%v: %d bytes of %s: %d, %v", codec, n, name, got, err)
				}
				if out, err := decompress(make([]byte, 0, got+1), src, codec, got); err != nil || !bytes.Equal(out, in) {
					t.Errorf("%v: %d bytes of %s do not decompress into %d bytes: %v", codec, n, name, got, err)
				}
				if n > 1000 {
					if _, err := decompressedBytes(src, codec, n/2); n > 2*zstdBlockBytes && err == nil {
						t.Errorf("%v: %d bytes of %s: more than the limit is not refused", codec, n, name)
					}
					if got, err := decompressedBytes(src[:len(src)/2], codec, DecompressedBytesMax); err == nil && codec == LZ4 {
						t.Errorf("%v: %d bytes of %s: half of it is taken for %d bytes", codec, n, name, got)
					}
				}
			}
		}
	}
}

// noise is what does not compress.
func noise(n int) []byte {
	b, x := make([]byte, n), uint64(1)
	for i := range b {
		x = x*6364136223846793005 + 1442695040888963407
		b[i] = byte(x >> 56)
	}
	return b
}

// TestArena: parts do not overlap, wishes are fulfilled in the order in which they came, and memory that nobody uses any more is dropped.
func TestArena(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := NewBudget(4 << 20)
		for round := range 200 {
			var held atomic.Int64
			var wg sync.WaitGroup
			for i := range 8 {
				wg.Go(func() {
					n := 1 + (i*7919+round*104729)%(5<<20)
					room, give := b.take(n)
					defer give()
					if held.Add(int64(min(n, 4<<20))) > 4<<20 || cap(room) != n || len(room) != 0 {
						t.Errorf("%d bytes are held, %d of %d were given", held.Load(), cap(room), n)
					}
					whole := room[:n]
					whole[0], whole[n-1] = byte(i), byte(i)
					time.Sleep(time.Duration(1+i%3) * time.Millisecond)
					if whole[0] != byte(i) || whole[n-1] != byte(i) {
						t.Errorf("a part of %d bytes was written to by others", n)
					}
					held.Add(-int64(min(n, 4<<20)))
				})
			}
			wg.Wait()
		}
		kept := func() bool {
			b.mu.Lock()
			defer b.mu.Unlock()
			return b.arena != nil
		}
		if len(b.used) > 0 || len(b.waiting) > 0 || !kept() {
			t.Errorf("%d parts are in use, %d are wished for, or the memory is gone already", len(b.used), len(b.waiting))
		}
		time.Sleep(arenaIdle + 1)
		if synctest.Wait(); kept() {
			t.Error("the memory is kept")
		}
	})
}
