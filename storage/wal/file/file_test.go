package file

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"

	"sluice/base"
	"sluice/base/slab"
	"sluice/storage/wal/block"
	"sluice/storage/wal/disk"
	"sluice/storage/wal/disk/memdisk"
)

var ctx = context.Background()

// free is a system whose writes do not wait.
func free(t *testing.T, shared bool) *system {
	s := newSystem(t, shared, 64<<10, 256<<10)
	close(s.auto)
	t.Cleanup(s.stop)
	return s
}

// settle waits until everything appended is acknowledged or has failed.
func (s *system) settle() {
	for {
		acked, _, failed := s.state()
		if failed != nil || acked == len(s.data) {
			return
		}
		runtime.Gosched()
	}
}

// fill appends n records, one block each.
func (s *system) fill(n, size int) {
	for range n {
		s.append(size)
		s.settle()
	}
}

func (s *system) crash() *memdisk.Disk {
	return s.disk.Crash(rand.New(rand.NewPCG(1, 1)))
}

func TestBadBlockBeforeDurableIsRefused(t *testing.T) {
	for name, at := range map[string]int64{"magic": 0, "position": 41, "data": block.HeaderBytes + 5, "table": block.HeaderBytes + 5000 + 3} {
		t.Run(name, func(t *testing.T) {
			s := free(t, false)
			s.fill(6, 5000)
			after := s.crash()
			blocks, _ := onDisk(after, "/wal/1-1")
			after.Corrupt(pathOf(after, "/wal/1-1", blocks[2]), blocks[2].off+at)
			_, _, err := s.recovered(after, 0)
			if !base.IsKind(err, base.Corrupt) || !strings.Contains(err.Error(), "/wal/1-1/00000000.seg, offset 24576: block 2") {
				t.Fatalf("got %v", err)
			}
		})
	}
}

func TestTornLastBlockIsCut(t *testing.T) {
	s := free(t, false)
	s.fill(6, 5000)
	after := s.crash()
	blocks, _ := onDisk(after, "/wal/1-1")
	after.Corrupt(pathOf(after, "/wal/1-1", blocks[5]), blocks[5].off+1000)
	if end, n, err := s.recovered(after, 0); err != nil || end != 5 || n != 5 {
		t.Fatalf("got end %d, %d records, %v", end, n, err)
	}
}

func TestBlockOfAnotherChainIsRefused(t *testing.T) {
	s := free(t, false)
	s.fill(6, 5000)
	after := s.crash()
	blocks, _ := onDisk(after, "/wal/1-1")
	f := blocks[3]
	path := pathOf(after, "/wal/1-1", f)
	b, _ := after.ReadFile(path)
	h := f.header
	h.Prev++
	h.Put(b[f.off:])
	if err := after.Overwrite(path, f.off, b[f.off:f.off+block.Align]); err != nil {
		t.Fatal(err)
	}
	if _, _, err := s.recovered(after, 0); !base.IsKind(err, base.Corrupt) {
		t.Fatalf("got %v", err)
	}
}

func TestMissingSegmentIsRefused(t *testing.T) {
	for _, name := range []string{"00000000.seg", "00000001.seg"} {
		s := free(t, false)
		s.fill(20, 5000)
		after := s.crash()
		if err := after.Remove("/wal/1-1/" + name); err != nil {
			t.Fatal(err)
		}
		if _, _, err := s.recovered(after, 0); !base.IsKind(err, base.Corrupt) {
			t.Fatalf("without %s: got %v", name, err)
		}
	}
}

func TestUnreadableStampsAreRefused(t *testing.T) {
	s := free(t, false)
	s.fill(2, 5000)
	after := s.crash()
	after.Corrupt("/wal/1-1/00000000.seg", 20)
	if _, _, err := s.recovered(after, 0); !base.IsKind(err, base.Corrupt) || !strings.Contains(err.Error(), "/wal/1-1/00000000.seg, offset 0") {
		t.Fatalf("got %v", err)
	}
}

