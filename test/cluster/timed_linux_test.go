package cluster

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"sluice/test/broker"
	"sluice/test/s3fault"
	"sluice/test/s3test"
	"sluice/test/timeline"
)

// timed is a world that is under faults for a time, with several client stacks, and what is written down of it.
type timed struct {
	*world
	t     *blamed
	nw    *network
	proxy *s3fault.Proxy
	tl    *timeline.Recorder
	class string // of the first WAL: file or s3
	disk  string // where the shared WAL directories are, a file system of its own

	guarantees []*timeline.Guarantee
	stacks     []*stack
	foreign    *foreignCopy
	raw        *rawReader
	compacted  *compacted
	trimmed    *trimmed
	images     *images
	copies     *copying
	volumes    int // WALs that were added so far
	bucket     string
}

// blamed is a test whose errors speak against a guarantee.
type blamed struct {
	testing.TB
	mu    sync.Mutex
	blame string // the guarantee that errors speak against at present
	wrong func(guarantee, text string)
}

func (b *blamed) Errorf(format string, args ...any) {
	b.TB.Helper()
	b.tell(fmt.Sprintf(format, args...))
	b.TB.Errorf(format, args...)
}

func (b *blamed) Fatalf(format string, args ...any) {
	b.TB.Helper()
	b.tell(fmt.Sprintf(format, args...))
	b.TB.Fatalf(format, args...)
}

func (b *blamed) Fatal(args ...any) {
	b.TB.Helper()
	b.tell(fmt.Sprint(args...))
	b.TB.Fatal(args...)
}

func (b *blamed) tell(text string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if strings.HasPrefix(text, "verdict: ") {
		return // it only sums up
	}
	first, _, _ := strings.Cut(text, "\n")
	b.wrong(b.blame, first)
}

// blaming has errors speak against a guarantee for as long as do takes, and against liveness afterwards.
func (b *blamed) blaming(guarantee string, do func()) {
	set := func(g string) {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.blame = g
	}
	set(guarantee)
	do()
	set("G13")
}

// TestTimed is `make chaos MINUTES=n`: faults of every family for so many minutes in each WAL class, with clients of three implementations, judged
// guarantee by guarantee. It writes a page for each class.
func TestTimed(t *testing.T) {
	if minutes(t) == 0 {
		t.Skip("make chaos MINUTES=n runs it")
	}
	if _, err := s3test.Binary(t.Context()); err != nil { // while there is a network
		t.Fatal(err)
	}
	t.Setenv("SLUICE_CHAOS_SEED", fmt.Sprint(newSeed(t)))
	for _, class := range []string{"file", "s3"} {
		if only := os.Getenv("SLUICE_CHAOS_WAL"); only != "" && only != class {
			continue
		}
		t.Run(class+" WAL", func(t *testing.T) {
			if !ownNetwork(t, syscall.CLONE_NEWNS) { // a process for each: the clients of a run that fails would go on in the next one
				return
			}
			if err := syscall.Mount("", "/", "", syscall.MS_REC|syscall.MS_PRIVATE, ""); err != nil {
				t.Fatalf("mounts of its own: %v", err)
			}
			n := brokers(t)
			nw := build(t, n)
			nw.checkCuts()
			newTimed(t, nw, class, n).run(minutes(t))
		})
	}
}

