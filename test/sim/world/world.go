package world

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"sync"
	"time"

	"sluice/storage/objstore/fault"
	"sluice/storage/objstore/mem"
	"sluice/test/clients"
	"sluice/test/history"
	"sluice/test/sim/simnet"
)

// Bounds of liveness after the faults have ended, in simulated time.
const (
	servedWithin = 2 * time.Minute
	finishWithin = 2 * time.Minute
	readWithin   = 3 * time.Minute
	copiedWithin = 10 * time.Minute // transactions of some seconds each, one after the other
)

// clientHost is where all clients are.
const clientHost = "clients"

// Result is what came of a run.
type Result struct {
	Seed    uint64
	Swarm   string
	Verdict history.Verdict
	Report  string // of the history
	Wrong   []string
	Virtual time.Duration
	Events  int
	Hash    string
}

// Passed reports whether the run proved what it should.
func (r Result) Passed() bool { return r.Verdict == history.Pass && len(r.Wrong) == 0 }

type world struct {
	swarm
	rnd      *rand.Rand // of the goroutine that does the faults
	moveSeed uint64
	trace    *Trace
	net      *simnet.Network
	clients  *simnet.Host
	flaky    *fault.Store
	bucket   *fault.Store
	brokers  []*broker
	rec      *history.Recorder
	set      clients.Set

	producers []*clients.Producer
	readers   []*clients.Reader
	copying   *clients.Copying // nil: none

	mu    sync.Mutex
	wrong []string
}

// Run runs the world of a seed. Its events are written to out, if that is not nil.
func Run(seed uint64, out io.Writer) Result {
	began := time.Now()
	w := &world{rnd: rand.New(rand.NewPCG(seed, 0)), trace: NewTrace(out), rec: history.NewRecorder()}
	w.swarm = newSwarm(w.rnd)
	w.moveSeed = w.rnd.Uint64()
	w.trace.Event("seed %d: %v", seed, w.swarm)
	w.net = simnet.New(w.rnd.Uint64(), w.delays, w.trace.Event)
	w.clients = w.net.Up(clientHost)
	w.flaky = fault.New(mem.New(), w.rnd.Uint64())
	w.bucket = w.flaky
	report := w.run()
	r := Result{Seed: seed, Swarm: w.swarm.String(), Verdict: report.Verdict, Report: report.String(), Wrong: w.wrong, Virtual: time.Since(began)}
	r.Events, r.Hash = w.trace.Sum()
	return r
}

func (w *world) run() *history.Report {
	for i := range w.swarm.brokers {
		b := &broker{w: w, id: i + 1, name: fmt.Sprintf("b%d", i+1)}
		w.brokers = append(w.brokers, b)
		b.launch()
	}
	w.set = clients.Set{
		Topic: "sim", Partitions: w.partitions, Rec: w.rec, Complain: w.complainf, Burst: w.burst, Pause: w.pause,
		Dial: func(ctx context.Context, _, addr string) (net.Conn, error) { return w.clients.Dial(ctx, addr) },
	}
	for _, b := range w.brokers {
		w.set.Addrs = append(w.set.Addrs, b.addr())
	}
	want := history.Want{Acknowledged: int(w.partitions)}
	if !w.createTopic() {
		want.NoFinalRead = true
		return history.Check(w.rec, want)
	}
	w.load()
	for range w.rounds {
		w.random(200*time.Millisecond, 3*time.Second)
		f := w.faults[w.rnd.IntN(len(w.faults))]
		if len(w.in(up)) >= f.brokers {
			w.trace.Event("fault: %s", f.name)
			f.do(w)
			w.rec.Fault("fault")
			w.random(0, 2*time.Second)
		}
		if w.rnd.IntN(3) > 0 || len(w.in(up)) == 0 {
			w.heal()
		}
		if w.rnd.IntN(3) == 0 {
			w.random(0, 5*time.Second)
		}
	}
	w.heal()
	want.Faults = []string{"fault"}
	w.settle()
	return history.Check(w.rec, want)
}

func (w *world) complainf(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	w.trace.Event("WRONG: %s", text)
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.wrong) < 20 {
		w.wrong = append(w.wrong, text)
	}
}