// TestFull: a full WAL keeps appends waiting until Trim makes room, and loses none.
func TestFull(t *testing.T) {
	s := free(t, false)
	rooms := 0
	full := make(chan struct{}, 100)
	s.log.space.onRoom = func() { rooms++ }
	s.log.space.onFull = func() { full <- struct{}{} }
	for range 40 {
		s.append(20000)
	}
	<-full
	acked, _, _ := s.state()
	if used, capacity := s.log.Used(), s.log.Capacity(); used < capacity || acked == 40 {
		t.Fatalf("%d bytes of %d used, %d records acknowledged", used, capacity, acked)
	}
	for acked < 40 {
		if s.log.space.urgent() {
			if err := s.log.Trim(ctx, s.log.Durable()); err != nil {
				t.Fatal(err)
			}
		}
		runtime.Gosched()
		acked, _, _ = s.state()
	}
	if rooms == 0 || len(s.bad) > 0 {
		t.Fatalf("%d calls of OnRoom; %v", rooms, s.bad)
	}
	if err := s.log.Trim(ctx, s.log.Durable()+1); !base.IsKind(err, base.OutOfRange) {
		t.Fatalf("trim past the durable end: %v", err)
	}
}

// TestDiskFull: where the disk is smaller than the capacity, the WAL goes on with the segments it has.
func TestDiskFull(t *testing.T) {
	s := newSystem(t, false, 64<<10, 1<<20)
	t.Cleanup(s.stop)
	close(s.auto)
	s.disk.SetHook(func(op memdisk.Op) error {
		if op.Kind == "Create" {
			return syscall.ENOSPC
		}
		return nil
	})
	for range 40 {
		s.append(20000)
		for acked, _, failed := s.state(); failed == nil && acked < len(s.data); acked, _, failed = s.state() {
			if s.log.space.urgent() {
				s.log.Trim(ctx, s.log.Durable())
			}
			runtime.Gosched()
		}
	}
	if _, _, failed := s.state(); failed != nil || len(s.bad) > 0 {
		t.Fatal(failed, s.bad)
	}
	s.log.Trim(ctx, s.log.Durable())
	if used, capacity := s.log.Used(), s.log.Capacity(); used != 0 || capacity >= 128<<10 || capacity <= 0 {
		t.Fatalf("%d bytes of %d used", used, capacity)
	}
}

func TestNoRoomToStart(t *testing.T) {
	d := memdisk.New()
	cfg, _ := New("/wal", false, 0, 0)
	cfg.FS = d
	if err := cfg.Format(ctx, block.Identity{Cluster: testCluster, Node: 1}); err != nil {
		t.Fatal(err)
	}
	d.SetHook(func(op memdisk.Op) error {
		if op.Kind == "Create" {
			return syscall.ENOSPC
		}
		return nil
	})
	opt := block.Options{Cluster: testCluster, Node: 1, Epoch: 1, Pool: new(slab.Pool)}
	if _, err := cfg.Create(ctx, opt); !base.IsKind(err, base.Full) {
		t.Fatalf("got %v", err)
	}
	d.SetHook(nil)
	l, err := cfg.Create(ctx, opt) // the failed start left nothing in the way
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Close(ctx); err != nil {
		t.Fatal(err)
	}
}

// TestWriteErrorIsSticky: after one failed write nothing is acknowledged, though the disk works again.
func TestWriteErrorIsSticky(t *testing.T) {
	for _, cause := range []syscall.Errno{syscall.EIO, syscall.ENOSPC} {
		s := newSystem(t, false, 64<<10, 256<<10)
		failed := make(chan error, 1)
		s.log.opt.OnFailed = func(err error) { failed <- err }
		s.append(10)
		write := s.block()
		write.end <- cause
		err := <-failed
		if !base.IsKind(err, base.Failed) || !errors.Is(err, cause) || !strings.Contains(err.Error(), "/wal/1-1/00000000.seg, offset 8192") {
			t.Fatalf("got %v", err)
		}
		s.append(10)
		s.settle()
		s.stop()
		if acked, _, failed := s.state(); acked > 0 || !base.IsKind(failed, base.Failed) || s.pool.InUse() != 0 {
			t.Fatalf("%d acknowledged, %v", acked, failed)
		}
	}
}

func TestLocalWALIsSealedOnlyWhenItsProcessIsGone(t *testing.T) {
	s := free(t, false)
	s.fill(3, 100)
	if _, _, err := s.recovered(s.disk, 0); !base.IsKind(err, base.Unavailable) {
		t.Fatalf("sealed under a live writer: %v", err)
	}
	if err := s.log.Close(ctx); err != nil {
		t.Fatal(err)
	}
	if end, n, err := s.recovered(s.disk, 0); err != nil || end != 3 || n != 3 {
		t.Fatalf("got end %d, %d records, %v", end, n, err)
	}
}

