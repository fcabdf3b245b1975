package file

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"

	"go.uber.org/goleak"
	"pgregory.net/rapid"

	"sluice/base"
	"sluice/base/slab"
	"sluice/storage/wal/block"
	"sluice/storage/wal/disk"
	"sluice/storage/wal/disk/memdisk"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var testCluster = base.UUID{1, 2, 3}

// system is a WAL on a disk in memory whose writes wait for the test, and what is known about it.
type system struct {
	cfg    Config
	disk   *memdisk.Disk
	log    *Log
	pool   slab.Pool
	gates  chan held     // writes that wait
	auto   chan struct{} // closed: writes do not wait any more
	data   [][]byte      // of record i
	mu     sync.Mutex
	acked  int         // records acknowledged
	ended  int         // done calls
	failed error       // the first error of a done call
	first  []int       // number of the first record of delivered block i
	next   int         // number of the record behind the delivered blocks
	bad    []string    // broken promises
	trim   base.WALPos // last trim
}

func newSystem(t interface{ Fatal(...any) }, shared bool, segment, capacity int64) *system {
	d := memdisk.New()
	cfg, err := New("/wal", shared, capacity, segment)
	if err != nil {
		t.Fatal(err)
	}
	cfg.FS = d
	cfg.SecondBytes, cfg.LockWait = 1, 0
	s := &system{cfg: cfg, disk: d, gates: make(chan held, writers+1), auto: make(chan struct{})}
	ctx := context.Background()
	if err := cfg.Format(ctx, block.Identity{Cluster: testCluster, Node: 1, Incarnation: base.UUID{9}}); err != nil {
		t.Fatal(err)
	}
	l, err := cfg.Create(ctx, s.options())
	if err != nil {
		t.Fatal(err)
	}
	s.log = l.(*Log)
	d.SetHook(s.gate)
	return s
}

func (s *system) options() block.Options {
	return block.Options{Cluster: testCluster, Node: 1, Epoch: 1, Pool: &s.pool, OnBlock: s.onBlock}
}

// held is a write that waits for the test to say how it ends.
type held struct {
	stamp bool // of a segment, by the preparer; else of a block
	end   chan<- error
}

// gate stops the writes of blocks and stamps until the test lets them go.
func (s *system) gate(op memdisk.Op) error {
	if op.Kind != "WriteDurable" || !bytes.HasPrefix(op.Data, []byte("SLUICEWB")) && !bytes.HasPrefix(op.Data, []byte(magicSegment)) {
		return nil
	}
	select {
	case <-s.auto:
		return nil
	default:
	}
	g := make(chan error, 1)
	select {
	case s.gates <- held{!bytes.HasPrefix(op.Data, []byte("SLUICEWB")), g}:
	case <-s.auto:
		return nil
	}
	select {
	case err := <-g:
		return err
	case <-s.auto:
		return nil
	}
}

// block returns the next write of a block, and lets the stamps before it go.
func (s *system) block() held {
	for {
		h := <-s.gates
		if !h.stamp {
			return h
		}
		h.end <- nil
	}
}

func (s *system) onBlock(b *block.Block) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if int(b.Pos) != len(s.first) {
		s.bad = append(s.bad, fmt.Sprintf("block %d delivered as number %d", b.Pos, len(s.first)))
	}
	s.first = append(s.first, s.next)
	for _, r := range b.Records {
		s.checkRecordLocked(&r, s.next)
		s.next++
	}
	b.Release()
}

func (s *system) checkRecordLocked(r *block.Record, n int) {
	if int(r.Base) != n || n >= len(s.data) || !bytes.Equal(r.Data, s.data[n]) || r.Stream != base.StreamID(n%5) || r.MaxTimestamp != int64(n)*3 || r.Flags != uint8(n) {
		s.bad = append(s.bad, fmt.Sprintf("record %d is not what was appended as number %d", r.Base, n))
	}
}

