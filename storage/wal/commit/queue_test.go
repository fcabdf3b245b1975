package commit

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"go.uber.org/goleak"
	"pgregory.net/rapid"

	"sluice/base"
	"sluice/base/slab"
	"sluice/storage/wal/block"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// device is a queue with writers that stop before each write until the test lets it go.
type device struct {
	q       *Queue
	pool    slab.Pool
	writers sync.WaitGroup
	begun   chan *write // blocks that are being written

	mu struct {
		sync.Mutex
		blocks []*block.Block
		ends   []end
		failed []error
	}
}

type write struct {
	b   *Batch
	end chan error
}

type end struct {
	n   int // of the append
	err error
}

func newDevice(writers int, change func(*Options)) *device {
	d := &device{begun: make(chan *write, writers)}
	opt := Options{Node: 1, Epoch: 1, Pool: &d.pool, BlockBytes: 16 << 10, ArenaBytes: 32 << 10, MaxRecordBytes: 1 << 20,
		Pace:     Natural{Writers: writers, SecondBytes: 1},
		OnBlock:  func(b *block.Block) { d.mu.Lock(); d.mu.blocks = append(d.mu.blocks, b); d.mu.Unlock() },
		OnFailed: func(err error) { d.mu.Lock(); d.mu.failed = append(d.mu.failed, err); d.mu.Unlock() },
	}
	if change != nil {
		change(&opt)
	}
	d.q = NewQueue(opt)
	for range writers {
		d.writers.Go(func() {
			for {
				b, ok := d.q.Next(func(base.WALPos, int) (uint64, error) { return 7, nil })
				if !ok {
					return
				}
				w := &write{b, make(chan error)}
				d.begun <- w
				d.q.Finish(b, <-w.end)
			}
		})
	}
	return d
}

func (d *device) append(n, size int) {
	data := make([]byte, size)
	for i := range data {
		data[i] = byte(n + i)
	}
	d.q.Append(block.Record{Stream: base.StreamID(n % 3), Base: base.Offset(n), Count: 1, Data: data}, func(err error) {
		d.mu.Lock()
		d.mu.ends = append(d.mu.ends, end{n, err})
		d.mu.Unlock()
	})
}

// autoWrite ends every write at once from now on.
func (d *device) autoWrite() (stop func()) {
	quit, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		for {
			select {
			case w := <-d.begun:
				w.end <- nil
			case <-quit:
				return
			}
		}
	}()
	return func() { close(quit); <-ended }
}

// close closes the queue while writes succeed, and checks that all memory has come back.
func (d *device) close(t interface{ Fatalf(string, ...any) }) {
	stop := d.autoWrite()
	if err := d.q.Close(context.Background()); err != nil {
		t.Fatalf("close: %v", err)
	}
	d.writers.Wait()
	stop()
	for _, b := range d.mu.blocks {
		b.Release()
	}
	if n := d.pool.InUse(); n != 0 {
		t.Fatalf("%d bytes were not returned", n)
	}
}

// TestOrder: whatever order writes end in, blocks and done calls come in the order of the appends, each once, verified.
func TestOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		d := newDevice(rapid.IntRange(1, 4).Draw(t, "writers"), nil)
		var going []*write
		n := 0
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			for len(d.begun) > 0 {
				going = append(going, <-d.begun)
			}
			if len(going) == 0 || rapid.Bool().Draw(t, "append") {
				d.append(n, rapid.SampledFrom([]int{0, 1, 100, 4000, 5000, 17000, 40000}).Draw(t, "size"))
				n++
			} else {
				i := rapid.IntRange(0, len(going)-1).Draw(t, "which")
				going[i].end <- nil
				going = slices.Delete(going, i, i+1)
			}
		}
		for _, w := range going {
			w.end <- nil
		}
		stop := d.autoWrite()
		if err := d.q.Close(context.Background()); err != nil {
			t.Fatal(err)
		}
		d.writers.Wait()
		stop()
		d.check(t, n)
	})
}