// TestAnEpochIsNeverReused: neither after a close, nor after a removal, nor when its WAL was sealed before it was made.
func TestAnEpochIsNeverReused(t *testing.T) {
	s := free(t, false)
	s.fill(3, 100)
	create := func(epoch base.NodeEpoch) error {
		opt := s.options()
		opt.Epoch = epoch
		l, err := s.cfg.Create(ctx, opt)
		if err == nil {
			l.Close(ctx)
		}
		return err
	}
	s.log.Close(ctx)
	opt := block.Options{Cluster: testCluster, Pool: &s.pool}
	if all, err := s.cfg.Epochs(ctx); err != nil || fmt.Sprint(all) != "[1-1]" {
		t.Fatalf("epochs %v, %v", all, err)
	}
	end, _, err := s.recovered(s.disk, 0)
	if err != nil || end != 3 {
		t.Fatal(end, err)
	}
	for range 2 {
		if err := s.cfg.Remove(ctx, opt, victim); err != nil {
			t.Fatal(err)
		}
	}
	never := block.Victim{Node: 1, Epoch: 2}
	for range 2 {
		if end, err := s.cfg.Seal(ctx, opt, never, 0, "test"); err != nil || end != 0 {
			t.Fatal(end, err)
		}
	}
	if _, err := s.cfg.Seal(ctx, opt, block.Victim{Node: 1, Epoch: 3}, 7, "test"); !base.IsKind(err, base.Corrupt) {
		t.Fatalf("sealed a WAL that is lost: %v", err)
	}
	if err := s.cfg.Remove(ctx, opt, never); err != nil {
		t.Fatal(err)
	}
	for epoch := base.NodeEpoch(1); epoch <= 2; epoch++ {
		if err := create(epoch); !base.IsKind(err, base.Exists) {
			t.Fatalf("epoch %d: %v", epoch, err)
		}
	}
	if all, err := s.cfg.Epochs(ctx); err != nil || len(all) != 0 {
		t.Fatalf("epochs %v, %v", all, err)
	}
	if err := create(3); err != nil {
		t.Fatal(err)
	}
}

// slowRemoval deletes a directory in two steps, first the files in it.
type slowRemoval struct {
	*memdisk.Disk
	between func()
}

func (f slowRemoval) Remove(name string) error {
	names, _ := f.Disk.List(name)
	for _, in := range names {
		f.Disk.Remove(name + "/" + in)
	}
	f.between()
	return f.Disk.Remove(name)
}

// renameHook calls before once before it renames.
type renameHook struct {
	*memdisk.Disk
	before func()
}

func (f renameHook) Rename(from, to string) error {
	f.before()
	return f.Disk.Rename(from, to)
}

// TestStartDuringRescueOfAMissingWAL: a node that starts again removes what earlier starts left, while a rescuer is about to give the place of
// the earlier epoch's WAL, which was never made, to an empty one. That one is there whole, or not yet.
func TestStartDuringRescueOfAMissingWAL(t *testing.T) {
	s := free(t, true)
	s.fill(1, 10)
	never, opt := block.Victim{Node: 1, Epoch: 2}, block.Options{Cluster: testCluster, Pool: &s.pool}
	removing, renamed, rescued := make(chan struct{}), make(chan struct{}), make(chan error, 1)
	starter, rescuer := s.cfg, s.cfg
	starter.FS = slowRemoval{s.disk, func() { close(removing); <-renamed }}
	started := make(chan error, 1)
	rescuer.FS = renameHook{s.disk, func() {
		go func() {
			opt := s.options()
			opt.Epoch = 3
			l, err := starter.Create(ctx, opt)
			if err == nil {
				l.Close(ctx)
			}
			started <- err
		}()
		<-removing
	}}
	go func() {
		_, err := rescuer.Seal(ctx, opt, never, 0, "test")
		rescued <- err
	}()
	t.Log("the first try:", <-rescued)
	close(renamed)
	if err := <-started; err != nil {
		t.Fatal(err)
	}
	if end, err := s.cfg.Seal(ctx, opt, never, 0, "test"); err != nil || end != 0 {
		t.Fatal(end, err)
	}
	opt = s.options()
	opt.Epoch = 2
	if _, err := s.cfg.Create(ctx, opt); !base.IsKind(err, base.Exists) {
		t.Fatal(err)
	}
}

