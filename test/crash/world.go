package crash

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"strconv"
	"sync"
	"testing"
	"time"

	"sluice/test/broker"
	"sluice/test/clients"
	"sluice/test/history"
)

// Bounds of liveness: what must happen within these after faults have ended.
const (
	readyWithin  = time.Minute
	finishWithin = time.Minute
	readWithin   = 2 * time.Minute
)

// rounds is how many kills a test does.
func rounds(t testing.TB) int {
	s := os.Getenv("SLUICE_CRASH_ROUNDS")
	if s == "" {
		return 8
	}
	n, err := strconv.Atoi(s)
	if err != nil || n < 1 {
		t.Fatalf("SLUICE_CRASH_ROUNDS is %q, want a number above 0", s)
	}
	return n
}

func newSeed(t testing.TB) uint64 {
	seed := uint64(time.Now().UnixNano())
	if s := os.Getenv("SLUICE_CRASH_SEED"); s != "" {
		n, err := strconv.ParseUint(s, 10, 64)
		if err != nil {
			t.Fatalf("SLUICE_CRASH_SEED is %q, want a number", s)
		}
		seed = n
	}
	t.Logf("SLUICE_CRASH_SEED=%d", seed)
	return seed
}

// world is a broker and its clients.
type world struct {
	t      testing.TB
	rnd    *rand.Rand
	seed   uint64
	rec    *history.Recorder
	broker *broker.Process
	opt    broker.Options
	clients.Set

	mu         sync.Mutex
	complaints []string
	producers  []*clients.Producer
	others     []*clients.Reader
}

// quick are settings that make everything happen often.
func quick(more ...string) []string {
	args := []string{"--memory", "256MiB"}
	for _, s := range append([]string{"upload-interval=300ms", "upload-bytes=2MiB", "stream-object-bytes=256KiB", "group.initial.rebalance.delay.ms=0"}, more...) {
		args = append(args, "--set", s)
	}
	return args
}

// newWorld starts a broker, makes the topic, and no clients yet.
func newWorld(t testing.TB, opt broker.Options, partitions int32) *world {
	t.Helper()
	w := &world{t: t, seed: newSeed(t), rec: history.ForTest(t)}
	w.rnd = rand.New(rand.NewPCG(w.seed, 0))
	if opt.Dir == "" {
		opt.Dir = t.TempDir()
	}
	w.opt = opt
	w.broker = broker.New(t, opt)
	w.Set = clients.Set{Addrs: []string{w.broker.Addr}, Topic: "crash", Partitions: partitions, Rec: w.rec, Complain: w.complainf, Committed: true, Marks: true}
	w.broker.Launch()
	w.broker.AwaitReady(readyWithin)
	w.createTopic()
	t.Cleanup(w.stopClients)
	return w
}

func (w *world) complainf(format string, args ...any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.complaints) < 50 {
		w.complaints = append(w.complaints, fmt.Sprintf(format, args...))
	}
}

func (w *world) createTopic() {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), readyWithin)
	defer cancel()
	if err := w.CreateTopic(ctx); err != nil {
		w.t.Fatal(err)
	}
}

// watchEvery is the longest pause between two questions for watermarks.
const watchEvery = 50 * time.Millisecond

// load starts clients of every kind, so that every check has something to look at.
func (w *world) load(producers int) {
	w.t.Helper()
	for range producers {
		w.addProducer()
	}
	for _, fn := range []func() (*clients.Reader, error){
		w.Tail,
		func() (*clients.Reader, error) { return w.Member("crash-group") },
		func() (*clients.Reader, error) { return w.Member("crash-group") },
		func() (*clients.Reader, error) { return w.Commit("crash-offsets") },
		w.TailUncommitted,
		func() (*clients.Reader, error) { return w.Watch(w.rnd.Uint64(), watchEvery, w.Topic) },
		func() (*clients.Reader, error) { return w.Transact(w.rnd.Uint64(), "crash-one"), nil },
		func() (*clients.Reader, error) { return w.Transact(w.rnd.Uint64(), "crash-two"), nil },
	} {
		other, err := fn()
		if err != nil {
			w.t.Fatal(err)
		}
		w.others = append(w.others, other)
	}
}

func (w *world) addProducer() {
	w.t.Helper()
	p, err := w.Produce(w.rnd.Uint64())
	if err != nil {
		w.t.Fatal(err)
	}
	w.producers = append(w.producers, p)
}

