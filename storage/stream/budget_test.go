package stream_test

import (
	"context"
	"math"
	"testing"
	"testing/synctest"

	"sluice/base"
	"sluice/storage/stream"
)

// TestOneBudget: the WAL cache and the block cache share one budget. Either takes what the other does not use, gives it back when it is
// needed, and keeps its own part.
func TestOneBudget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const walPart, blockPart, slack = 24 << 20, 16 << 20, 10 << 20 // slack: an extent on its way, and a block of the WAL
		r := newRig(t, func(o *stream.Options) { o.WALCacheBytes, o.BlockCacheBytes, o.UploadBytes = walPart, blockPart, 4<<20 })
		s := r.open(1)
		look := func(what string) (wal, blocks int64) {
			t.Helper()
			synctest.Wait()
			wal, blocks = r.Cached()
			if wal+blocks > walPart+blockPart+slack {
				t.Fatalf("%s: %d MiB and %d MiB are more than the budget", what, wal>>20, blocks>>20)
			}
			t.Logf("%s: WAL %d MiB, blocks %d MiB", what, wal>>20, blocks>>20)
			return wal, blocks
		}
		write := func(records int) {
			for range records / 64 {
				r.write(s, 64, 16<<10, 64)
				synctest.Wait() // for uploads
			}
			must(t, r.Flush(context.Background()))
		}
		read := func(from, to base.Offset) {
			for from < to {
				c, err := s.Read(context.Background(), from, math.MaxInt64, 1<<20, true)
				must(t, err)
				from = c.End
				c.Release()
				look("reading")
			}
		}
		write(6400) // 100 MiB
		if wal, _ := look("written, and nothing read"); wal < walPart+blockPart-4<<20 {
			t.Errorf("the WAL cache has %d MiB: it does not use what the block cache leaves", wal>>20)
		}
		read(0, 3000)
		if wal, blocks := look("read from objects"); blocks < blockPart-6<<20 || wal > walPart+6<<20 {
			t.Errorf("WAL %d MiB, blocks %d MiB: the block cache did not get its part back", wal>>20, blocks>>20)
		}
		write(6400)
		if wal, blocks := look("written again"); wal < walPart-4<<20 || blocks > blockPart+slack {
			t.Errorf("WAL %d MiB, blocks %d MiB after writing again", wal>>20, blocks>>20)
		}
	})
}

// TestLentToBlocks: a broker that is only read from uses the memory of the WAL cache for blocks, until somebody writes.
func TestLentToBlocks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, s := cold(t, 4000, 16<<10, 64, func(o *stream.Options) { o.WALCacheBytes, o.BlockCacheBytes = 24<<20, 16<<20 })
		for at := base.Offset(0); at < 4000; {
			c, err := s.Read(context.Background(), at, math.MaxInt64, 1<<20, true)
			must(t, err)
			at = c.End
			c.Release()
		}
		synctest.Wait()
		if _, blocks := r.Cached(); blocks < 28<<20 || blocks > 48<<20 {
			t.Errorf("blocks take %d MiB of 40", blocks>>20)
		}
		r.write(s, 1280, 16<<10, 64) // 20 MiB
		if wal, blocks := r.Cached(); wal < 20<<20 || wal+blocks > 42<<20 {
			t.Errorf("after writing the WAL cache has %d MiB, blocks %d MiB", wal>>20, blocks>>20)
		}
	})
}