// TestLateWriterIsFenced: a writer that sleeps through seal, rescue and removal acknowledges nothing when it wakes up.
func TestLateWriterIsFenced(t *testing.T) {
	s := newSystem(t, true, 64<<10, 256<<10)
	s.append(10)
	write := s.block()
	if end, _, err := s.recovered(s.disk, 0); err != nil || end != 0 {
		t.Fatal(end, err)
	}
	if err := s.cfg.Remove(ctx, block.Options{Cluster: testCluster}, victim); err != nil {
		t.Fatal(err)
	}
	write.end <- nil
	s.settle()
	s.stop()
	if acked, _, failed := s.state(); acked > 0 || !base.IsKind(failed, base.Fenced) || !strings.Contains(failed.Error(), "rescued and removed") {
		t.Fatalf("%d acknowledged, %v", acked, failed)
	}
}

// TestRemovedUnderTheWriter: a writer that was rescued meanwhile, and whose files are gone, is fenced, also where it is not a write that fails first.
func TestRemovedUnderTheWriter(t *testing.T) {
	s := free(t, true)
	making, quiet := make(chan struct{}), make(chan struct{})
	var once sync.Once
	s.disk.SetHook(func(op memdisk.Op) error {
		if op.Kind == "Rename" { // of a segment that is being made in the background
			once.Do(func() {
				close(making)
				<-quiet
			})
		}
		return nil
	})
	for begun := false; !begun; runtime.Gosched() {
		select {
		case <-making:
			begun = true
		default:
			if acked, _, _ := s.state(); acked == len(s.data) {
				s.append(20_000)
			}
		}
	}
	opt := block.Options{Cluster: testCluster, Pool: &s.pool}
	if _, err := s.cfg.Seal(ctx, opt, victim, 0, "test"); err != nil {
		t.Fatal(err)
	}
	if err := s.cfg.Remove(ctx, opt, victim); err != nil {
		t.Fatal(err)
	}
	close(quiet)
	for s.log.queue.Err() == nil {
		runtime.Gosched()
	}
	if err := s.log.queue.Err(); !base.IsKind(err, base.Fenced) {
		t.Fatal(err)
	}
}

func TestIdentity(t *testing.T) {
	d := memdisk.New()
	cfg, _ := New("/a/b/wal", false, 0, 0)
	cfg.FS = d
	id := block.Identity{Cluster: testCluster, Node: 3, Incarnation: base.UUID{1}}
	if _, err := cfg.Identify(ctx); !base.IsKind(err, base.NotFound) {
		t.Fatalf("missing directory: %v", err)
	}
	for range 2 {
		if err := cfg.Format(ctx, id); err != nil {
			t.Fatal(err)
		}
	}
	for i := byte(2); i < 6; i++ {
		id.Incarnation = base.UUID{i}
		if err := cfg.Format(ctx, id); !base.IsKind(err, base.Exists) {
			t.Fatalf("formatted twice: %v", err)
		}
		if err := cfg.SetIdentity(ctx, id); err != nil {
			t.Fatal(err)
		}
		if got, err := cfg.Identify(ctx); err != nil || got != id {
			t.Fatalf("got %v, %v", got, err)
		}
	}
	// The last one, the fifth, is in the first slot. Unreadable, the one before counts; both unreadable is an error, and no first start.
	d.Corrupt("/a/b/wal/wal.header", 12)
	if got, err := cfg.Identify(ctx); err != nil || got.Incarnation != (base.UUID{4}) {
		t.Fatalf("got %v, %v", got, err)
	}
	d.Corrupt("/a/b/wal/wal.header", headerSlot+12)
	for _, err := range []error{second(cfg.Identify(ctx)), cfg.Format(ctx, id), cfg.SetIdentity(ctx, id), second(cfg.Create(ctx, block.Options{Cluster: testCluster, Node: 3, Epoch: 1}))} {
		if !base.IsKind(err, base.Corrupt) || !strings.Contains(err.Error(), "wal.header") {
			t.Fatalf("got %v", err)
		}
	}
}