// replaceProducer abandons a producer, as a client does that crashes, and starts another.
func (w *world) replaceProducer() {
	i := w.rnd.IntN(len(w.producers))
	w.producers[i].Abandon()
	w.rec.Crashed(w.producers[i].Process())
	w.rec.Fault("client crash")
	w.producers = append(w.producers[:i], w.producers[i+1:]...)
	w.addProducer()
}

// random pauses for a time drawn from the seed.
func (w *world) random(lo, hi time.Duration) {
	time.Sleep(lo + time.Duration(w.rnd.Int64N(int64(hi-lo))))
}

// kill ends the broker as kill -9 does.
func (w *world) kill() {
	w.broker.Kill()
	w.rec.Fault("kill")
}

// stop ends the broker as an operator does.
func (w *world) stop() {
	w.t.Helper()
	if err := w.broker.Stop(readyWithin); err != nil {
		w.t.Errorf("the broker, asked to stop, ended with %v", err)
	}
	w.rec.Fault("stop")
}

// restart starts the broker again; it may be killed once or more on the way.
func (w *world) restart() {
	w.t.Helper()
	for w.rnd.IntN(3) == 0 {
		w.broker.Launch()
		w.random(0, 500*time.Millisecond)
		w.broker.Kill()
		w.rec.Fault("kill in start")
	}
	w.broker.Launch()
	w.broker.AwaitReady(readyWithin)
}

// stopClients ends whatever still runs.
func (w *world) stopClients() {
	for _, p := range w.producers {
		p.Abandon()
	}
	w.producers = nil
	for _, o := range w.others {
		o.Halt()
	}
	w.others = nil
}

// quiesce lets the producers finish and stops all clients.
func (w *world) quiesce() {
	w.t.Helper()
	producers := w.producers
	w.producers = nil
	for _, p := range producers {
		if err := p.Halt(finishWithin); err != nil {
			w.t.Errorf("liveness: %v", err)
			w.dump()
		}
	}
	w.stopClients()
}

// moveTo goes on with another broker, which has ended clients to start with.
func (w *world) moveTo(opt broker.Options) {
	w.t.Helper()
	if opt.Dir == "" {
		opt.Dir = w.t.TempDir()
	}
	w.opt = opt
	w.broker = broker.New(w.t, opt)
	w.Addrs = []string{w.broker.Addr}
	w.broker.Launch()
	w.broker.AwaitReady(readyWithin)
}

// awaitAll waits until there is something for every check.
func (w *world) awaitAll() {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), finishWithin)
	defer cancel()
	if err := w.AwaitEvery(ctx); err != nil {
		w.dump()
		w.t.Errorf("liveness: %v", err)
	}
}

// settle lets the producers finish, stops all clients, and reads everything.
func (w *world) settle() {
	w.t.Helper()
	w.quiesce()
	w.readFinally()
	w.broker.Verify()
}

func (w *world) readFinally() {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), readWithin)
	defer cancel()
	if err := w.ReadAll(ctx); err != nil {
		w.t.Errorf("liveness: %v", err)
	}
}

// judge checks the history.
func (w *world) judge(want history.Want) {
	w.t.Helper()
	report := history.Check(w.rec, want)
	w.t.Log(report)
	for _, c := range w.complaints {
		w.t.Errorf("client: %s", c)
	}
	if w.rec.Path() != "" {
		w.t.Logf("history: sluice-check %s", w.rec.Path())
	}
	if report.Verdict != history.Pass {
		w.t.Errorf("verdict: %v (seed %d)", report.Verdict, w.seed)
	}
	if w.t.Failed() {
		w.keep()
	}
}

// notes go where the developer wants them.
func (w *world) notes() broker.Notes {
	return broker.Notes{T: w.t, Dir: os.Getenv("SLUICE_CRASH_KEEP"), Name: fmt.Sprint(w.seed)}
}

// keep writes down the history and the log.
func (w *world) keep() {
	w.notes().Write("history", func(f io.Writer) error {
		_, err := w.rec.WriteTo(f)
		return err
	})
	w.notes().Log("broker", w.broker)
}

// dump writes down what the running broker is doing.
func (w *world) dump() { w.notes().Doing("broker", w.broker) }
