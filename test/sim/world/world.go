package world

import (
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"hash/fnv"
	"io"
	"maps"
	"math/rand/v2"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"sluice/storage/objstore/fault"
	"sluice/storage/objstore/mem"
	"sluice/test/clients"
	"sluice/test/history"
	"sluice/test/sim/simdisk"
	"sluice/test/sim/simnet"
)

// Bounds of liveness after the faults have ended, in simulated time.
const (
	servedWithin = 2 * time.Minute
	wholeWithin  = 3 * time.Minute // what failed and looked as if it needed a person is tried again each minute
	finishWithin = 2 * time.Minute
	readWithin   = 3 * time.Minute
	copiedWithin = 10 * time.Minute // transactions of some seconds each, one after the other
)

// patient is how long brokers are asked to wait for records: a question that is answered by nothing tells little, and costs as much as one that is.
const patient = 2 * time.Second

// watchEvery is the longest pause between two questions of a watcher.
const watchEvery = time.Second

// clientHost is where all clients are.
const clientHost = "clients"

// Result is what came of a run.
type Result struct {
	Seed    uint64
	Verdict history.Verdict
	Report  string   // of the history
	Kinds   []string // of anomalies
	Wrong   []string
	Virtual time.Duration
	Events  int
	Hash    string
	Faults  map[string]int // how often each has happened
	History []byte         `json:",omitempty"` // of a run that did not pass, as sluice-check reads it, compressed
}

// Passed reports whether the run proved what it should.
func (r Result) Passed() bool { return r.Verdict == history.Pass && len(r.Wrong) == 0 }

type world struct {
	Scenario
	rnd     *rand.Rand // of the goroutine that does the faults; another one in each step
	session time.Duration
	trace   *Trace
	net     *simnet.Network
	clients *simnet.Host
	flaky   *fault.Store
	bucket  *fault.Store
	brokers []*broker
	rec     *history.Recorder
	set     clients.Set

	made      int // producers so far
	producers []*clients.Producer
	readers   []*clients.Reader
	groups    []*clients.Group
	copying   *clients.Copying // nil: none
	bank      *clients.Bank    // nil: none
	keeping   *clients.Keeping // nil: none

	heard *overheard // nil: nobody listens to what brokers say to each other

	shared              *simdisk.Disk
	local, sharedDelays simdisk.Delays // of disks
	skewed              atomic.Int64   // readings of clocks that are off

	ending   bool            // the last broker is all that comes
	happened map[string]int  // faults
	asked    map[string]bool // faults that have to happen, or the run is unknown

	mu    sync.Mutex
	wrong []string
}

// source is a source of randomness for one part of the world: what another part draws does not change it.
func (w *world) source(part string, n int) *rand.Rand {
	h := fnv.New64a()
	fmt.Fprint(h, part, n)
	return rand.New(rand.NewPCG(w.Seed, h.Sum64()))
}

// Run runs a scenario. Its events are written to out, if that is not nil.
func Run(s Scenario, out io.Writer) Result {
	began := time.Now()
	w := &world{Scenario: s, session: time.Duration(s.Session), trace: NewTrace(out), rec: history.NewRecorder(), happened: map[string]int{}, asked: map[string]bool{}}
	w.rnd = w.source("start", 0)
	w.trace.Mark("seed %d: %v", s.Seed, s)
	w.net = simnet.New(w.source("net", 0).Uint64(), s.Delays.simnet(), w.trace.Event)
	w.clients = w.net.Up(clientHost)
	w.flaky = fault.New(mem.New(), w.source("bucket", 0).Uint64())
	w.bucket = w.flaky
	w.local, w.sharedDelays = diskDelays(w.source("disks", 0))
	w.shared = simdisk.New(w.source("shared disk", 0).Uint64(), w.sharedDelays, true, w.trace.Event, simdisk.Shared)
	report := w.run()
	r := Result{Seed: s.Seed, Verdict: report.Verdict, Report: report.String(), Kinds: slices.Sorted(maps.Keys(report.Counts)),
		Wrong: w.wrong, Virtual: time.Since(began), Faults: w.happened}
	r.Events, r.Hash = w.trace.Sum()
	if !r.Passed() {
		r.History = packed(w.rec)
	}
	return r
}

// packed is a history, compressed.
func packed(rec *history.Recorder) []byte {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	if _, err := rec.WriteTo(z); err != nil {
		panic("BUG: sim: a history in memory cannot be written: " + err.Error())
	}
	z.Close()
	return b.Bytes()
}

