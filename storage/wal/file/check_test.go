package file

import (
	"os"
	"path/filepath"
	"testing"

	"sluice/base"
	"sluice/base/slab"
	"sluice/storage/wal/block"
)

// TestCheck follows a log while it is written, after its close and its seal, and finds damage below what was durable; it never fences the writer.
func TestCheck(t *testing.T) {
	dir := t.TempDir()
	c, err := New(dir, false, 64<<20, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	id := block.Identity{Cluster: base.UUID{1}, Node: 2, Incarnation: base.UUID{3}}
	if err := c.Format(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	opt := block.Options{Cluster: id.Cluster, Node: 2, Epoch: 5, Pool: new(slab.Pool)}
	v := block.Victim{Node: 2, Epoch: 5}
	if _, _, err := c.Check(t.Context(), opt, v, 0); !base.IsKind(err, base.NotFound) {
		t.Fatalf("before there is one: %v", err)
	}
	log, err := c.Create(t.Context(), opt)
	if err != nil {
		t.Fatal(err)
	}
	const blocks = 600
	written := make(chan error, 1)
	go func() {
		for range blocks {
			done := make(chan error, 1)
			log.Append(block.Record{Stream: 1, Count: 1, Data: make([]byte, 9000)}, func(err error) { done <- err })
			if err := <-done; err != nil {
				written <- err
				return
			}
		}
		written <- nil
	}()
	looks, last := 0, base.WALPos(0)
	for end := base.WALPos(0); end < blocks; looks++ {
		select {
		case err := <-written:
			if err != nil {
				t.Fatalf("the writer: %v", err)
			}
			written <- nil
		default:
		}
		var n int
		if end, n, err = c.Check(t.Context(), opt, v, 0); err != nil || n != int(end) || end < last {
			t.Fatalf("look %d: end %d after %d, %d blocks, %v", looks, end, last, n, err)
		}
		last = end
	}
	if err := <-written; err != nil {
		t.Fatal(err)
	}
	if err := log.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	whole := func(when string) {
		t.Helper()
		if end, n, err := c.Check(t.Context(), opt, v, 10); end != blocks || n != blocks-10 || err != nil {
			t.Fatalf("%s: end %d, %d blocks, %v", when, end, n, err)
		}
	}
	whole("after the close")
	seg := filepath.Join(dir, "2-5", "00000000.seg")
	b, err := os.ReadFile(seg)
	if err != nil {
		t.Fatal(err)
	}
	damaged := append([]byte(nil), b...)
	damaged[dataStart+20*3*block.Align+500] ^= 1 // in the data of block 20: blocks of 9 KB take three pages
	for _, sealed := range []bool{false, true} {
		if err := os.WriteFile(seg, damaged, 0o644); err != nil {
			t.Fatal(err)
		}
		if end, n, err := c.Check(t.Context(), opt, v, 10); !base.IsKind(err, base.Corrupt) && err != nil || err == nil || end != 20 || n != 10 {
			t.Fatalf("sealed %v: end %d, %d blocks, %v", sealed, end, n, err)
		}
		if err := os.WriteFile(seg, b, 0o644); err != nil {
			t.Fatal(err)
		}
		if _, err := c.Seal(t.Context(), opt, v, 0, "test"); err != nil {
			t.Fatal(err)
		}
		whole("after the seal")
	}
}
