package file

import (
	"fmt"
	"strings"
	"syscall"
	"testing"

	"sluice/base"
	"sluice/storage/wal/block"
	"sluice/storage/wal/disk/memdisk"
)

// begin starts the WAL of an epoch.
func (s *system) begin(epoch base.NodeEpoch) error {
	opt := s.options()
	opt.Epoch = epoch
	opt.OnBlock = nil
	l, err := s.cfg.Create(ctx, opt)
	if err == nil {
		l.Close(ctx)
	}
	return err
}

// finish seals the WAL of an epoch and removes it.
func (s *system) finish(epoch base.NodeEpoch) error {
	opt, v := block.Options{Cluster: testCluster, Pool: &s.pool}, block.Victim{Node: 1, Epoch: epoch}
	if _, err := s.cfg.Seal(ctx, opt, v, 0, "test"); err != nil {
		return err
	}
	return s.cfg.Remove(ctx, opt, v)
}

func (s *system) left() string {
	names, err := s.disk.List("/wal")
	return fmt.Sprint(names, err)
}

// A directory in which epochs come and go, in any order, does not grow.
func TestNothingIsLeftOfOldEpochs(t *testing.T) {
	for _, shared := range []bool{false, true} {
		s := free(t, shared)
		s.log.Close(ctx)
		for epoch := base.NodeEpoch(2); epoch < 20; epoch++ {
			if err := s.begin(epoch); err != nil {
				t.Fatal(err)
			}
			if epoch%3 != 0 { // these end later
				if err := s.finish(epoch); err != nil {
					t.Fatal(err)
				}
			}
		}
		for epoch := base.NodeEpoch(18); epoch > 0; epoch -= 3 {
			if err := s.finish(epoch); err != nil {
				t.Fatal(err)
			}
		}
		if err := s.finish(1); err != nil {
			t.Fatal(err)
		}
		if got := s.left(); got != "[1-19.over wal.header] <nil>" {
			t.Fatal(got)
		}
		for epoch := base.NodeEpoch(1); epoch < 20; epoch++ {
			if err := s.begin(epoch); !base.IsKind(err, base.Exists) {
				t.Fatalf("epoch %d: %v", epoch, err)
			}
		}
		if got := s.left(); got != "[1-19.over wal.header] <nil>" {
			t.Fatal(got)
		}
		if err := s.begin(20); err != nil {
			t.Fatal(err)
		}
	}
}

// A writer sleeps at each step of making its WAL, while somebody seals and removes what is there of it, or is not: it wakes up and has no WAL.
func TestLateWriterMakesNoWAL(t *testing.T) {
	for at := 1; ; at++ {
		s := free(t, true)
		steps := 0
		s.disk.SetHook(func(op memdisk.Op) error {
			if strings.HasPrefix(op.Path, "/wal/1-") { // in the background
				return nil
			}
			if steps++; steps == at {
				s.disk.SetHook(nil)
				if err := s.finish(2); err != nil {
					t.Errorf("step %d: %v", at, err)
				}
			}
			return nil
		})
		err := s.begin(2)
		s.disk.SetHook(nil)
		if steps < at {
			if at < 10 || err != nil {
				t.Fatalf("making a WAL has %d steps; %v", steps, err)
			}
			return
		}
		if over, e := s.cfg.isOver(block.Victim{Node: 1, Epoch: 2}); e != nil || !over {
			t.Fatalf("step %d: the epoch is not over: %v", at, e)
		}
		if again := s.begin(2); !base.IsKind(again, base.Exists) {
			t.Fatalf("step %d: made afterwards: %v", at, again)
		}
		if all, e := s.cfg.Epochs(ctx); e != nil || fmt.Sprint(all) != "[1-1]" {
			t.Fatalf("step %d: WALs %v, %v; the writer got %v", at, all, e, err)
		}
	}
}

