package cluster

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"sluice/test/broker"
	"sluice/test/clients"
	"sluice/test/history"
)

// Bounds of liveness, far above what is usual, for machines that have much else to do.
const (
	readyWithin  = 2 * time.Minute
	servedWithin = 90 * time.Second
	finishWithin = 2 * time.Minute
	readWithin   = 3 * time.Minute
)

// session is broker.session.timeout.ms of the brokers.
const session = 3 * time.Second

func number(t testing.TB, name string, standard uint64) uint64 {
	s := os.Getenv(name)
	if s == "" {
		return standard
	}
	n, err := strconv.ParseUint(s, 10, 64)
	if err != nil {
		t.Fatalf("%s is %q, want a number", name, s)
	}
	return n
}

// rounds is how many rounds of faults a test does.
func rounds(t testing.TB) int { return max(1, int(number(t, "SLUICE_CHAOS_ROUNDS", 4))) }

// minutes is how long a timed run takes; 0: there is none.
func minutes(t testing.TB) time.Duration {
	return time.Duration(number(t, "SLUICE_CHAOS_MINUTES", 0)) * time.Minute
}

// brokers is how many brokers a world has.
func brokers(t testing.TB) int {
	n := int(number(t, "SLUICE_CHAOS_BROKERS", 3))
	if n < 3 || n > 6 {
		t.Fatalf("SLUICE_CHAOS_BROKERS is %d, want 3 to 6", n)
	}
	return n
}

func newSeed(t testing.TB) uint64 {
	seed := number(t, "SLUICE_CHAOS_SEED", uint64(time.Now().UnixNano()))
	t.Logf("SLUICE_CHAOS_SEED=%d", seed)
	return seed
}

// state is what a test has done to a broker.
type state uint8

const (
	down state = iota
	up
	paused
)

// node is one broker of a world.
type node struct {
	*broker.Process
	name  string
	state state
}

// world is a cluster and its clients. Faults are one goroutine's, the test's.
type world struct {
	t     testing.TB
	rnd   *rand.Rand
	seed  uint64
	rec   *history.Recorder
	nodes []*node
	clients.Set

	calm   sync.Mutex    // held while nobody shall move partitions
	still  atomic.Bool   // nobody does any more
	rarely time.Duration // between moves of coordinators at least
	topics topics

	mu         sync.Mutex
	complaints []string
	producers  []*clients.Producer
	readers    []*clients.Reader
}

// places is where a world keeps its data.
type places struct {
	bucket, wal string // URLs
	args        []string
	host        func(i int, o *broker.Options) // says where the broker with an index runs; nil: on this machine
}

// zones are where the brokers are, round and round.
var zones = []string{"a", "b", "c"}

// newWorld starts n brokers at once, and makes a topic when they serve.
func newWorld(t testing.TB, p places, n int, partitions int32) *world {
	t.Helper()
	return newWorldWith(t, p, n, partitions, func(*world) {})
}

// newWorldWith is newWorld with something to change before any client runs.
func newWorldWith(t testing.TB, p places, n int, partitions int32, change func(*world)) *world {
	t.Helper()
	w := &world{t: t, seed: newSeed(t), rec: history.ForTest(t)}
	w.rnd = rand.New(rand.NewPCG(w.seed, 0))
	for i := range n {
		w.nodes = append(w.nodes, w.prepare(p, i))
	}
	w.begin(partitions)
	change(w)
	return w
}

// prepare makes ready the broker with an index.
func (w *world) prepare(p places, i int) *node {
	name := fmt.Sprintf("broker-%d", i+1)
	args := []string{"--memory", "192MiB", "--name", name, "--zone", zones[i%len(zones)]}
	for _, s := range append([]string{
		"upload-interval=500ms", "upload-bytes=2MiB", "stream-object-bytes=256KiB", "group.initial.rebalance.delay.ms=0",
		"offsets.topic.num.partitions=6", "transaction.state.log.num.partitions=6", fmt.Sprintf("broker.session.timeout.ms=%d", session.Milliseconds()),
	}, p.args...) {
		args = append(args, "--set", s)
	}
	opt := broker.Options{Dir: w.t.TempDir(), Bucket: p.bucket, WAL: p.wal, Args: args}
	if p.host != nil {
		p.host(i, &opt)
	}
	return &node{Process: broker.New(w.t, opt), name: name}
}

// begin starts all brokers at once, waits for them, and makes the topic.
func (w *world) begin(partitions int32) {
	w.t.Helper()
	w.Set = clients.Set{Topic: "chaos", Partitions: partitions, Rec: w.rec, Complain: w.complainf, Burst: 8, Pause: 30 * time.Millisecond, Committed: true, Marks: true}
	for _, n := range w.nodes {
		w.Addrs = append(w.Addrs, n.Addr)
		w.launch(n)
	}
	for _, n := range w.nodes {
		n.AwaitReady(readyWithin)
	}
	w.awaitHealthy()
	ctx, cancel := context.WithTimeout(context.Background(), servedWithin)
	defer cancel()
	if err := w.CreateTopic(ctx); err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(w.stopClients)
}

func (w *world) complainf(format string, args ...any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.complaints) < 50 {
		w.complaints = append(w.complaints, fmt.Sprintf(format, args...))
	}
}

// watchEvery is the longest pause between two questions for watermarks.
const watchEvery = 100 * time.Millisecond