func (s *system) append(size int) {
	s.mu.Lock()
	n := len(s.data)
	data := make([]byte, size)
	for i := range data {
		data[i] = byte(n*7 + i)
	}
	s.data = append(s.data, data)
	s.mu.Unlock()
	s.log.Append(block.Record{Stream: base.StreamID(n % 5), Epoch: 3, Base: base.Offset(n), Count: 1, MaxTimestamp: int64(n) * 3, Flags: uint8(n), Data: data},
		func(err error) { s.ack(n, err) })
}

func (s *system) ack(n int, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ended++
	switch {
	case err != nil && s.failed == nil:
		s.failed = err
	case err == nil && (s.failed != nil || n != s.acked || n >= s.next):
		s.bad = append(s.bad, fmt.Sprintf("record %d acknowledged after %d others (failed: %v), %d delivered", n, s.acked, s.failed, s.next))
	case err == nil:
		s.acked++
	}
}

// await lets the log get on until it needs the test: for a write, for room, or for more records.
func (s *system) await() {
	for len(s.gates) == 0 && !s.log.space.urgent() && s.log.queue.Pending() > 0 && s.log.queue.Err() == nil {
		runtime.Gosched()
	}
}

func (s *system) state() (acked, next int, failed error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.acked, s.next, s.failed
}

// firstOf returns the number of the first record at or behind position pos.
func (s *system) firstOf(pos base.WALPos) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	if int(pos) < len(s.first) {
		return s.first[pos]
	}
	return s.next
}

var victim = block.Victim{Node: 1, Epoch: 1}

// recovered seals and reads the log on the disk d, and returns its end and the number of the record behind it.
func (s *system) recovered(d disk.FS, from base.WALPos) (end base.WALPos, records int, err error) {
	cfg := s.cfg
	cfg.FS = d
	ctx := context.Background()
	opt := block.Options{Cluster: testCluster, Pool: &s.pool}
	if end, err = cfg.Seal(ctx, opt, victim, from, "test"); err != nil {
		return 0, 0, err
	}
	if again, err := cfg.Seal(ctx, opt, victim, from, "test"); err != nil || again != end {
		return 0, 0, fmt.Errorf("sealed at %d, then at %d: %w", end, again, err)
	}
	pos, n := from, s.firstOf(from)
	for b, err := range cfg.Read(ctx, opt, victim, from, end) {
		if err != nil {
			return end, n, err
		}
		if b.Pos != pos {
			return end, n, fmt.Errorf("read block %d, want %d", b.Pos, pos)
		}
		pos++
		s.mu.Lock()
		for _, r := range b.Records {
			s.checkRecordLocked(&r, n)
			n++
		}
		s.mu.Unlock()
		b.Release()
	}
	if pos != max(end, from) {
		return end, n, fmt.Errorf("read up to %d of %d", pos, end)
	}
	return end, n, nil
}

// onDisk is the oracle: every valid header in the segments, read in the plainest way, and the greatest durable position that
// anything there records.
func onDisk(d disk.FS, dir string) (all map[base.WALPos]found, durable base.WALPos) {
	all = map[base.WALPos]found{}
	names, _ := d.List(dir)
	for i, name := range names {
		b, _ := d.ReadFile(dir + "/" + name)
		if !strings.HasSuffix(name, segmentSuffix) {
			continue
		}
		st, err := newestStamp(b)
		durable = max(durable, st.durable)
		for off := int64(dataStart); err == nil && off < int64(len(b)); off += block.Align {
			h, err := block.Parse(b[off:])
			if err != nil || h.Segment != st.seq {
				continue
			}
			durable = max(durable, h.Durable)
			if h.Kind == block.KindData {
				all[h.Pos] = found{place{i, off}, h}
			}
		}
	}
	return all, durable
}

func pathOf(d disk.FS, dir string, f found) string {
	names, _ := d.List(dir)
	return dir + "/" + names[f.seg]
}

