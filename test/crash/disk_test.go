//go:build linux

package crash

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"sluice/test/broker"
	"sluice/test/history"
)

// smallDisk mounts a tmpfs of so many bytes, and returns its path and a function that changes its size.
func smallDisk(t *testing.T, bytes string) (dir string, resize func(bytes string)) {
	t.Helper()
	dir = filepath.Join(t.TempDir(), "disk")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size="+bytes)
	if errors.Is(err, syscall.EPERM) || errors.Is(err, syscall.EACCES) {
		t.Skip("a full disk takes the right to mount a small tmpfs (see the package documentation)")
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	return dir, func(bytes string) {
		if err := syscall.Mount("tmpfs", dir, "tmpfs", syscall.MS_REMOUNT, "size="+bytes); err != nil {
			t.Fatal(err)
		}
	}
}

// onDisk is a world whose bucket or WAL is on a small disk; the data directory is elsewhere.
func onDisk(t *testing.T, what, size string, args []string) (*world, func(string)) {
	disk, resize := smallDisk(t, size)
	dir := t.TempDir()
	opt := broker.Options{Dir: dir, Bucket: "file://" + filepath.Join(dir, "bucket"), WAL: "file://" + filepath.Join(dir, "wal"), Args: args}
	if what == "bucket" {
		opt.Bucket = "file://" + filepath.Join(disk, "bucket")
	} else {
		opt.WAL = "file://" + filepath.Join(disk, "wal")
	}
	return newWorld(t, opt, 4), resize
}

// fill waits until the broker has met the full disk, and leaves the load on for a while.
func (w *world) fill() {
	w.t.Helper()
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(100 * time.Millisecond) {
		if w.broker.Ended() || strings.Contains(w.broker.Log(), syscall.ENOSPC.Error()) {
			w.rec.Fault("full")
			w.random(time.Second, 3*time.Second)
			return
		}
	}
	w.t.Error("the disk did not get full")
}

// TestFullDisk fills the disk below the WAL and below the bucket. Producers have to wait, or the broker ends and says why; nothing
// acknowledged is lost, and when there is room again all goes on.
func TestFullDisk(t *testing.T) {
	tests := []struct {
		name, what, size string
		args             []string
	}{
		{"of the WAL", "wal", "24m", lazy()},
		{"of the bucket", "bucket", "24m", quick("wal-cache=16MiB")},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			w, resize := onDisk(t, test.what, test.size, test.args)
			w.load(3)
			for range 5 {
				w.addProducer()
			}
			w.fill()
			ended := w.broker.Ended()
			t.Logf("broker ended: %v", ended)
			resize("2g")
			if ended {
				w.broker.Kill()
				w.broker.Launch()
				w.broker.AwaitReady(readyWithin)
			}
			w.settle()
			w.judge(history.Want{Faults: []string{"full"}, Acknowledged: 100})
		})
	}
}

// TestFullDiskAndKill kills the broker while the disk is full.
func TestFullDiskAndKill(t *testing.T) {
	for _, what := range []string{"wal", "bucket"} {
		t.Run(what, func(t *testing.T) {
			args := quick("wal-cache=16MiB")
			if what == "wal" {
				args = lazy()
			}
			w, resize := onDisk(t, what, "24m", args)
			w.load(3)
			for range 5 {
				w.addProducer()
			}
			w.fill()
			w.kill()
			resize("2g")
			w.restart()
			w.settle()
			w.judge(history.Want{Faults: []string{"full", "kill"}, Acknowledged: 100})
		})
	}
}
