package stream_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"sluice/base"
	"sluice/storage/stream"
)

// A WAL fails while producers wait for room and appends are under way. Who waits is refused, what was acknowledged is read as before and committed
// without the WAL, the streams end there, whether they had an append under way or not, and the other WAL gets the memory.
func TestHalt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, func(o *stream.Options) { o.WALCacheBytes = 1 << 20 })
		other, log, node := r.second()
		ctx, broken := context.Background(), base.Errorf(base.Failed, "the disk is broken")
		busy, idle := r.open(1), r.open(2)
		r.write(idle, 3, 100, 1)
		r.store.set(true)
		written := 0
		for ; ; written++ {
			short, cancel := context.WithTimeout(ctx, time.Millisecond)
			err := r.Admit(short, 10_000)
			cancel()
			if err != nil {
				break
			}
			r.write(busy, 1, 10_000, 1)
		}
		waits, refused := make(chan error, 1), make(chan error, 2)
		go func() { waits <- r.Admit(ctx, 10_000) }()
		busy.Append(record(busy, 10_000), func(err error) { refused <- err })
		synctest.Wait()
		r.log.Fail()
		r.Halt(broken)
		busy.Append(record(busy, 10_000), func(err error) { refused <- err })
		for _, got := range []error{<-waits, <-refused, <-refused} {
			if !base.IsKind(got, base.Failed) {
				t.Fatalf("refused with %v", got)
			}
		}
		r.check(busy, 0, base.Offset(written), 10_000)
		if _, err := stream.Retire(ctx, busy, idle); !base.IsKind(err, base.Unavailable) {
			t.Fatalf("given up although nothing is committed: %v", err)
		}

		r.store.set(false)
		must(t, r.FlushStreams(ctx, []*stream.Stream{busy, idle}))
		ends, err := stream.Retire(ctx, busy, idle)
		must(t, err)
		if ends[0] != base.Offset(written) || ends[1] != 3 {
			t.Fatalf("the streams end at %v, acknowledged are %d and 3", ends, written)
		}
		for _, err := range r.CloseStreams(ctx, []*stream.Stream{busy, idle}) {
			must(t, err)
		}
		late := r.Attach(r.catalog.Open(r.node, 3)) // it was opened before everybody knew
		late.Append(record(late, 10), func(err error) { refused <- err })
		if err := <-refused; !base.IsKind(err, base.Failed) {
			t.Fatalf("an append to a stream that was attached after the failure: %v", err)
		}
		again := other.Attach(r.catalog.Open(node, 1))
		if again.Next() != base.Offset(written) {
			t.Fatalf("opened at %d, acknowledged are %d", again.Next(), written)
		}
		for range 5 {
			must(t, other.Admit(ctx, 10_000))
			again.Append(record(again, 10_000), func(err error) { must(t, err) })
			log.Commit()
		}
		r.check(again, 0, base.Offset(written)+5, 10_000)
		if other.Busy() {
			t.Fatal("what was refused still takes memory")
		}
		r.Abandon()
		r.check(again, 0, base.Offset(written)+5, 10_000)
	})
}