// TestModel: appends of any size, writes that end in any order, trims at any block, wrapping around the capacity; then a crash
// at any moment, or a rescuer on a shared directory while the writer goes on, or an ordered close, or a disk that hangs; then perhaps a damaged block.
func TestModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		shared := rapid.Bool().Draw(t, "shared")
		s := newSystem(t, shared, 64<<10, int64(rapid.IntRange(4, 7).Draw(t, "segments"))*64<<10)
		var going []held
		for range rapid.IntRange(1, 80).Draw(t, "steps") {
			for len(s.gates) > 0 {
				going = append(going, <-s.gates)
			}
			switch op := rapid.IntRange(0, 9).Draw(t, "op"); {
			case op < 4:
				s.append(rapid.SampledFrom([]int{0, 100, 3000, 4096 - 172, 9000, 20000, 45000}).Draw(t, "size"))
			case op < 7 && len(going) > 0:
				i := rapid.IntRange(0, len(going)-1).Draw(t, "which")
				going[i].end <- nil
				going = append(going[:i], going[i+1:]...)
			case op < 8:
				s.trimTo(t, base.WALPos(rapid.Uint64Range(uint64(s.trim), uint64(s.log.Durable())).Draw(t, "trim")))
			default:
				if len(going) == 0 {
					s.await()
				}
			}
		}
		switch end := rapid.SampledFrom([]string{"crash", "rescue", "close", "hang"}).Draw(t, "end"); {
		case end == "rescue" && shared:
			s.endByRescue(t, going)
		case end == "close":
			s.endByClose(t)
		case end == "hang":
			s.endByHang(t, going)
		default:
			s.endByCrash(t, going)
		}
		if len(s.bad) > 0 {
			t.Fatal(strings.Join(s.bad, "\n"))
		}
		if n := s.pool.InUse(); n != 0 {
			t.Fatalf("%d bytes of memory were not returned", n)
		}
	})
}

func (s *system) trimTo(t *rapid.T, to base.WALPos) {
	if err := s.log.Trim(context.Background(), to); err != nil {
		t.Fatal(err)
	}
	s.trim = to
}

// stop closes the log; what hangs goes on.
func (s *system) stop() {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	select {
	case <-s.auto:
	default:
		close(s.auto)
	}
	s.log.Close(ctx)
	<-s.log.released
}

func (s *system) endByCrash(t *rapid.T, going []held) {
	seed := rapid.Uint64().Draw(t, "seed")
	after := s.disk.Crash(rand.New(rand.NewPCG(seed, 1)))
	for _, g := range going {
		g.end <- errors.New("power failure")
	}
	acked, _, _ := s.state()
	s.stop()
	if now, _, _ := s.state(); now < acked {
		t.Fatalf("%d acknowledged, then %d", acked, now)
	}
	s.checkRecovered(t, after, acked)
}

// checkRecovered: everything acknowledged is there, perhaps more, nothing else, and damage is noticed.
func (s *system) checkRecovered(t *rapid.T, after *memdisk.Disk, acked int) {
	blocks, durable := onDisk(after, "/wal/1-1")
	if f, ok := blocks[base.WALPos(rapid.Uint64Range(uint64(s.trim), uint64(s.trim)+6).Draw(t, "damage"))]; ok && rapid.Bool().Draw(t, "damaged") && f.header.DataBytes > 0 {
		s.checkDamaged(t, after, f, durable)
		return
	}
	end, records, err := s.recovered(after, s.trim)
	if err != nil {
		t.Fatalf("recovery from %d: %v", s.trim, err)
	}
	if records < acked || records > len(s.data) || end < durable {
		t.Fatalf("%d records acknowledged, %d recovered; end %d, durable %d", acked, records, end, durable)
	}
}