func (d *device) check(t *rapid.T, n int) {
	if len(d.mu.ends) != n {
		t.Fatalf("%d appends, %d done calls", n, len(d.mu.ends))
	}
	for i, e := range d.mu.ends {
		if e.n != i || e.err != nil {
			t.Fatalf("done call %d is of append %d, %v", i, e.n, e.err)
		}
	}
	next, prev := 0, uint32(0)
	for i, b := range d.mu.blocks {
		if b.Pos != base.WALPos(i) {
			t.Fatalf("block %d at position %d", b.Pos, i)
		}
		for _, r := range b.Records {
			if int(r.Base) != next {
				t.Fatalf("record %d where %d is due", r.Base, next)
			}
			for j, x := range r.Data {
				if x != byte(next+j) {
					t.Fatalf("record %d has other data", next)
				}
			}
			next++
		}
		prev = d.checkSealed(t, b, prev)
	}
	if int(d.q.Durable()) != len(d.mu.blocks) || next != n {
		t.Fatalf("durable %d of %d blocks, %d of %d records", d.q.Durable(), len(d.mu.blocks), next, n)
	}
	for _, b := range d.mu.blocks {
		b.Release()
	}
	if n := d.pool.InUse(); n != 0 {
		t.Fatalf("%d bytes were not returned", n)
	}
}

// checkSealed finds the encoded block in its buffer and verifies it.
func (d *device) checkSealed(t *rapid.T, b *block.Block, prev uint32) uint32 {
	for off := 0; off < len(b.Buf.B); off += block.Align {
		h, err := block.Parse(b.Buf.B[off:])
		if err != nil || h.Pos != b.Pos {
			continue
		}
		records, err := block.Records(&h, b.Buf.B[off:])
		if err != nil || len(records) != len(b.Records) || h.Prev != prev || h.Size() != b.Bytes || h.Segment != 7 {
			t.Fatalf("block %d: %v, %d records, previous %08x, want %08x", b.Pos, err, len(records), h.Prev, prev)
		}
		return h.CRC
	}
	t.Fatalf("block %d is not in its buffer", b.Pos)
	return 0
}

// TestFailure: from the first block that fails on everything fails, in order, later blocks that were written included.
func TestFailure(t *testing.T) {
	d := newDevice(2, nil)
	broken := base.Wrap(base.Failed, errors.New("broken"))
	d.append(0, 10)
	a := <-d.begun
	d.append(1, 10)
	b := <-d.begun
	d.append(2, 10)
	d.append(3, 20000)
	a.end <- broken
	d.append(4, 10)
	b.end <- nil
	d.close(t)
	late := make(chan error)
	d.q.Append(block.Record{Count: 1}, func(err error) { late <- err })
	if err := <-late; !base.IsKind(err, base.Failed) {
		t.Fatalf("late append: %v", err)
	}
	want := []end{{0, broken}, {1, broken}, {2, broken}, {3, broken}, {4, broken}}
	if got := fmt.Sprint(d.mu.ends[:5]); got != fmt.Sprint(want) || len(d.mu.blocks) > 0 || d.q.Durable() != 0 {
		t.Fatalf("got %v and %d blocks", got, len(d.mu.blocks))
	}
	if !base.IsKind(d.q.Err(), base.Failed) {
		t.Fatalf("error %v", d.q.Err())
	}
}

// TestFailureBehindHead: what was written before the block that fails is still delivered.
func TestFailureBehindHead(t *testing.T) {
	d := newDevice(2, nil)
	d.append(0, 10)
	a := <-d.begun
	d.append(1, 10)
	b := <-d.begun
	b.end <- base.Wrap(base.Failed, errors.New("broken"))
	a.end <- nil
	d.close(t)
	if len(d.mu.ends) != 2 || d.mu.ends[0].err != nil || d.mu.ends[1].err == nil || d.q.Durable() != 1 {
		t.Fatalf("got %v", d.mu.ends)
	}
}