// A directory that nodes share does not become one node's because that one was told nothing of it, nor the other way round.
func TestSharedStaysShared(t *testing.T) {
	for _, shared := range []bool{true, false} {
		cfg, _ := New("/wal", shared, 0, 0)
		cfg.FS = memdisk.New()
		id := block.Identity{Cluster: testCluster, Node: 3, Incarnation: base.UUID{1}}
		if err := cfg.Format(ctx, id); err != nil {
			t.Fatal(err)
		}
		before, err := cfg.Identify(ctx)
		if err != nil {
			t.Fatal(err)
		}
		other := cfg
		other.Shared = !shared
		if err := other.SetIdentity(ctx, id); !base.IsKind(err, base.Invalid) {
			t.Errorf("shared=%t, claimed with shared=%t: %v", shared, other.Shared, err)
		}
		if after, err := cfg.Identify(ctx); err != nil || after != before {
			t.Errorf("shared=%t: %+v became %+v, %v", shared, before, after, err)
		}
	}
}

func second[T any](_ T, err error) error { return err }

// formatting is a file system on which another node formats the directory after the header was missed and before the listing.
type formatting struct {
	disk.FS
	other func()
}

func (f formatting) List(path string) ([]string, error) {
	f.other()
	return f.FS.List(path)
}

func TestTwoNodesFormatAtOnce(t *testing.T) {
	id := block.Identity{Cluster: testCluster, Node: 3}
	for _, wal := range []bool{false, true} { // the other node may have gone on to make its WAL, too
		fresh := func() (slow Config) {
			other, _ := New("/wal", true, 0, 0)
			other.FS = memdisk.New()
			slow = other
			slow.FS = formatting{other.FS, func() {
				err := other.Format(ctx, id)
				if wal {
					err = errors.Join(err, other.FS.Mkdir("/wal/"+epochName(3, 1)))
				}
				if err != nil && !errors.Is(err, fs.ErrExist) {
					t.Fatal(err)
				}
			}}
			return slow
		}
		if got, err := fresh().Identify(ctx); err != nil || got.Cluster != testCluster {
			t.Fatalf("wal %t: identified as %v, %v", wal, got, err)
		}
		if err := fresh().Format(ctx, id); err != nil {
			t.Fatalf("wal %t: %v", wal, err)
		}
	}
}

func TestFormatTouchesNothing(t *testing.T) {
	d := memdisk.New()
	cfg, _ := New("/wal", false, 0, 0)
	cfg.FS = d
	id := block.Identity{Cluster: testCluster, Node: 1}
	d.Mkdir("/wal")
	d.Mkdir("/wal/1-7")
	if err := cfg.Format(ctx, id); !base.IsKind(err, base.Corrupt) {
		t.Fatalf("a WAL without header: %v", err)
	}
	d.Remove("/wal/1-7")
	d.Put("/wal/letters.txt", nil)
	if err := cfg.Format(ctx, id); !base.IsKind(err, base.Invalid) || !strings.Contains(err.Error(), "letters.txt") {
		t.Fatalf("somebody's directory: %v", err)
	}
	d.Remove("/wal/letters.txt")
	d.Mkdir("/wal/lost+found")
	if err := cfg.Format(ctx, id); err != nil {
		t.Fatalf("an empty file system: %v", err)
	}
	other := cfg
	other.Shared = true
	if err := other.check(testCluster, 1); !base.IsKind(err, base.Invalid) {
		t.Fatalf("shared use of a local directory: %v", err)
	}
	if err := cfg.check(testCluster, 2); !base.IsKind(err, base.Invalid) {
		t.Fatalf("use by another node: %v", err)
	}
}

func TestProbe(t *testing.T) {
	d := memdisk.New()
	cfg, _ := New("/a/wal", false, 0, 0)
	cfg.FS = d
	if err := cfg.Probe(ctx); err != nil {
		t.Fatal(err)
	}
	if names, _ := d.List("/"); len(names) > 0 {
		t.Fatalf("left behind: %v", names)
	}
	d.SetHook(func(op memdisk.Op) error {
		if op.Kind == "Lock" {
			return syscall.ENOSYS
		}
		return nil
	})
	if err := cfg.Probe(ctx); err == nil || !strings.Contains(err.Error(), "a file system is needed that locks") {
		t.Fatalf("got %v", err)
	}
}