func (s *system) checkDamaged(t *rapid.T, after *memdisk.Disk, f found, durable base.WALPos) {
	at := rapid.SampledFrom([]int64{0, 40, block.HeaderBytes, int64(f.header.Size()) - 1}).Draw(t, "byte")
	after.Corrupt(pathOf(after, "/wal/1-1", f), f.off+at)
	end, records, err := s.recovered(after, s.trim)
	where := block.At{File: pathOf(after, "/wal/1-1", f), Offset: f.off}.String()
	switch {
	case f.header.Pos < durable:
		if !base.IsKind(err, base.Corrupt) || !strings.Contains(err.Error(), where) {
			t.Fatalf("block %d at %s is damaged, durable up to %d: got end %d, %d records, %v", f.header.Pos, where, durable, end, records, err)
		}
	case err != nil || end > f.header.Pos:
		t.Fatalf("block %d is damaged, durable up to %d: got end %d, %v", f.header.Pos, durable, end, err)
	}
}

func (s *system) endByRescue(t *rapid.T, going []held) {
	before, _, _ := s.state()
	end, records, err := s.recovered(s.disk, s.trim)
	if err != nil {
		t.Fatalf("rescue: %v", err)
	}
	for _, g := range going {
		g.end <- nil
	}
	close(s.auto)
	s.append(100)
	for {
		if _, _, failed := s.state(); failed != nil {
			break
		}
		s.log.space.trim(s.log.Durable())
		runtime.Gosched()
	}
	s.stop()
	acked, _, failed := s.state()
	if before > records || acked > records || s.log.Durable() > end || !base.IsKind(failed, base.Fenced) {
		t.Fatalf("sealed at %d with %d records; acknowledged %d before and %d in all, durable %d, error %v", end, records, before, acked, s.log.Durable(), failed)
	}
}

func (s *system) endByClose(t *rapid.T) {
	close(s.auto)
	for {
		if acked, _, failed := s.state(); failed != nil || acked == len(s.data) {
			break
		}
		if s.log.space.urgent() {
			s.trimTo(t, s.log.Durable())
		}
		runtime.Gosched()
	}
	if err := s.log.Close(context.Background()); err != nil {
		t.Fatal(err)
	}
	s.checkRecovered(t, s.disk, len(s.data))
}

// endByHang: the operations that are under way, one at least, hang until the log has been given up, and longer. Nothing waits for them, nothing is acknowledged late,
// and whoever seals the log finds what was acknowledged: at once where the directory is shared, else when the last operation has ended.
func (s *system) endByHang(t *rapid.T, going []held) {
	for len(going) == 0 {
		s.append(10)
		s.await()
		for len(s.gates) > 0 {
			going = append(going, <-s.gates)
		}
		if len(going) == 0 && s.log.space.urgent() {
			s.trimTo(t, s.log.Durable())
		}
	}
	for range looksHung + 1 {
		s.log.watch.look()
	}
	s.append(20)
	for ended := 0; ended < len(s.data); {
		runtime.Gosched()
		s.mu.Lock()
		ended = s.ended
		s.mu.Unlock()
	}
	acked, _, failed := s.state()
	if err := s.log.Close(context.Background()); !base.IsKind(failed, base.Failed) || !base.IsKind(err, base.Unavailable) {
		t.Fatalf("failed: %v; closed: %v", failed, err)
	}
	end, records, err := s.recovered(s.disk, s.trim)
	if s.cfg.Shared && (err != nil || records < acked) || !s.cfg.Shared && !base.IsKind(err, base.Unavailable) {
		t.Fatalf("%d records acknowledged, rescue finds %d: %v", acked, records, err)
	}
	for _, g := range going {
		g.end <- rapid.SampledFrom([]error{nil, syscall.EIO}).Draw(t, "at last")
	}
	close(s.auto)
	<-s.log.released
	later, n, err := s.recovered(s.disk, s.trim)
	if now, _, _ := s.state(); err != nil || now != acked || n < acked || s.cfg.Shared && (later != end || n != records) {
		t.Fatalf("%d records acknowledged, then %d; sealed at %d with %d, then at %d with %d: %v", acked, now, end, records, later, n, err)
	}
}