func (w *world) names() (names []string) {
	for _, b := range w.brokers {
		names = append(names, b.name)
	}
	return names
}

// in returns the brokers in a state, in random order.
func (w *world) in(s state) (found []*broker) {
	for _, b := range w.brokers {
		if b.state == s {
			found = append(found, b)
		}
	}
	w.rnd.Shuffle(len(found), func(i, j int) { found[i], found[j] = found[j], found[i] })
	return found
}

// random waits for a time drawn from the seed.
func (w *world) random(lo, hi time.Duration) {
	time.Sleep(lo + time.Duration(w.rnd.Int64N(int64(max(1, hi-lo)))))
}

func (w *world) createTopic() bool {
	ctx, cancel := context.WithTimeout(context.Background(), servedWithin)
	defer cancel()
	for {
		err := w.set.CreateTopic(ctx)
		if err == nil {
			return true
		}
		w.trace.Event("create topic: %v", err)
		if ctx.Err() != nil {
			w.complainf("liveness: %v", err)
			return false
		}
		time.Sleep(500 * time.Millisecond)
	}
}

// load starts the clients.
func (w *world) load() {
	for range w.swarm.producers {
		w.addProducer()
	}
	if w.tail {
		w.read(w.set.Tail())
	}
	for range w.members {
		w.read(w.set.Member("sim-group"))
	}
	if w.committer {
		w.read(w.set.Commit("sim-offsets"))
	}
	if w.copiers > 0 {
		ctx, cancel := context.WithTimeout(context.Background(), servedWithin)
		defer cancel()
		c, err := w.set.StartCopying(ctx, w.copiers, w.pause, w.copierLife, func(id string, life int, err error) { w.trace.Event("%s, life %d: %v", id, life, err) })
		if err != nil {
			w.complainf("liveness: %v", err)
		}
		w.copying = c
	}
	if w.swarm.moves && len(w.brokers) > 1 {
		w.readers = append(w.readers, clients.Go(w.movePartitions))
	}
}

func (w *world) read(r *clients.Reader, err error) {
	if err != nil {
		panic("BUG: sim: " + err.Error())
	}
	w.readers = append(w.readers, r)
}

func (w *world) addProducer() {
	p, err := w.set.Produce(w.rnd.Uint64())
	if err != nil {
		panic("BUG: sim: " + err.Error())
	}
	w.producers = append(w.producers, p)
}

// replaceProducer abandons a producer, as a client does that crashes, and starts another.
func (w *world) replaceProducer() {
	i := w.rnd.IntN(len(w.producers))
	w.producers[i].Abandon()
	w.rec.Crashed(w.producers[i].Process())
	w.producers = append(w.producers[:i], w.producers[i+1:]...)
	w.addProducer()
}

// settle has everything come to its end in a world that is whole, and reads all there is.
func (w *world) settle() {
	w.flaky.Deliver(context.Background(), 1<<20)
	ctx, cancel := context.WithTimeout(context.Background(), servedWithin)
	defer cancel()
	if err := w.set.Probe(ctx, w.set.Addrs); err != nil {
		w.complainf("liveness: %v", err)
	}
	for _, p := range w.producers {
		if err := p.Halt(finishWithin); err != nil {
			w.complainf("liveness: %v", err)
		}
	}
	for _, r := range w.readers {
		r.Halt()
	}
	if w.copying != nil {
		ctx, cancel := context.WithTimeout(context.Background(), copiedWithin)
		defer cancel()
		copied, err := w.copying.Finish(ctx)
		w.trace.Event("%d records were copied in transactions", copied)
		if err != nil {
			w.complainf("copies in transactions: %v", err)
		}
	}
	ctx, cancel = context.WithTimeout(context.Background(), readWithin)
	defer cancel()
	if err := w.set.ReadAll(ctx); err != nil {
		w.complainf("liveness: %v", err)
	}
	for _, b := range w.brokers {
		b.stop()
		if err := b.life.err; err != nil {
			w.complainf("%s: %v", b.name, err)
		}
	}
}
