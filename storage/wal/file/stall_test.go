package file

import (
	"bytes"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"sluice/base"
	"sluice/storage/wal/block"
	"sluice/storage/wal/disk/memdisk"
)

// hanging starts a WAL of four segments with a timeout, on whose disk what hangs says hangs until release is closed. What it logs is in the third result.
func hanging(t *testing.T, shared bool, timeout time.Duration, hangs func(memdisk.Op) error) (*system, chan error, *said, chan struct{}) {
	s := &system{disk: memdisk.New(), auto: make(chan struct{})}
	close(s.auto)
	var err error
	if s.cfg, err = New("/wal", shared, 256<<10, 64<<10); err != nil {
		t.Fatal(err)
	}
	s.cfg.FS, s.cfg.LockWait = s.disk, 0
	if err := s.cfg.Format(ctx, block.Identity{Cluster: testCluster, Node: 1}); err != nil {
		t.Fatal(err)
	}
	failed, log, release := make(chan error, 1), new(said), make(chan struct{})
	opt := s.options()
	opt.StallTimeout, opt.Logger = timeout, slog.New(slog.NewTextHandler(log, nil))
	opt.OnFailed = func(err error) { failed <- err }
	l, err := s.cfg.Create(ctx, opt)
	if err != nil {
		t.Fatal(err)
	}
	s.log = l.(*Log)
	s.fill(2, 100)
	s.disk.SetHook(func(op memdisk.Op) error {
		err := hangs(op)
		if err == errHangs {
			<-release
			return nil
		}
		return err
	})
	return s, failed, log, release
}

// said is what was logged.
type said struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *said) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *said) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

// over returns how many appends have ended, and how many of them were acknowledged.
func (s *system) over() (ended, acked int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.ended, s.acked
}

const errHangs = syscall.EAGAIN // stands for no answer

func isBlock(op memdisk.Op) bool {
	return op.Kind == "WriteDurable" && bytes.HasPrefix(op.Data, []byte("SLUICEWB"))
}

// TestHangs: a disk that does not answer fails the WAL after the timeout and not before, whatever it was asked for; after a fifth of it there is a warning. Closing does
// not wait for it, and the lock of a local directory is held until it has answered.
func TestHangs(t *testing.T) {
	const timeout = 30 * time.Second
	for name, c := range map[string]struct {
		what   string
		shared bool
		hangs  func(memdisk.Op) bool
		other  func(memdisk.Op) error // what becomes of the others
		error  string
	}{
		"a write":                   {what: "a write of a block", hangs: isBlock},
		"a write, shared":           {what: "a write of a block", shared: true, hangs: isBlock},
		"the token":                 {what: "reading the token", shared: true, hangs: func(op memdisk.Op) bool { return op.Kind == "ReadFile" }},
		"making a segment":          {what: "preparing a segment", hangs: func(op memdisk.Op) bool { return op.Kind == "Create" }},
		"writing a segment's zeros": {what: "preparing a segment", hangs: func(op memdisk.Op) bool { return op.Kind == "WriteDurable" && !isBlock(op) }},
		"naming a segment":          {what: "preparing a segment", hangs: func(op memdisk.Op) bool { return op.Kind == "SyncDir" }},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s, failed, said, release := hanging(t, c.shared, timeout, func(op memdisk.Op) error {
					if c.hangs(op) {
						return errHangs
					}
					return nil
				})
				for range 100 { // more than its segments hold
					s.append(3000)
				}
				time.Sleep(timeout - time.Second)
				if _, _, err := s.state(); err != nil || len(failed) > 0 {
					t.Fatalf("failed too early: %v", err)
				}
				if n := strings.Count(said.String(), "level=WARN"); n == 0 || !strings.Contains(said.String(), c.what) {
					t.Fatalf("%d warnings: %s", n, said)
				}
				acked, _, _ := s.state()
				began := time.Now()
				if err := <-failed; !base.IsKind(err, base.Failed) || !strings.Contains(err.Error(), c.what) || time.Since(began) > timeout/5 {
					t.Fatalf("after another %v: %v", time.Since(began), err)
				}
				synctest.Wait()
				if ended, now := s.over(); ended != len(s.data) || now != acked {
					t.Fatalf("%d of %d appends have ended, %d acknowledged of %d", ended, len(s.data), now, acked)
				}
				if err := s.log.Close(ctx); !base.IsKind(err, base.Unavailable) || s.log.watch.oldest() < timeout {
					t.Fatalf("closed: %v; hangs for %v", err, s.log.watch.oldest())
				}
				close(release)
				<-s.log.released
				synctest.Wait() // for who read the token: it needs neither the files nor the lock
				if _, now := s.over(); now != acked || s.log.watch.oldest() != 0 || s.pool.InUse() != 0 || len(s.bad) > 0 {
					t.Fatalf("%d acknowledged, then %d; %d bytes were not returned; %v", acked, now, s.pool.InUse(), s.bad)
				}
				if _, n, err := s.recovered(s.disk, 0); err != nil || n < acked {
					t.Fatalf("%d acknowledged, %d recovered: %v", acked, n, err)
				}
			})
		})
	}
}

