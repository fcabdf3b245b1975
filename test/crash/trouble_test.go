package crash

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"sluice/test/broker"
	"sluice/test/history"
	"sluice/test/s3fault"
)

// trouble is one way in which a bucket is in trouble.
type trouble struct {
	name        string
	short, long time.Duration // how long it lasts in `make test`, and in `make trouble`
	away        bool          // nothing gets through: only a WAL elsewhere goes on, until memory is full
	begin       func(*s3fault.Proxy)
	fired       []string // faults of the proxy of which one at least must have happened
}

func set(t s3fault.Trouble) func(*s3fault.Proxy) {
	return func(p *s3fault.Proxy) { p.SetTrouble(t) }
}

var troubles = []trouble{
	{"latency", 5 * time.Second, 2 * time.Minute, false, set(s3fault.Trouble{LatencyMin: 50 * time.Millisecond, LatencyMax: 5 * time.Second}), []string{"delayed"}},
	{"503", 4 * time.Second, 4 * time.Minute, true, func(p *s3fault.Proxy) { p.SetUnavailable(true) }, []string{"refused"}},
	{"resets", 4 * time.Second, 2 * time.Minute, false, set(s3fault.Trouble{Resets: 0.3}), []string{"reset"}},
	{"truncated answers", 4 * time.Second, 2 * time.Minute, false, set(s3fault.Trouble{Truncated: 0.3}), []string{"truncated"}},
	{"late puts", 4 * time.Second, 2 * time.Minute, false, set(s3fault.Trouble{Late: 0.3, LateMax: 3 * time.Second}), []string{"late put"}},
	{"errors now and then", 4 * time.Second, time.Hour, false, set(s3fault.Trouble{Errors: 0.01}), []string{"500", "503", "reset"}},
	{"outage", 6 * time.Second, 10 * time.Minute, true, set(s3fault.Trouble{Errors: 1}), []string{"500", "503", "reset"}},
	{"silence", 6 * time.Second, 2 * time.Minute, true, set(s3fault.Trouble{Hang: true}), []string{"hung"}},
}

// lasts is how long a trouble lasts: SLUICE_CRASH_TROUBLE is long, a duration, or nothing for the short form.
func (tr *trouble) lasts(t testing.TB) time.Duration {
	switch s := os.Getenv("SLUICE_CRASH_TROUBLE"); s {
	case "":
		return tr.short
	case "long":
		return tr.long
	default:
		d, err := time.ParseDuration(s)
		if err != nil {
			t.Fatalf("SLUICE_CRASH_TROUBLE is %q, want long or a duration such as 60s", s)
		}
		return d
	}
}

// happened reports whether one of the trouble's faults has.
func (tr *trouble) happened(proxy *s3fault.Proxy) bool {
	fired := proxy.Fired()
	fired["refused"] = proxy.Refused()
	return slices.ContainsFunc(tr.fired, func(name string) bool { return fired[name] > 0 })
}

// The broker of these tests has little memory, so that it fills. What the process takes besides, its code and the clients' connections among
// it, is in the slack.
const (
	troubleMemory = 96 << 20
	troubleSlack  = 64 << 20
)

// TestTrouble has a bucket in trouble under load. Producers see backpressure: answers that take longer, then those errors that they try again
// after. Nothing is lost, doubled or reordered; memory stays within its setting; and when the trouble is over the broker goes on
// by itself.
func TestTrouble(t *testing.T) {
	for _, class := range []string{"file", "s3"} {
		t.Run(class+" WAL", func(t *testing.T) {
			t.Parallel() // most of it is waiting
			for _, tr := range troubles {
				t.Run(tr.name, func(t *testing.T) { inTrouble(t, class, &tr) })
			}
		})
	}
}

