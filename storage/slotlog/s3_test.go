//go:build unix

package slotlog

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"sluice/base"
	"sluice/storage/objstore"
	"sluice/storage/objstore/retry"
	"sluice/test/s3test"
)

// TestOnS3 lets two writers and a sealer meet on a real S3 server.
func TestOnS3(t *testing.T) {
	store, err := objstore.Open(t.Context(), s3test.Start(t), objstore.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := objstore.Probe(t.Context(), store); err != nil {
		t.Fatal(err)
	}
	l := newLog(retry.New(store, retry.Options{}))
	for epoch := range uint64(5) {
		names := []string{"a", "b"}
		histories := make([]history, len(names))
		var writers []*Writer
		for i, name := range names {
			w := l.NewWriter(epoch, 0, WriterOptions{InFlight: 8})
			writers = append(writers, w)
			for n := range 50 {
				histories[i].append(w, name, n)
			}
		}
		for histories[0].answered()+histories[1].answered() < 60 {
			time.Sleep(time.Millisecond)
		}
		var wg sync.WaitGroup
		ends := make([]uint64, 2)
		for i := range ends {
			wg.Go(func() {
				end, err := l.Seal(t.Context(), epoch, 0, Seal{Who: fmt.Sprint(i)})
				if err != nil {
					t.Error(err)
				}
				ends[i] = end
			})
		}
		wg.Wait()
		for _, w := range writers {
			w.Close()
		}
		if ends[0] != ends[1] {
			t.Fatalf("epoch %d: ends %d", epoch, ends)
		}
		winners := 0
		for i := range histories {
			h := &histories[i]
			if h.bad != "" || h.calls != 50 || h.acked > int(ends[0]) {
				t.Fatalf("epoch %d, sealed at %d: %d answers, %d acknowledged: %s", epoch, ends[0], h.calls, h.acked, h.bad)
			}
			if h.acked > 0 {
				winners++
				if s, err := l.Read(t.Context(), epoch, 0); err != nil || string(s.Payload) != names[i]+"-0" {
					t.Fatalf("epoch %d: %q, %v", epoch, s.Payload, err)
				}
			} else if !base.IsKind(h.errors[0], base.Fenced) && !base.IsKind(h.errors[0], base.Closed) {
				t.Fatalf("epoch %d: %v", epoch, h.errors[0])
			}
		}
		if winners > 1 {
			t.Fatalf("epoch %d: two writers were acknowledged", epoch)
		}
	}
}