// TestConfirmRefuses: a writer that has lost the log acknowledges nothing more, though its writes succeed.
func TestConfirmRefuses(t *testing.T) {
	calls := 0
	d := newDevice(1, func(o *Options) {
		o.Confirm = func() error {
			if calls++; calls > 1 {
				return base.Errorf(base.Fenced, "sealed")
			}
			return nil
		}
	})
	first := make(chan error, 1)
	d.q.Append(block.Record{Count: 1}, func(err error) { first <- err })
	(<-d.begun).end <- nil
	if err := <-first; err != nil {
		t.Fatal(err)
	}
	d.append(0, 10)
	(<-d.begun).end <- nil
	d.append(1, 10)
	d.close(t)
	if len(d.mu.ends) != 2 || !base.IsKind(d.mu.ends[0].err, base.Fenced) || !base.IsKind(d.mu.ends[1].err, base.Fenced) || d.q.Durable() != 1 {
		t.Fatalf("got %v", d.mu.ends)
	}
}

// TestCloseGivesUp: when the context of Close ends, what hangs fails at once. Its memory stays until its write ends, and its success changes nothing.
func TestCloseGivesUp(t *testing.T) {
	d := newDevice(1, nil)
	d.append(0, 10)
	w := <-d.begun
	d.append(1, 10)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := d.q.Close(ctx); !base.IsKind(err, base.Unavailable) {
		t.Fatalf("got %v", err)
	}
	<-d.q.Done()
	if d.pool.InUse() == 0 {
		t.Fatal("the memory of a block that is being written was released")
	}
	w.end <- nil
	d.writers.Wait()
	if d.pool.InUse() > 0 || len(d.mu.blocks) > 0 {
		t.Fatalf("%d bytes were not released, %d blocks delivered", d.pool.InUse(), len(d.mu.blocks))
	}
	if len(d.mu.ends) != 2 || !base.IsKind(d.mu.ends[0].err, base.Closed) || !base.IsKind(d.mu.ends[1].err, base.Closed) || len(d.mu.failed) > 0 {
		t.Fatalf("got %v, failures %v", d.mu.ends, d.mu.failed)
	}
}

// TestTooLarge: a record that no segment holds is refused, and nothing else is.
func TestTooLarge(t *testing.T) {
	d := newDevice(1, nil)
	d.append(0, 1<<20+1)
	d.append(1, 10)
	d.close(t)
	for _, e := range d.mu.ends {
		if (e.n == 0) != base.IsKind(e.err, base.Invalid) || (e.n == 1) != (e.err == nil) {
			t.Fatalf("got %v", d.mu.ends)
		}
	}
	if len(d.mu.ends) != 2 {
		t.Fatalf("got %v", d.mu.ends)
	}
}

// TestMemoryIsCharged: the blocks' shares of their buffers add up to what was taken from the pool, but for what the open arena
// and the one behind it have left.
func TestMemoryIsCharged(t *testing.T) {
	d := newDevice(1, nil)
	stop := d.autoWrite()
	for i := range 200 {
		d.append(i, []int{10, 3000, 9000, 30000, 70000}[i%5])
	}
	if err := d.q.Close(context.Background()); err != nil {
		t.Fatal(err)
	}
	d.writers.Wait()
	stop()
	sum := int64(0)
	for _, b := range d.mu.blocks {
		sum += int64(b.Mem)
	}
	if held := d.pool.InUse(); sum > held || held-sum > 128<<10 {
		t.Fatalf("%d bytes are held, %d charged", held, sum)
	}
	for _, b := range d.mu.blocks {
		b.Release()
	}
}