func inTrouble(t *testing.T, class string, tr *trouble) {
	proxy, bucket := proxied(t, newSeed(t))
	dir := t.TempDir()
	opt := broker.Options{Dir: dir, Bucket: bucket, WAL: walFlag(class), Args: append(quick(append(walClasses[class], "wal-cache=8MiB", "block-cache=8MiB")...), "--memory", strconv.Itoa(troubleMemory))}
	if class == "file" {
		opt.WAL = "file://" + filepath.Join(dir, "wal")
	}
	w := newWorld(t, opt, 4)
	var acks acknowledged
	w.Acked, w.Burst = acks.add, 100
	if tr.lasts(t) > time.Minute {
		w.Pause = 200 * time.Millisecond // a history of an hour has to fit into memory
	}
	w.load(2)
	acks.await(w, 0, 500)
	tr.begin(proxy)
	begun, before := time.Now(), acks.n.Load()
	time.Sleep(tr.lasts(t) / 2)
	w.readAll()
	time.Sleep(tr.lasts(t) - time.Since(begun))
	for i := 1; !tr.happened(proxy) && time.Since(begun) < tr.lasts(t)+finishWithin; i++ {
		time.Sleep(50 * time.Millisecond) // what is rare may not have happened yet
		if i%100 == 0 {
			w.readAll() // by now there is more than memory holds
		}
	}
	during := acks.n.Load() - before
	proxy.SetTrouble(s3fault.Trouble{})
	proxy.SetUnavailable(false)
	over := time.Now()
	acks.await(w, acks.n.Load(), 1)
	back := time.Since(over)
	acks.await(w, acks.n.Load(), 2*unfinished)
	t.Logf("%d records acknowledged in %v of trouble (%v, %d refused), the slowest after %v; the first one after it came after %v, %d more after %v", during, tr.lasts(t), proxy.Fired(),
		proxy.Refused(), time.Duration(acks.longest.Load()).Round(time.Millisecond), back.Round(time.Millisecond), 2*unfinished, time.Since(over).Round(time.Millisecond))
	if tr.happened(proxy) {
		w.rec.Fault(tr.name)
	}
	if class == "file" && tr.away && during == 0 {
		t.Error("a file WAL acknowledged nothing while the bucket was away")
	}
	w.settle()
	if w.broker.Ended() {
		t.Error("the broker ended")
	}
	w.checkMemory(troubleMemory, troubleSlack)
	w.judge(history.Want{Faults: []string{tr.name}, Acknowledged: 500})
}

// readAll adds a reader that begins at the beginning, and so has to read from the bucket what is in memory no more.
func (w *world) readAll() {
	w.t.Helper()
	reader, err := w.Tail()
	if err != nil {
		w.t.Fatal(err)
	}
	w.others = append(w.others, reader)
}

// unfinished is how many records one producer has under way at most, as package clients has it.
const unfinished = 2000

// acknowledged counts acknowledgements.
type acknowledged struct {
	n       atomic.Int64
	longest atomic.Int64 // ns from sending
}

func (a *acknowledged) add(took time.Duration) {
	a.n.Add(1)
	for {
		if l := a.longest.Load(); int64(took) <= l || a.longest.CompareAndSwap(l, int64(took)) {
			return
		}
	}
}

// await waits until so many more records than before are acknowledged.
func (a *acknowledged) await(w *world, before, more int64) {
	w.t.Helper()
	for end := time.Now().Add(finishWithin); a.n.Load() < before+more; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			w.dump()
			w.t.Fatalf("liveness: %d records acknowledged in %v, want %d", a.n.Load()-before, finishWithin, more)
		}
	}
}

// checkMemory compares what the broker's process had resident at most with what it was allowed.
func (w *world) checkMemory(memory, slack int64) {
	w.t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", w.broker.Pid()))
	if err != nil {
		w.t.Logf("memory is not checked where there is no /proc: %v", err)
		return
	}
	_, rest, _ := strings.Cut(string(status), "VmHWM:")
	var kB int64
	if _, err := fmt.Sscan(rest, &kB); err != nil {
		w.t.Fatal("no VmHWM", err)
	}
	w.t.Logf("%d MiB resident at most, %d MiB are allowed", kB>>10, memory>>20)
	if kB<<10 > memory+slack {
		w.t.Errorf("%d MiB resident, the setting is %d MiB", kB>>10, memory>>20)
	}
}