// TestSlowIsNotHung: a disk that takes almost the timeout for each write is slow, and one with a timeout of 0 may take a year.
func TestSlowIsNotHung(t *testing.T) {
	for timeout, takes := range map[time.Duration]time.Duration{time.Minute: 50 * time.Second, 0: 365 * 24 * time.Hour} {
		synctest.Test(t, func(t *testing.T) {
			s, failed, _, _ := hanging(t, true, timeout, func(op memdisk.Op) error { time.Sleep(takes); return nil })
			for range 5 {
				s.append(20000)
				for ended := 0; ended < len(s.data); ended, _ = s.over() { // on the clock of the bubble, which does not move while somebody spins
					time.Sleep(takes / 10)
					synctest.Wait()
				}
			}
			err := s.log.Close(ctx)
			if _, acked := s.over(); err != nil || len(failed) > 0 || acked != len(s.data) {
				t.Fatalf("%v; %d of %d acknowledged", err, acked, len(s.data))
			}
		})
	}
}

// TestHangsBesideAnError: one of two writes fails and the other hangs. The log has failed, and what hangs is given up when its time has come.
func TestHangsBesideAnError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var writes atomic.Int32
		s, failed, _, release := hanging(t, false, 30*time.Second, func(op memdisk.Op) error {
			switch {
			case !isBlock(op): // an error of making a segment would fail the log before a write hangs
				return nil
			case writes.Add(1) == 1:
				return errHangs
			default:
				return syscall.EIO
			}
		})
		s.append(100)
		synctest.Wait()
		s.append(20000)
		if err := <-failed; !base.IsKind(err, base.Failed) || !strings.Contains(err.Error(), syscall.EIO.Error()) {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		if ended, acked := s.over(); ended != len(s.data) || acked != 2 {
			t.Fatalf("%d of %d appends have ended, %d acknowledged", ended, len(s.data), acked)
		}
		if err := s.log.Close(ctx); !base.IsKind(err, base.Unavailable) {
			t.Fatal(err)
		}
		close(release)
		<-s.log.released
	})
}

// TestIdleWatchHasNoTimer: what is not asked is not looked at.
func TestIdleWatchHasNoTimer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, _, _, _ := hanging(t, false, 30*time.Second, func(memdisk.Op) error { return nil })
		time.Sleep(time.Minute)
		synctest.Wait()
		if s.log.watch.armed.Load() {
			t.Fatal("the timer runs though nothing is under way")
		}
		s.fill(1, 100)
		if !s.log.watch.armed.Load() {
			t.Fatal("nobody looks at a write")
		}
		if err := s.log.Close(ctx); err != nil {
			t.Fatal(err)
		}
	})
}