// load starts clients of every kind, so that every check has something to look at.
func (w *world) load(producers int) {
	w.t.Helper()
	for range producers {
		w.addProducer()
	}
	for _, fn := range []func() (*clients.Reader, error){
		w.Tail,
		func() (*clients.Reader, error) { return w.Member("chaos-group") },
		func() (*clients.Reader, error) { return w.Member("chaos-group") },
		func() (*clients.Reader, error) { return w.Commit("chaos-offsets") },
		w.TailUncommitted,
		func() (*clients.Reader, error) { return w.Watch(w.rnd.Uint64(), watchEvery, w.Topic) },
		func() (*clients.Reader, error) { return w.Transact(w.rnd.Uint64(), "chaos-one"), nil },
		func() (*clients.Reader, error) { return w.Transact(w.rnd.Uint64(), "chaos-two"), nil },
	} {
		r, err := fn()
		if err != nil {
			w.t.Fatal(err)
		}
		w.readers = append(w.readers, r)
	}
	w.readers = append(w.readers, w.makeTopics())
}

func (w *world) addProducer() {
	w.t.Helper()
	p, err := w.Produce(w.rnd.Uint64())
	if err != nil {
		w.t.Fatal(err)
	}
	w.producers = append(w.producers, p)
}

// random pauses for a time drawn from the seed.
func (w *world) random(lo, hi time.Duration) {
	time.Sleep(lo + time.Duration(w.rnd.Int64N(int64(hi-lo))))
}

// replaceProducer abandons a producer, as a client does that crashes, and starts another.
func (w *world) replaceProducer() {
	w.t.Helper()
	i := w.rnd.IntN(len(w.producers))
	w.producers[i].Abandon()
	w.rec.Crashed(w.producers[i].Process())
	w.producers = append(w.producers[:i], w.producers[i+1:]...)
	w.addProducer()
}

// in returns the brokers in a state, in random order.
func (w *world) in(s state) []*node {
	var found []*node
	for _, n := range w.nodes {
		if n.state == s {
			found = append(found, n)
		}
	}
	w.rnd.Shuffle(len(found), func(i, j int) { found[i], found[j] = found[j], found[i] })
	return found
}

func (w *world) launch(n *node) {
	w.t.Helper()
	n.Launch()
	n.state = up
}

// kill ends a broker as kill -9 does, whatever it is doing.
func (w *world) kill(n *node) {
	n.Kill()
	n.state = down
	w.rec.Fault("kill")
}

// pause stops the world for a broker, resume lets it go on.
func (w *world) pause(n *node) {
	w.t.Helper()
	n.Signal(syscall.SIGSTOP)
	n.state = paused
	w.rec.Fault("pause")
}

func (w *world) resume(n *node) {
	w.t.Helper()
	n.Signal(syscall.SIGCONT)
	n.state = up
}

// stop ends a broker as an operator does.
func (w *world) stop(n *node) {
	w.t.Helper()
	if err := n.Stop(readyWithin); err != nil {
		w.t.Errorf("%s, asked to stop, ended with %v", n.name, err)
	}
	n.state = down
	w.rec.Fault("stop")
}

// awaitServed waits until every partition takes a record, and says how long that took.
func (w *world) awaitServed(after string) {
	w.t.Helper()
	began := time.Now()
	ctx, cancel := context.WithTimeout(context.Background(), servedWithin)
	defer cancel()
	var running []string
	for _, n := range w.in(up) {
		running = append(running, n.Addr)
	}
	if err := w.Probe(ctx, running); err != nil {
		w.t.Errorf("liveness after %s: %v", after, err)
		w.dump()
		w.judge(history.Want{NoFinalRead: true})
		w.t.FailNow()
	}
	w.t.Logf("%s: every partition takes records after %v", after, time.Since(began).Round(time.Millisecond))
}

// heal brings back whatever does not run, and waits until the brokers say that all is well.
func (w *world) heal() {
	w.t.Helper()
	for _, n := range w.in(paused) {
		w.resume(n)
	}
	for _, n := range w.in(down) {
		w.launch(n)
	}
	w.awaitHealthy()
}

// stopClients ends whatever still runs.
func (w *world) stopClients() {
	for _, p := range w.producers {
		p.Abandon()
	}
	w.producers = nil
	for _, r := range w.readers {
		r.Halt()
	}
	w.readers = nil
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
	producers := w.producers
	w.producers = nil
	for _, p := range producers {
		if err := p.Halt(finishWithin); err != nil {
			w.t.Errorf("liveness: %v", err)
			w.dump()
		}
	}
	w.stopClients()
	w.awaitHealthy()
	w.checkTopics()
	ctx, cancel := context.WithTimeout(context.Background(), readWithin)
	defer cancel()
	if err := w.ReadAll(ctx); err != nil {
		w.t.Errorf("liveness: %v", err)
		w.dump()
	}
	w.nodes[0].Verify()
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
	return broker.Notes{T: w.t, Dir: os.Getenv("SLUICE_CHAOS_KEEP"), Name: fmt.Sprint(w.seed)}
}

// keep writes down the history and the logs.
func (w *world) keep() {
	w.notes().Write("history", func(f io.Writer) error {
		_, err := w.rec.WriteTo(f)
		return err
	})
	for _, n := range w.nodes {
		w.notes().Log(n.name, n.Process)
	}
}

// dump writes down what the running brokers are doing.
func (w *world) dump() {
	for _, n := range w.in(up) {
		w.notes().Doing(n.name, n.Process)
	}
}
