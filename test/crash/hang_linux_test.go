package crash

import (
	"bufio"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"sluice/edge/admin"
	"sluice/test/broker"
	"sluice/test/clients"
	"sluice/test/history"
)

// frozenDisk is an ext4 in a file that can be frozen: whoever writes there then waits in the kernel, without an error and beyond the reach of any signal, until it is
// thawed. A process of its own freezes it. That thaws and unmounts it when it hears nothing more from the test, however the test has ended, for a frozen
// file system holds up sync(2) of the whole machine.
type frozenDisk struct {
	t     *testing.T
	dir   string
	guard *exec.Cmd
	tell  io.WriteCloser
	told  *bufio.Reader
}

// guarding is what the guard does: $0 is where the disk is mounted.
const guarding = `while read -r op; do fsfreeze "$op" "$0" 2>&1 && echo done; done; fsfreeze --unfreeze "$0"; umount -l "$0"`

// newFrozenDisk mounts a disk, which is not frozen yet.
func newFrozenDisk(t *testing.T) *frozenDisk {
	t.Helper()
	for _, tool := range []string{"mkfs.ext4", "mount", "umount", "fsfreeze"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("a disk that hangs needs the command %s (Debian packages e2fsprogs, mount and util-linux): %v", tool, err)
		}
	}
	image, dir := filepath.Join(t.TempDir(), "image"), filepath.Join(t.TempDir(), "disk")
	if err := os.WriteFile(image, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(image, 1<<30); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("mkfs.ext4", "-q", image).CombinedOutput(); err != nil {
		t.Fatalf("make a file system: %v\n%s", err, out)
	}
	if out, err := exec.Command("mount", "-o", "loop", image, dir).CombinedOutput(); err != nil {
		t.Skipf("a disk that hangs takes the right to mount an image with a loop device (see the package documentation): %v\n%s", err, out)
	}
	d := &frozenDisk{t: t, dir: dir, guard: exec.Command("sh", "-c", guarding, dir)}
	d.guard.SysProcAttr = &syscall.SysProcAttr{Setsid: true} // what interrupts the test does not interrupt it
	tell, err := d.guard.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	told, err := d.guard.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	d.tell, d.told = tell, bufio.NewReader(told)
	if err := d.guard.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(d.end)
	return d
}

func (d *frozenDisk) freeze() { d.t.Helper(); d.do("--freeze") }
func (d *frozenDisk) thaw()   { d.t.Helper(); d.do("--unfreeze") }

// do has the guard do something, and returns when it is done.
func (d *frozenDisk) do(op string) {
	d.t.Helper()
	_, err := io.WriteString(d.tell, op+"\n")
	said, _ := d.told.ReadString('\n')
	if err != nil || said != "done\n" {
		d.t.Fatalf("%s: %v %q", op, err, said)
	}
}

// end thaws the disk if it is frozen, and unmounts it. It may be called twice.
func (d *frozenDisk) end() {
	if d.tell.Close() == nil {
		_ = d.guard.Wait() // it complains if the disk was not frozen
	}
}

// onFrozenDisk is a world whose broker has its WAL on a disk that can be frozen. The bucket and the data directory are elsewhere.
func onFrozenDisk(t *testing.T, settings ...string) (*world, *frozenDisk) {
	t.Helper()
	disk := newFrozenDisk(t)
	args := lazy()
	for _, s := range settings {
		args = append(args, "--set", s)
	}
	w := newWorld(t, broker.Options{Dir: t.TempDir(), WAL: "file://" + disk.dir + "/wal", Args: args}, 6)
	t.Cleanup(disk.end) // before the broker is waited for
	return w, disk
}

// sluice runs a command of the broker's operator.
func (w *world) sluice(args ...string) {
	w.t.Helper()
	args = append(args, "--admin-server", w.broker.Admin)
	if out, err := exec.Command(broker.Binary(w.t), args...).CombinedOutput(); err != nil {
		w.t.Fatalf("sluice %s: %v\n%s", strings.Join(args, " "), err, out)
	}
}

// wals are the WALs that the broker says it has.
func (w *world) wals() []admin.LocalWAL {
	w.t.Helper()
	res, err := http.Get("http://" + w.broker.Admin + "/v1/wal")
	if err != nil {
		w.t.Fatal(err)
	}
	defer res.Body.Close()
	var answer admin.WALsAnswer
	if err := json.NewDecoder(res.Body).Decode(&answer); err != nil {
		w.t.Fatal(err)
	}
	return answer.WALs
}

// awaitWALs waits until the broker has so many WALs, each in use and with something in it that is nowhere else.
func (w *world) awaitWALs(n int) {
	w.t.Helper()
	var wals []admin.LocalWAL
	for deadline := time.Now().Add(readyWithin); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		wals = w.wals()
		ready := 0
		for _, v := range wals {
			if v.Failed == "" && v.Open > 0 && v.Unuploaded > 0 {
				ready++
			}
		}
		if ready == n && len(wals) == n {
			return
		}
	}
	w.t.Fatalf("there are not %d WALs with something in them: %+v", n, wals)
}

// awaitLog waits until the broker has said something.
func (w *world) awaitLog(text string) {
	w.t.Helper()
	for deadline := time.Now().Add(readyWithin); !strings.Contains(w.broker.Log(), text); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(deadline) {
			w.t.Fatalf("the broker has not said %q", text)
		}
	}
}