func TestConfigIsChecked(t *testing.T) {
	for _, bad := range [][2]int64{{1 << 20, 1 << 20}, {100 << 10, 0}, {1 << 30, 64<<10 + 1}} {
		if _, err := New("x", false, bad[0], bad[1]); !base.IsKind(err, base.Invalid) {
			t.Fatalf("capacity %d, segment %d: %v", bad[0], bad[1], err)
		}
	}
}

// TestOnThisMachine runs the whole life on the operating system's file system.
func TestOnThisMachine(t *testing.T) {
	for _, shared := range []bool{false, true} {
		dir := t.TempDir() + "/some/wal"
		cfg, err := New(dir, shared, 4<<20, 1<<20)
		if err != nil {
			t.Fatal(err)
		}
		cfg.LockWait = 0
		for _, err := range []error{cfg.Probe(ctx), cfg.Format(ctx, block.Identity{Cluster: testCluster, Node: 1}), cfg.Probe(ctx)} {
			if err != nil {
				t.Fatal(err)
			}
		}
		s := &system{cfg: cfg, auto: make(chan struct{})}
		l, err := cfg.Create(ctx, s.options())
		if err != nil {
			t.Fatal(err)
		}
		s.log = l.(*Log)
		trimmed := base.WALPos(0)
		for i := range 100 {
			s.append(100_000)
			if i%10 == 9 {
				s.settle()
				trimmed = s.log.Durable()
				l.Trim(ctx, trimmed)
			}
		}
		s.fill(5, 3000)
		opt := block.Options{Cluster: testCluster, Pool: &s.pool}
		if _, err := cfg.Seal(ctx, opt, victim, trimmed, "test"); !shared && !base.IsKind(err, base.Unavailable) {
			t.Fatalf("sealed under a live writer: %v", err)
		}
		if err := l.Close(ctx); err != nil {
			t.Fatal(err)
		}
		n := 0
		end, err := cfg.Seal(ctx, opt, victim, trimmed, "test")
		if err != nil {
			t.Fatal(err)
		}
		for b, err := range cfg.Read(ctx, opt, victim, trimmed, end) {
			if err != nil {
				t.Fatal(err)
			}
			n += len(b.Records)
			b.Release()
		}
		if n != 5 || len(s.bad) > 0 || s.pool.InUse() != 0 {
			t.Fatalf("%d records of 5 read; %v", n, s.bad)
		}
		if err := cfg.Remove(ctx, opt, victim); err != nil {
			t.Fatal(err)
		}
		if names, err := (disk.OS{}).List(dir); err != nil || fmt.Sprint(names) != "[1-1.over wal.header]" {
			t.Fatalf("left: %v, %v", names, err)
		}
	}
}

// TestFormats: the bytes of the small records stay what docs/formats.md says.
func TestFormats(t *testing.T) {
	id := base.UUID{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15}
	for want, got := range map[string][]byte{
		"534c5549434557440100" + "0700000000000000" + "000102030405060708090a0b0c0d0e0f" + "0500000000000000" + "000102030405060708090a0b0c0d0e0f":                           header{7, block.Identity{Cluster: id, Node: 5, Incarnation: id}}.append(),
		"534c5549434557530100" + "0200000000000000" + "000102030405060708090a0b0c0d0e0f" + "0500000000000000" + "0600000000000000" + "0900000000000000" + "0800000000000000": stamp{2, id, block.Victim{Node: 5, Epoch: 6}, 9, 8}.append(),
		"534c55494345574c0100" + "0900000000000000" + "6d65" + strings.Repeat("00", whoBytes-2):                                                                              sealRecord(9, "me"),
	} {
		if hex.EncodeToString(got[:len(got)-4]) != want {
			t.Errorf("got %x, want %s", got, want)
		}
		if r := open(got, string(got[:8]), len(got)); r.err != nil {
			t.Error(r.err)
		}
		got[9]++ // a later version
		le.PutUint32(got[len(got)-4:], block.Sum(got[:len(got)-4]))
		if r := open(got, string(got[:8]), len(got)); !base.IsKind(r.err, base.Invalid) {
			t.Errorf("a later version: %v", r.err)
		}
	}
}