// output is the directory for pages.
func output(t testing.TB) string {
	if dir := os.Getenv("SLUICE_CHAOS_OUT"); dir != "" {
		return dir
	}
	dir, err := os.MkdirTemp("", "sluice-chaos-")
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// newTimed starts the cluster. Brokers have a WAL of each class, so that topics can change between them.
func newTimed(t *testing.T, nw *network, class string, n int) *timed {
	r := &timed{nw: nw, class: class, tl: timeline.NewRecorder(), guarantees: promises(), disk: filepath.Join(t.TempDir(), "disk")}
	if err := os.Mkdir(r.disk, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mount("tmpfs", r.disk, "tmpfs", 0, "size=1g"); err != nil {
		t.Fatalf("a file system for the WAL: %v", err)
	}
	t.Cleanup(func() { _ = syscall.Unmount(r.disk, syscall.MNT_DETACH) })
	r.t = &blamed{TB: t, blame: "G13", wrong: func(g, text string) { r.guarantee(g).Wrongf("%s", text) }}
	dir := output(t)
	t.Cleanup(func() { r.write(dir) })
	proxy, bucket := proxied(t, newSeed(t))
	r.proxy, r.bucket = proxy, forward(t, bucket)
	wals := []string{r.volume("wal"), "s3"}
	if class == "s3" {
		wals[0], wals[1] = wals[1], wals[0]
	}
	p := places{bucket: r.bucket, wal: wals[0], args: []string{"wal-s3-puts-per-second=50", "compaction-interval=5s", "log.retention.check.interval.ms=1000",
		"log.cleaner.backoff.ms=1000", "group.consumer.min.heartbeat.interval.ms=1000", "group.consumer.heartbeat.interval.ms=1000",
		"group.consumer.min.session.timeout.ms=6000", "group.consumer.session.timeout.ms=10000", "sweep-interval=10s", "block-cache=1MiB", "delete-grace=20s"}}
	p.host = func(i int, o *broker.Options) {
		nw.place(i, o)
		o.Args = append(o.Args, "--wal", wals[1])
	}
	r.world = newWorldWith(r.t, p, n, 9, func(w *world) {
		w.Acked = func(took time.Duration) { r.tl.Acked("franz-go", took) }
		w.Read = func(n int) { r.tl.Consumed("franz-go", n) }
		w.rarely = 10 * time.Second // one that is moved again while it loads is never there
		w.Pause = 80 * time.Millisecond
		w.Visited = func() { r.tl.Count("franz-go", "reads at random places", 1) }
	})
	return r
}

// volume is the URL of a shared WAL directory.
func (r *timed) volume(name string) string {
	return "file://" + filepath.Join(r.disk, name) + "?shared=true&segment=4MiB&capacity=64MiB"
}

func (r *timed) guarantee(id string) *timeline.Guarantee {
	for _, g := range r.guarantees {
		if g.ID == id {
			return g
		}
	}
	panic("BUG: no guarantee " + id)
}

// write writes the page, whatever has become of the run.
func (r *timed) write(dir string) {
	facts := map[string]string{"WAL class": r.class, "brokers": fmt.Sprint(brokers(r.t)), "seed": "", "go": runtime.Version(), "processors": fmt.Sprint(runtime.NumCPU()),
		"load average": "", "sluice": version("git", "describe", "--always", "--dirty"), "kernel": version("uname", "-sr"), "java": version("java", "-version"),
		"clients": clientVersions()}
	if r.world != nil {
		facts["seed"] = fmt.Sprint(r.seed)
	}
	if load, err := os.ReadFile("/proc/loadavg"); err == nil {
		facts["load average"] = strings.Join(strings.Fields(string(load))[:3], " ")
	}
	run := r.tl.Run("Sluice under faults, WAL class "+r.class, facts, r.guarantees)
	path, err := run.Write(dir, "chaos-"+r.class)
	if err != nil {
		r.t.Errorf("write the page: %v", err)
		return
	}
	for _, g := range run.Guarantees {
		r.t.Logf("%-4s %-8s %s", g.ID, g.Verdict, strings.Join(append(append([]string{}, g.Wrong...), g.Missing...), "; "))
	}
	if r.world != nil && !r.t.Failed() { // else it is kept already
		r.keep()
	}
	r.t.Logf("%s: %s, seed %s, page %s", run.Title, run.Verdict, facts["seed"], path)
	if run.Verdict != timeline.Pass && !r.t.Failed() {
		r.t.TB.Errorf("verdict: %s", run.Verdict)
	}
}

// run does faults until the time is over, and judges.
func (r *timed) run(length time.Duration) {
	r.begin(length)
	all := r.faults()
	deck := r.firstOfEach(all)
	for deadline := time.Now().Add(length); time.Now().Before(deadline); {
		if len(deck) == 0 {
			deck = r.rnd.Perm(len(all))
		}
		f := all[deck[0]]
		deck = deck[1:]
		r.random(200*time.Millisecond, 1500*time.Millisecond)
		if r.rnd.IntN(4) == 0 {
			r.replaceProducer()
		}
		r.round(f)
	}
	r.tl.Stop()
	r.finish()
}

// round does one fault, and waits until all is well again.
func (r *timed) round(f timedFault) {
	end := r.tl.Begin(f.family, f.name)
	ended := false
	defer func() {
		if !ended { // the test ends here
			end(true, 0)
		}
	}()
	fired := f.do(r)
	if !fired {
		r.tl.Notef("did not fire: %s", f.name)
	}
	r.buryEnded()
	began := time.Now()
	r.awaitServed(f.name)
	end(fired, time.Since(began))
	ended = true
	r.random(0, 500*time.Millisecond)
	r.heal()
}

// buryEnded takes note of brokers that have ended by themselves, as they do when their disk fails them.
func (r *timed) buryEnded() {
	for _, n := range r.in(up) {
		if n.Ended() {
			n.Kill()
			n.state = down
		}
	}
	if len(r.in(up)) == 0 {
		for _, n := range r.in(down) {
			r.launch(n)
		}
	}
}

// begin starts all clients.
func (r *timed) begin(length time.Duration) {
	ctx, cancel := context.WithTimeout(context.Background(), servedWithin)
	defer cancel()
	r.load(3)
	r.copies = r.copy(2, 25*time.Millisecond, 10*time.Second) // a client that has to wait for a busy machine gets to commit something
	r.moves()
	r.compacted = startCompacted(ctx, r)
	r.trimmed = startTrimmed(ctx, r)
	r.raw = startRaw(r)
	r.images = startImages(r)
	r.churn()
	r.readers = append(r.readers, r.Visit(r.seed, 200*time.Millisecond))
	r.stacks = startStacks(ctx, r)
	r.foreign = startForeignCopy(ctx, r, r.stacks[0])
	r.tl.Notef("%d brokers, %v of faults", len(r.nodes), length)
}

// admin runs something with an admin client of its own.
func (r *timed) admin(do func(*kadm.Client) error) error {
	client, err := kgo.NewClient(r.Options()...)
	if err != nil {
		return err
	}
	defer client.Close()
	return do(kadm.NewClient(client))
}

// firstOfEach draws one fault of each family, so that a short run has had them all.
func (r *timed) firstOfEach(all []timedFault) []int {
	var deck []int
	had := map[string]bool{}
	for _, i := range r.rnd.Perm(len(all)) {
		if f := all[i].family; !had[f] {
			had[f] = true
			deck = append(deck, i)
		}
	}
	return deck
}