// goesOn writes to every partition with a producer that has nothing to do with what happened before.
func (w *world) goesOn() {
	w.t.Helper()
	p, err := w.Produce(w.rnd.Uint64())
	if err != nil {
		w.t.Fatal(err)
	}
	w.random(500*time.Millisecond, time.Second)
	if err := p.Halt(finishWithin); err != nil {
		w.dump()
		w.t.Errorf("liveness: %v", err)
	}
}

// refuses checks that nothing listens where the broker did.
func (w *world) refuses() {
	w.t.Helper()
	for _, addr := range []string{w.broker.Addr, w.broker.Admin} {
		if c, err := net.Dial("tcp", addr); err == nil {
			c.Close()
			w.t.Errorf("a broker that has ended still listens at %s", addr)
		}
	}
}

// TestVolumeHangs freezes the disk of one WAL of two under load. The broker takes that WAL for failed and goes on with the other one: everything acknowledged is
// there, nothing twice, and nobody waits for the disk, neither clients nor who stops the broker, nor the broker that is started with the other disk alone, on the same
// ports. In the other case the disk comes back while the broker runs, which changes nothing, and the broker is killed.
func TestVolumeHangs(t *testing.T) {
	for _, late := range []bool{false, true} {
		t.Run(map[bool]string{false: "and the broker is stopped", true: "and comes back"}[late], func(t *testing.T) {
			w, disk := onFrozenDisk(t, "wal-stall-timeout=5s", "shutdown-timeout=20s")
			w.load(2)
			other := "file://" + filepath.Join(w.opt.Dir, "other")
			w.sluice("wal", "add", other)
			w.awaitWALs(2)
			w.random(0, time.Second)
			disk.freeze()
			w.rec.Fault("hang")
			w.awaitLog("a WAL has failed and is taken out of service")
			w.goesOn()
			both := w.opt.WAL + "," + other
			if late {
				disk.thaw()
				w.goesOn()
				w.kill()
			} else {
				w.stopFrozen(disk, other)
			}
			w.opt.WAL = both
			w.moveTo(w.at())
			w.goesOn()
			w.awaitAll()
			w.settle()
			w.judge(history.Want{Faults: []string{"hang"}, Acknowledged: 100, Every: true})
		})
	}
}

// stopFrozen stops the broker while a disk of it is frozen, has another one take its place without that disk, and thaws it.
func (w *world) stopFrozen(disk *frozenDisk, wal string) {
	w.t.Helper()
	old := w.broker
	old.Signal(syscall.SIGTERM)
	old.AwaitDead(readyWithin)
	w.rec.Fault("stop")
	w.refuses()
	if old.Ended() {
		w.t.Error("nothing of the broker waits for the disk")
	}
	w.opt.WAL = wal
	w.moveTo(w.at())
	w.goesOn()
	disk.thaw()
	if err := old.Wait(readyWithin); err != nil {
		w.t.Errorf("the broker, asked to stop, ended with %v", err)
	}
	w.goesOn()
	w.stop()
}

// at are the options of a broker that takes the place of the present one.
func (w *world) at() broker.Options {
	opt := w.opt
	opt.Addr, opt.Admin = w.broker.Addr, w.broker.Admin
	return opt
}

// TestOnlyWALHangs freezes the disk of a broker's only WAL. What is written then is not acknowledged. The broker ends: by itself, or when it is told to
// and has not noticed yet. When the disk is back it starts again and has all that was acknowledged.
func TestOnlyWALHangs(t *testing.T) {
	tests := []struct {
		name, timeout string
		stop          bool
	}{
		{"and the broker gives up", "5s", false},
		{"and the broker is stopped", "0", true},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			w, disk := onFrozenDisk(t, "wal-stall-timeout="+test.timeout, "shutdown-timeout=3s")
			w.load(2)
			w.awaitWALs(1)
			w.random(0, time.Second)
			p, err := w.Produce(w.rnd.Uint64())
			if err != nil {
				t.Fatal(err)
			}
			p.StopSending()
			if err := p.Flush(t.Context()); err != nil {
				t.Fatal(err)
			}
			disk.freeze()
			w.rec.Fault("hang")
			acked := w.sendOne(p)
			w.random(0, time.Second)
			if test.stop {
				w.broker.Signal(syscall.SIGTERM)
			}
			w.broker.AwaitDead(readyWithin)
			if acked.Load() {
				t.Error("a record is acknowledged that no disk has")
			}
			if says := w.broker.Log(); !test.stop && !strings.Contains(says, "hangs") {
				t.Error("the broker does not say why it has ended")
			}
			w.refuses()
			if w.broker.Ended() {
				t.Error("nothing of the broker waits for the disk")
			}
			disk.thaw()
			if err := w.broker.Wait(readyWithin); err == nil {
				t.Error("a broker that could not write what it had to has ended without an error")
			}
			w.broker.Launch()
			w.broker.AwaitReady(readyWithin)
			w.goesOn()
			if err := p.Flush(t.Context()); err != nil {
				t.Error(err)
			}
			p.Close()
			w.awaitAll()
			w.settle()
			w.judge(history.Want{Faults: []string{"hang"}, Acknowledged: 100, Every: true})
		})
	}
}

// sendOne sends a value with a producer that does not send by itself, and tells whether it is acknowledged. The history does not count on it.
func (w *world) sendOne(p *clients.Producer) *atomic.Bool {
	acked := new(atomic.Bool)
	w.rec.Unclear(p.SendUncounted(func() { acked.Store(true) }))
	return acked
}
