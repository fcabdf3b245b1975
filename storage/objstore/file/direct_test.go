package file

import (
	"bytes"
	"context"
	"math/rand/v2"
	"testing"

	"sluice/storage/objstore/driver"
)

// TestDirectRanges: objects that go around the page cache come back byte for byte, whatever the segments and ranges.
func TestDirectRanges(t *testing.T) {
	ctx := context.Background()
	for _, indirect := range []bool{false, true} {
		s, err := Open(t.TempDir())
		if err != nil {
			t.Fatal(err)
		}
		s.indirect.Store(indirect)
		rng := rand.New(rand.NewPCG(1, 2))
		for _, size := range []int{directMin, directMin + 1, 2*stagingSize - 1, 3*stagingSize + 4096, 3*stagingSize + 12345} {
			whole := make([]byte, size)
			for i := range whole {
				whole[i] = byte(rng.Uint32())
			}
			var body [][]byte
			for rest := whole; len(rest) > 0; {
				n := min(len(rest), 1+rng.IntN(1+rng.IntN(stagingSize)))
				body, rest = append(body, rest[:n]), rest[n:]
			}
			if err := s.Put(ctx, "k", body, driver.PutOptions{}); err != nil {
				t.Fatal(err)
			}
			if info, err := s.Stat(ctx, "k"); err != nil || info.Size != int64(size) {
				t.Fatalf("size %d: %v, %v", size, info.Size, err)
			}
			for range 50 {
				off := rng.IntN(size)
				n := 1 + rng.IntN(size-off)
				got, err := s.Get(ctx, "k", int64(off), int64(n), []byte("head"))
				if err != nil || !bytes.Equal(got[4:], whole[off:off+n]) || string(got[:4]) != "head" {
					t.Fatalf("size %d, range [%d, %d): %d bytes, %v", size, off, off+n, len(got)-4, err)
				}
			}
		}
		if s.indirect.Load() != indirect {
			t.Log("this file system refuses direct I/O: the fall-back was tested")
		}
		if s.pool.InUse() != 0 {
			t.Errorf("%d bytes of staging buffers were not released", s.pool.InUse())
		}
	}
}