func (w *world) run() *history.Report {
	for i := range w.Brokers {
		b := &broker{w: w, id: i + 1, name: fmt.Sprintf("b%d", i+1)}
		b.disk = b.newDisk()
		w.brokers = append(w.brokers, b)
		b.launch()
	}
	w.overhear()
	w.set = clients.Set{
		Topic: "sim", Partitions: w.Partitions, Rec: w.rec, Complain: w.complainf, Burst: w.Burst, Pause: time.Duration(w.Pause), Slow: w.Slow, Patient: patient,
		Dial: func(ctx context.Context, _, addr string) (net.Conn, error) { return w.clients.Dial(ctx, addr) },
	}
	for _, b := range w.brokers {
		w.set.Addrs = append(w.set.Addrs, b.addr())
	}
	want := history.Want{Acknowledged: int(w.Partitions)}
	if !w.createTopic() {
		want.NoFinalRead = true
		return history.Check(w.rec, want)
	}
	w.load()
	for i, st := range w.Steps {
		w.rnd = rand.New(rand.NewPCG(st.Seed, 0))
		w.step(i+1, st)
	}
	w.rnd = w.source("end", 0)
	w.heal()
	if w.Quiet > 0 {
		w.trace.Mark("all is well for %v", w.Quiet)
		time.Sleep(time.Duration(w.Quiet))
	}
	if len(w.Steps) > 0 {
		want.Faults = append(slices.Sorted(maps.Keys(w.asked)), "fault")
	}
	w.settle()
	w.audit()
	return history.Check(w.rec, want)
}

// step does one fault, unless it makes no sense any more.
func (w *world) step(n int, st Step) {
	time.Sleep(time.Duration(st.Before))
	for _, f := range faults {
		if f.name == st.Fault && len(w.in(up)) >= f.brokers {
			w.trace.Mark("step %d: %s", n, f.name)
			f.do(w)
			w.rec.Fault("fault")
			w.happened[f.name]++
		}
	}
	time.Sleep(time.Duration(st.After))
	if st.Heal || len(w.in(up)) == 0 {
		w.trace.Mark("step %d: all is made whole", n)
		w.heal()
	}
}

// slowly is a pause of a client or an operator.
func (w *world) slowly(d time.Duration) time.Duration { return d * time.Duration(max(1, w.Slow)) }

func (w *world) complainf(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	w.trace.Wrong("%s", text)
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
		w.trace.Event("clients create topic: %v", err)
		if ctx.Err() != nil {
			w.complainf("liveness: %v", err)
			return false
		}
		time.Sleep(500 * time.Millisecond)
	}
}

// load starts the clients.
func (w *world) load() {
	for range w.Producers {
		w.addProducer()
	}
	if w.Tail {
		w.read(w.set.Tail())
	}
	for range w.Members {
		w.read(w.set.Member("sim-group"))
	}
	if w.Committer {
		w.read(w.set.Commit("sim-offsets"))
	}
	w.startGroups()
	if w.Watcher {
		topics := []string{w.set.Topic}
		if w.Copiers > 0 {
			topics = append(topics, clients.CopiesTopic)
		}
		w.read(w.set.Watch(w.source("watcher", 0).Uint64(), w.slowly(watchEvery), topics...))
	}
	if w.Copiers > 0 {
		ctx, cancel := context.WithTimeout(context.Background(), servedWithin)
		defer cancel()
		c, err := w.set.StartCopying(ctx, w.Copiers, time.Duration(w.Pause), time.Duration(w.CopierLife), func(id string, life int, err error) { w.trace.Event("%s life %d ends: %v", id, life, err) })
		if err != nil {
			w.complainf("liveness: %v", err)
		}
		w.copying = c
	}
	w.openBank()
	w.startKeeping()
	if w.Moves && len(w.brokers) > 1 {
		w.readers = append(w.readers, clients.Go(w.movePartitions))
	}
	if w.classes() {
		w.readers = append(w.readers, clients.Go(w.changeClasses))
	}
}

func (w *world) read(r *clients.Reader, err error) {
	if err != nil {
		panic("BUG: sim: " + err.Error())
	}
	w.readers = append(w.readers, r)
}

func (w *world) addProducer() {
	w.made++
	p, err := w.set.Produce(w.source("producer", w.made).Uint64())
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
	w.awaitRescued()
	for _, p := range w.producers {
		if err := p.Halt(finishWithin); err != nil {
			w.complainf("liveness: %v", err)
		}
	}
	for _, r := range w.readers {
		r.Halt()
	}
	w.finishGroups()
	w.finishKeeping()
	if w.copying != nil {
		ctx, cancel := context.WithTimeout(context.Background(), copiedWithin)
		defer cancel()
		copied, err := w.copying.Finish(ctx)
		w.trace.Event("clients %d records were copied in transactions", copied)
		if err != nil {
			w.complainf("copies in transactions: %v", err)
		}
	}
	w.closeBank()
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
		if err := b.life.givenUp; err != nil {
			w.trace.Mark("%s is fenced while it stops, and all is well: %v", b.name, err)
		}
	}
}