// A removal breaks off at each of its steps; the next one finishes it.
func TestRemovalBreaksOff(t *testing.T) {
	for at := 1; ; at++ {
		s := free(t, false)
		s.fill(3, 100)
		s.log.Close(ctx)
		opt := block.Options{Cluster: testCluster, Pool: &s.pool}
		if _, err := s.cfg.Seal(ctx, opt, victim, 0, "test"); err != nil {
			t.Fatal(err)
		}
		steps := 0
		s.disk.SetHook(func(memdisk.Op) error {
			if steps++; steps == at {
				return syscall.EIO
			}
			return nil
		})
		err := s.cfg.Remove(ctx, opt, victim)
		s.disk.SetHook(nil)
		if steps < at {
			if at < 5 || err != nil {
				t.Fatalf("a removal has %d steps; %v", steps, err)
			}
			return
		}
		if err == nil {
			t.Fatalf("step %d failed, and nobody was told", at)
		}
		if err := s.begin(1); !base.IsKind(err, base.Exists) {
			t.Fatalf("step %d: made again: %v", at, err)
		}
		if err := s.cfg.Remove(ctx, opt, victim); err != nil {
			t.Fatal(err)
		}
		if got := s.left(); got != "[1-1.over wal.header] <nil>" {
			t.Fatal(got)
		}
	}
}

// A WAL that cannot be sealed, because its disk fails just then or it is damaged, is removed all the same when nobody needs it; its writer acknowledges nothing any more.
func TestRemoveUnsealed(t *testing.T) {
	for _, shared := range []bool{false, true} {
		s := free(t, shared)
		opt := block.Options{Cluster: testCluster, Pool: &s.pool}
		s.cfg.LockWait = 0
		s.fill(3, 100)
		s.disk.SetHook(func(op memdisk.Op) error { // the disk is bad, but for what is under way
			if op.Path == "/wal/1-1/token" || op.Path == "/wal/1-1/lock" {
				return syscall.EIO
			}
			return nil
		})
		if _, err := s.cfg.Seal(ctx, opt, victim, 0, "test"); err == nil {
			t.Fatal("sealed on a bad disk")
		}
		if err := s.cfg.Remove(ctx, opt, victim); err == nil {
			t.Fatal("removed without a fence")
		}
		s.disk.SetHook(nil)
		if got := s.left(); got != "[1-1 wal.header] <nil>" {
			t.Fatal(got)
		}
		if !shared {
			if err := s.cfg.Remove(ctx, opt, victim); !base.IsKind(err, base.Unavailable) {
				t.Fatalf("removed under a writer that lives: %v", err)
			}
			s.log.Close(ctx)
		}
		s.disk.Corrupt("/wal/1-1/00000000.seg", stampSlot-1) // nobody finds an end any more
		if err := s.cfg.Remove(ctx, opt, victim); err != nil {
			t.Fatal(err)
		}
		if shared {
			s.append(100)
			s.settle()
			if acked, _, failed := s.state(); acked != 3 || !base.IsKind(failed, base.Fenced) {
				t.Fatalf("after the removal: %d acknowledged, %v", acked, failed)
			}
		}
		if err := s.begin(1); !base.IsKind(err, base.Exists) {
			t.Fatalf("made again: %v", err)
		}
		if got := s.left(); got != "[1-1.over wal.header] <nil>" {
			t.Fatal(got)
		}
	}
}

// What earlier versions left of removed WALs goes with the next start.
func TestDirectoriesOfEarlierVersions(t *testing.T) {
	s := free(t, false)
	s.log.Close(ctx)
	for _, dir := range []string{"/wal/1-1", "/wal/1-7"} {
		if dir != "/wal/1-1" {
			if err := s.disk.Mkdir(dir); err != nil {
				t.Fatal(err)
			}
			if err := s.disk.Put(dir+"/token", nil); err != nil {
				t.Fatal(err)
			}
		}
		if err := s.disk.Put(dir+"/removed", nil); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.begin(8); err != nil {
		t.Fatal(err)
	}
	if got := s.left(); got != "[1-7.over 1-8 wal.header] <nil>" {
		t.Fatal(got)
	}
}