func BenchmarkAppendOnly(b *testing.B) {
	d := newDevice(2, func(o *Options) {
		o.BlockBytes, o.ArenaBytes = 1<<20, 2<<20
		o.OnBlock = nil
	})
	stop := d.autoWrite()
	data := make([]byte, 1024)
	room := make(chan struct{}, 32<<10)
	done := func(error) { <-room }
	b.ReportAllocs()
	for i := range b.N {
		room <- struct{}{}
		d.q.Append(block.Record{Base: base.Offset(i), Count: 1, Data: data}, done)
	}
	d.q.Close(context.Background())
	d.writers.Wait()
	stop()
}

// TestAppendDoesNotAllocate: what a block needs is allocated once per block, not per record.
func TestAppendDoesNotAllocate(t *testing.T) {
	d := newDevice(1, func(o *Options) {
		o.BlockBytes, o.ArenaBytes = 1<<20, 2<<20
		o.OnBlock = nil
	})
	stop := d.autoWrite()
	data := make([]byte, 100)
	var all sync.WaitGroup
	done := func(error) { all.Done() }
	const n = 2000
	run := func() {
		all.Add(n)
		for i := range n {
			d.q.Append(block.Record{Base: base.Offset(i), Count: 1, Data: data}, done)
		}
		all.Wait()
	}
	run()
	if per := testing.AllocsPerRun(10, run) / n; per > 0.5 {
		t.Fatalf("%.3f allocations per append", per)
	}
	d.q.Close(context.Background())
	d.writers.Wait()
	stop()
}

// said is how the appends ended.
func (d *device) said() string {
	var all []string
	for _, e := range d.mu.ends {
		all = append(all, fmt.Sprint(e.n, " ", e.err))
	}
	return strings.Join(all, ", ")
}

// TestGiveUp: of two blocks that are being written the first hangs. When the queue is given up what was delivered stays so, everything else fails at once and in order,
// also what was written behind the block that hangs; and however its write ends, it is not delivered.
func TestGiveUp(t *testing.T) {
	for _, late := range []error{nil, errors.New("broken")} {
		d := newDevice(2, nil)
		d.append(0, 10)
		first := <-d.begun
		d.append(1, 20000)
		second := <-d.begun
		second.end <- nil
		d.append(2, 10)
		third := <-d.begun
		d.append(3, 10)
		d.q.GiveUp(base.Errorf(base.Failed, "hangs"))
		d.append(4, 10)
		if err := d.q.Close(context.Background()); err != nil {
			t.Fatal(err)
		}
		if got := d.said(); got != "0 hangs, 1 hangs, 2 hangs, 3 hangs, 4 hangs" || d.q.Durable() != 0 {
			t.Fatal(got)
		}
		first.end <- late
		third.end <- late
		d.writers.Wait()
		if n := d.pool.InUse(); n != 0 || len(d.mu.blocks) > 0 {
			t.Fatalf("%d bytes were not returned; %d blocks delivered", n, len(d.mu.blocks))
		}
	}
}

// TestGiveUpWhileConfirming: who is asked whether the log is still held does not answer. Nothing is delivered, not even when the answer comes at last.
func TestGiveUpWhileConfirming(t *testing.T) {
	asked, answer := make(chan struct{}), make(chan error)
	d := newDevice(1, func(o *Options) { o.Confirm = func() error { close(asked); return <-answer } })
	d.append(0, 10)
	(<-d.begun).end <- nil
	<-asked
	d.append(1, 10)
	w := <-d.begun
	d.q.GiveUp(base.Errorf(base.Failed, "hangs"))
	if err := d.q.Close(context.Background()); err != nil {
		t.Fatal(err)
	}
	answer <- nil
	w.end <- nil
	d.writers.Wait()
	if got := d.said(); got != "0 hangs, 1 hangs" || d.q.Durable() != 0 || len(d.mu.blocks) > 0 || d.pool.InUse() > 0 {
		t.Fatalf("%s, %d blocks, %d bytes", got, len(d.mu.blocks), d.pool.InUse())
	}
}
