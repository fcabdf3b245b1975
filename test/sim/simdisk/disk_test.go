package simdisk

import (
	"bytes"
	"errors"
	"io/fs"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"sluice/storage/wal/disk"
)

const page = disk.Align

// world runs a test in virtual time, with a disk and a shared one.
func world(t *testing.T, run func(t *testing.T, local, shared *Disk)) {
	synctest.Test(t, func(t *testing.T) {
		d := Delays{Min: time.Millisecond, Max: 2 * time.Millisecond}
		quiet := func(string, ...any) {}
		run(t, New(1, d, false, quiet, "/disk"), New(2, d, true, quiet, Shared))
	})
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// content makes a file of one page of that byte, durably.
func content(t *testing.T, m *Mount, path string, b byte) disk.File {
	t.Helper()
	f, err := m.Create(path, page)
	must(t, err)
	must(t, f.WriteDurable(bytes.Repeat([]byte{b}, page), 0))
	return f
}

func read(t *testing.T, m *Mount, path string) []byte {
	t.Helper()
	b, err := m.ReadFile(path)
	must(t, err)
	return b
}

// TestDeath: a write under way is torn by sectors or did not happen, locks are free, and the old mount reaches nothing.
func TestDeath(t *testing.T) {
	world(t, func(t *testing.T, local, shared *Disk) {
		torn := 0
		for range 20 {
			m := NewMount("a", local, shared, nil)
			f := content(t, m, "/disk/f", 1)
			must(t, m.Put("/disk/lock", nil))
			lock, err := m.Lock("/disk/lock")
			must(t, err)
			done := make(chan error)
			go func() { done <- f.WriteDurable(bytes.Repeat([]byte{2}, page), 0) }()
			synctest.Wait()
			m.Down()
			if err := <-done; err == nil {
				t.Fatal("a dead process was told that its write is durable")
			}
			next := NewMount("a", local, shared, nil)
			second, err := next.Lock("/disk/lock")
			must(t, err)
			lock.Close() // of the dead: not the successor's
			if _, err := NewMount("b", local, shared, nil).Lock("/disk/lock"); !errors.Is(err, disk.ErrLocked) {
				t.Fatalf("locked twice: %v", err)
			}
			second.Close()
			if err := f.WriteDurable(make([]byte, page), 0); err == nil {
				t.Fatal("a dead process wrote")
			}
			b := read(t, next, "/disk/f")
			for at := 0; at < page; at += sectorBytes {
				if s := b[at : at+sectorBytes]; !bytes.Equal(s, bytes.Repeat(s[:1], sectorBytes)) || s[0] != 1 && s[0] != 2 {
					t.Fatalf("sector at %d is neither old nor new", at)
				}
			}
			if bytes.Contains(b, []byte{1}) && bytes.Contains(b, []byte{2}) {
				torn++
			}
			must(t, next.Remove("/disk/f"))
			must(t, next.Remove("/disk/lock"))
		}
		if torn == 0 {
			t.Fatal("no write was torn")
		}
	})
}

// TestPowerFailure: what was synced stays; a name that was not synced may go.
func TestPowerFailure(t *testing.T) {
	world(t, func(t *testing.T, local, shared *Disk) {
		lost := 0
		for range 20 {
			m := NewMount("a", local, shared, nil)
			content(t, m, "/disk/kept", 1)
			must(t, m.SyncDir("/disk"))
			content(t, m, "/disk/new", 2)
			m.Down()
			local.LosePower()
			next := NewMount("a", local, shared, nil)
			if b := read(t, next, "/disk/kept"); b[0] != 1 || b[page-1] != 1 {
				t.Fatal("what was durable is gone")
			}
			if _, err := next.ReadFile("/disk/new"); errors.Is(err, fs.ErrNotExist) {
				lost++
			}
			must(t, next.Remove("/disk/new"))
			must(t, next.Remove("/disk/kept"))
			must(t, next.SyncDir("/disk"))
		}
		if lost == 0 || lost == 20 {
			t.Fatalf("a name that was not synced was lost %d times of 20", lost)
		}
	})
}

// TestShut: what has to wait because the disk, or the mount, is shut is counted: whoever ends because of that ends because of its disk.
func TestShut(t *testing.T) {
	world(t, func(t *testing.T, local, shared *Disk) {
		m := NewMount("a", local, shared, nil)
		f := content(t, m, "/disk/f", 1)
		for n, shut := range []func(bool){m.SetShut, local.SetShut} {
			shut(true)
			done := make(chan error, 1)
			go func() { done <- f.WriteDurable(make([]byte, page), 0) }()
			synctest.Wait()
			time.Sleep(time.Minute)
			select {
			case err := <-done:
				t.Fatalf("written: %v", err)
			default:
			}
			shut(false)
			if must(t, <-done); m.Hit() != n+1 {
				t.Fatalf("%d had to wait, %d counted", n+1, m.Hit())
			}
		}
	})
}

// TestRules: each effect does what it says, and is counted.
func TestRules(t *testing.T) {
	world(t, func(t *testing.T, local, shared *Disk) {
		m := NewMount("a", local, shared, nil)
		f := content(t, m, "/shared/f", 1)
		shared.SetRules(
			Rule{Name: "full", Ops: []string{"Put"}, Effect: Refuse, Err: syscall.ENOSPC, Times: 1},
			Rule{Name: "lost", Ops: []string{"Rename"}, Effect: LoseAnswer, Times: 1},
			Rule{Name: "late", Ops: []string{"WriteDurable"}, Effect: Late, Times: 1})
		if err := m.Put("/shared/p", nil); !errors.Is(err, syscall.ENOSPC) {
			t.Fatalf("put on a full disk: %v", err)
		}
		must(t, m.Put("/shared/p", nil))
		if err := m.Rename("/shared/p", "/shared/q"); !errors.Is(err, fs.ErrNotExist) {
			t.Fatalf("a rename that was repeated: %v", err)
		}
		read(t, m, "/shared/q")
		late := bytes.Repeat([]byte{2}, page)
		if err := f.WriteDurable(late, 0); !errors.Is(err, syscall.EIO) {
			t.Fatalf("a late write: %v", err)
		}
		clear(late) // it is the caller's again
		if b := read(t, m, "/shared/f"); b[0] != 1 {
			t.Fatal("a late write has happened at once")
		}
		m.Down() // the server has it already
		time.Sleep(LateMax)
		synctest.Wait()
		if b := read(t, NewMount("b", local, shared, nil), "/shared/f"); b[0] != 2 {
			t.Fatal("a late write has not happened")
		}
		if shared.Fired("") != 3 || shared.Fired("late") != 1 || m.Hit() != 3 {
			t.Fatalf("counted %d, %d late, %d of the mount", shared.Fired(""), shared.Fired("late"), m.Hit())
		}
	})
}

// TestStuck: a write that is stuck happens when the disk is well again, and never if its process has ended. Reads go on.
func TestStuck(t *testing.T) {
	for _, dies := range []bool{true, false} {
		world(t, func(t *testing.T, local, shared *Disk) {
			m := NewMount("a", local, shared, nil)
			f := content(t, m, "/disk/f", 1)
			local.SetRules(Rule{Name: "stuck", Ops: []string{"WriteDurable"}, Effect: Stuck})
			done := make(chan error, 1)
			go func() { done <- f.WriteDurable(bytes.Repeat([]byte{2}, page), 0) }()
			time.Sleep(time.Minute)
			if len(done) != 0 || read(t, m, "/disk/f")[0] != 1 || local.Fired("stuck") != 1 {
				t.Fatal("the write was not stuck")
			}
			if dies {
				m.Down()
			}
			local.SetRules()
			if err := <-done; (err != nil) != dies {
				t.Fatalf("dies=%t: the write ends with %v", dies, err)
			}
			if b := read(t, NewMount("b", local, shared, nil), "/disk/f"); (b[0] == 2) == dies {
				t.Fatalf("dies=%t, and the file has %d", dies, b[0])
			}
		})
	}
}

// TestPoint: who dies before an operation has not done it, and who dies after it has.
func TestPoint(t *testing.T) {
	for _, before := range []bool{true, false} {
		world(t, func(t *testing.T, local, shared *Disk) {
			var m *Mount
			m = NewMount("a", local, shared, func(op, _ string, at bool) {
				if op == "Mkdir" && at == before {
					m.Down()
				}
			})
			if err := m.Mkdir("/disk/d"); err == nil {
				t.Fatal("the dead was answered")
			}
			_, err := NewMount("a", local, shared, nil).List("/disk/d")
			if errors.Is(err, fs.ErrNotExist) != before {
				t.Fatalf("before=%t: %v", before, err)
			}
		})
	}
}
