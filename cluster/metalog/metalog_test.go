package metalog

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"sluice/base"
	"sluice/cluster/meta"
	"sluice/storage/objstore"
	"sluice/storage/objstore/fault"
	"sluice/storage/objstore/mem"
	"sluice/storage/slotlog"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// holder drives a log as the controller does: one command, one slot.
type holder struct {
	log *Log
	img *meta.Image
	n   byte
}

func open(t *testing.T, store objstore.Store, opt Options) *holder {
	t.Helper()
	opt.Store = store
	l, img, err := Open(t.Context(), opt)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(l.Close)
	return &holder{log: l, img: img}
}

// submit appends a command and waits for the acknowledgement.
func (h *holder) submit(cmd meta.Command) (meta.Result, error) {
	d := h.img.Draft()
	recs, res, err := d.Execute(cmd, 1)
	if err != nil {
		return nil, err
	}
	var body []byte
	for _, r := range recs {
		body = meta.AppendRecord(body, r)
	}
	acked := make(chan error, 1)
	h.log.Append(body, len(recs), func(err error) { acked <- err })
	if err := <-acked; err != nil {
		return nil, err
	}
	h.log.Acknowledged()
	h.img = d.Image()
	return res, nil
}

func (h *holder) mustSubmit(t *testing.T, cmd meta.Command) meta.Result {
	t.Helper()
	res, err := h.submit(cmd)
	if err != nil {
		t.Fatal(err)
	}
	return res
}

func config(i int) meta.Command {
	return &meta.AlterConfigs{Changes: []meta.ConfigChange{{Kind: meta.GroupConfig, Name: fmt.Sprintf("g%d", i%50), Configs: map[string]string{"i": fmt.Sprint(i)}}}}
}

func state(img *meta.Image) string { return string(img.AppendSnapshot(nil)) }

func read(t *testing.T, store objstore.Store) *Reader {
	t.Helper()
	r, err := OpenReader(t.Context(), Options{Store: store})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// An empty bucket becomes a cluster; what follows takes the log over and finds everything; the old holder is fenced.
func TestCreateAndTakeOver(t *testing.T) {
	store := mem.New()
	if _, err := OpenReader(t.Context(), Options{Store: store}); !base.IsKind(err, base.NotFound) {
		t.Fatalf("a reader of an empty bucket: %v", err)
	}
	a := open(t, store, Options{Who: "a"})
	if a.img.ClusterID().IsZero() || a.img.Controller().Epoch != 0 || a.img.Pos() != 2 {
		t.Fatalf("cluster %s, controller %+v, position %d", a.img.ClusterID(), a.img.Controller(), a.img.Pos())
	}
	for i := range 10 {
		a.mustSubmit(t, config(i))
	}
	b := open(t, store, Options{Who: "b"})
	if c := b.img.Controller(); c.Epoch != 1 || c.Who != "b" || b.img.ClusterID() != a.img.ClusterID() || b.img.Pos() != a.img.Pos()+1 {
		t.Fatalf("took over %+v at %d", c, b.img.Pos())
	}
	if _, err := a.submit(config(100)); !base.IsKind(err, base.Fenced) {
		t.Fatalf("the old holder appends: %v", err)
	}
	b.mustSubmit(t, config(11))
	if got := read(t, store); state(got.Image()) != state(b.img) || got.Next() != (Position{1, 2}) {
		t.Fatalf("a reader is at %s", got.Next())
	}
}

// N brokers started at once on an empty bucket agree on one cluster, and in the end one of them holds the log.
func TestManyStartAtOnce(t *testing.T) {
	store := fault.New(mem.New(), 1, fault.Rule{Name: "slow", Delay: time.Millisecond, Prob: 0.3})
	const n = 6
	holders := make([]*holder, n)
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() { holders[i] = open(t, store, Options{Who: fmt.Sprint(i)}) })
	}
	wg.Wait()
	alive := 0
	for _, h := range holders {
		if h.img.ClusterID() != holders[0].img.ClusterID() {
			t.Fatal("two clusters")
		}
		if _, err := h.submit(config(1)); err == nil {
			alive++
		} else if !base.IsKind(err, base.Fenced) {
			t.Fatal(err)
		}
	}
	if alive != 1 {
		t.Fatalf("%d holders", alive)
	}
	r := read(t, store)
	if r.Next().Epoch != n-1 {
		t.Fatalf("%d epochs for %d starts", r.Next().Epoch+1, n)
	}
}

// Snapshots bound the replay, trims delete what they make needless, and nothing else: slot 0 of every epoch and every seal stay.
func TestSnapshotAndTrim(t *testing.T) {
	store := mem.New()
	h := open(t, store, Options{SnapshotBytes: 200, RollSlots: 8})
	snapshots := 0
	for i := range 200 {
		h.mustSubmit(t, config(i))
		if h.log.Full() {
			img, err := h.log.Roll(t.Context(), h.img)
			if err != nil {
				t.Fatal(err)
			}
			h.img = img
		}
		if h.log.Due() {
			job := h.log.Snapshot(h.img)
			size, err := job.Run(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			h.log.Finished(job, size, nil)
			snapshots++
		}
	}
	if snapshots < 5 {
		t.Fatalf("%d snapshots", snapshots)
	}
	r := read(t, store)
	if state(r.Image()) != state(h.img) {
		t.Fatal("a reader sees another state")
	}
	found, err := r.snapshots(t.Context())
	if err != nil || len(found) != 2 {
		t.Fatalf("snapshots %v, %v", found, err)
	}
	kept, zeros, seals := 0, 0, 0
	for info, err := range store.List(t.Context(), "meta/", "") {
		if err != nil {
			t.Fatal(err)
		}
		at, ok := slotOf(r.log, info.Key)
		if !ok {
			continue
		}
		s, err := r.log.Read(t.Context(), at.Epoch, at.Slot)
		switch {
		case err != nil:
			t.Fatal(err)
		case at.Slot == 0:
			zeros++
		case s.Seal != nil:
			seals++
		case at.Epoch < h.log.Epoch() && !found[0].Less(at):
			t.Errorf("slot %v was not trimmed", at)
		default:
			kept++
		}
	}
	if e := int(h.log.Epoch()); zeros != e+1 || seals != e || kept == 0 {
		t.Fatalf("%d slots 0, %d seals, %d others after %d epochs", zeros, seals, kept, e+1)
	}
	next := open(t, store, Options{})
	if next.img.Pos() != h.img.Pos()+1 {
		t.Fatalf("taken over at %d, want %d", next.img.Pos(), h.img.Pos()+1)
	}
}

// A snapshot that cannot be read is passed over for the older one, and the log since that one is still there.
func TestDamagedSnapshot(t *testing.T) {
	store := mem.New()
	h := open(t, store, Options{SnapshotBytes: 100, RollSlots: 5})
	grow(t, h, 60)
	r := read(t, store)
	found, err := r.snapshots(t.Context())
	if err != nil || len(found) != 2 {
		t.Fatalf("%v, %v", found, err)
	}
	b, err := store.Get(t.Context(), r.snapshotKey(found[1]), 0, -1, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, damaged := range [][]byte{b[:len(b)-1], append([]byte{1}, b...), flip(b, len(b)/2), flip(b, 30), flip(b, 57)} {
		if err := store.Put(t.Context(), r.snapshotKey(found[1]), [][]byte{damaged}, objstore.PutOptions{}); err != nil {
			t.Fatal(err)
		}
		if got := read(t, store); state(got.Image()) != state(h.img) {
			t.Fatal("another state")
		}
	}
}

func flip(b []byte, i int) []byte {
	c := append([]byte(nil), b...)
	c[i] ^= 4
	return c
}

// grow appends n commands, with rolls and snapshots as they come due.
func grow(t *testing.T, h *holder, n int) {
	t.Helper()
	for i := range n {
		h.mustSubmit(t, config(i))
		if err := h.tend(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
}

func (h *holder) tend(ctx context.Context) error {
	if h.log.Full() {
		img, err := h.log.Roll(ctx, h.img)
		if err != nil {
			return err
		}
		h.img = img
	}
	if h.log.Due() {
		job := h.log.Snapshot(h.img)
		size, err := job.Run(ctx)
		h.log.Finished(job, size, err)
		return err
	}
	return nil
}

// A follower sees what is appended, across rolls and take-overs, and catches up by a snapshot when slots were trimmed under it.
func TestFollower(t *testing.T) {
	store := mem.New()
	h := open(t, store, Options{SnapshotBytes: 300, RollSlots: 6})
	r, slow := read(t, store), read(t, store)
	if moved, err := r.Poll(t.Context()); moved || err != nil {
		t.Fatalf("polled %v, %v", moved, err)
	}
	for i := range 120 {
		h.mustSubmit(t, config(i))
		if err := h.tend(t.Context()); err != nil {
			t.Fatal(err)
		}
		if i%7 == 0 {
			moved, err := r.Poll(t.Context())
			if !moved || err != nil || state(r.Image()) != state(h.img) {
				t.Fatalf("polled %v, %v", moved, err)
			}
		}
	}
	h2 := open(t, store, Options{Who: "two"})
	h2.mustSubmit(t, config(1000))
	for _, f := range []*Reader{r, slow} {
		if moved, err := f.Poll(t.Context()); !moved || err != nil || state(f.Image()) != state(h2.img) {
			t.Fatalf("polled %v, %v", moved, err)
		}
	}
}

// A reader whose every look ends before the tip, as one far behind does in a slow store, gets there all the same, over the ends of epochs too.
func TestShortLooks(t *testing.T) {
	store := mem.New()
	behind := read(t, func() objstore.Store { open(t, store, Options{Who: "a"}); return store }())
	for _, who := range []string{"b", "c"} {
		h := open(t, store, Options{Who: who})
		for i := range 20 {
			h.mustSubmit(t, config(i))
		}
	}
	want := read(t, store)
	looks := 0
	for behind.Next() != want.Next() {
		behind.log.Store = fault.New(store, 1, fault.Rule{Name: "over", Skip: 6, Effect: fault.Refuse, Kind: base.Unavailable})
		before := behind.Next()
		more, err := behind.Poll(t.Context())
		if looks++; err != nil && (!more || !before.Less(behind.Next())) {
			t.Fatalf("look %d began and ended at %s: %v", looks, before, err)
		}
	}
	if state(behind.Image()) != state(want.Image()) {
		t.Error("the images differ")
	}
	if looks < 5 {
		t.Errorf("%d looks were enough, so they were not short", looks)
	}
}

// A challenger that slept through epochs and trims seals in a place that is over long ago; nobody is disturbed by it.
func TestStraySeal(t *testing.T) {
	store := mem.New()
	h := open(t, store, Options{SnapshotBytes: 100, RollSlots: 5})
	grow(t, h, 3)
	sleeper := read(t, store) // thinks that epoch 0 is the newest
	grow(t, h, 60)
	l := sleeper.log
	at := sleeper.Next()
	if _, err := l.Read(t.Context(), at.Epoch, at.Slot); !base.IsKind(err, base.NotFound) {
		t.Fatalf("slot %v was not trimmed: %v", at, err)
	}
	if _, _, err := takeOver(t.Context(), sleeper.opt, sleeper); !base.IsKind(err, base.Fenced) {
		t.Fatalf("the sleeper took over: %v", err)
	}
	if s, err := l.Read(t.Context(), at.Epoch, at.Slot); err != nil || s.Seal == nil {
		t.Fatalf("there is no stray seal: %v", err)
	}
	if moved, err := sleeper.Poll(t.Context()); !moved || err != nil || state(sleeper.Image()) != state(h.img) {
		t.Fatalf("the sleeper polls %v, %v", moved, err)
	}
	grow(t, h, 30)
	if got := read(t, store); state(got.Image()) != state(h.img) {
		t.Fatal("a reader sees another state")
	}
}

// crashAfter is a store that stops answering after a number of requests, as to a process that is killed: the last one may or may not
// have happened.
func crashAfter(inner objstore.Store, requests int, lastHappens bool) *fault.Store {
	effect := fault.Hang
	if lastHappens {
		effect = fault.LoseAnswer
	}
	return fault.New(inner, 1,
		fault.Rule{Name: "crash", Skip: requests, Times: 1, Effect: effect},
		fault.Rule{Name: "dead", Skip: requests, Effect: fault.Hang})
}

// A holder that is killed at any request, whether that request still happens or not, loses nothing that it was told is durable, and the
// next one starts without help. Everything is in it: creation or take-over, appends, rolls, snapshots, trims.
func TestCrashAtEveryPoint(t *testing.T) {
	for _, happens := range []bool{false, true} {
		done := false
		for at := 0; !done; at++ {
			store := mem.New()
			seed := open(t, store, Options{SnapshotBytes: 150, RollSlots: 4})
			grow(t, seed, 9)
			acked := seed.img
			var killed bool
			acked, killed = lifeUntilKilled(store, at, happens, acked)
			done = !killed
			next := open(t, store, Options{SnapshotBytes: 150, RollSlots: 4})
			if next.img.Pos() < acked.Pos() {
				t.Fatalf("killed at request %d (it happened: %v): found position %d, %d was acknowledged", at, happens, next.img.Pos(), acked.Pos())
			}
			for i := range 50 {
				name := fmt.Sprintf("g%d", i)
				if a, b := acked.Configs(meta.GroupConfig, name)["i"], next.img.Configs(meta.GroupConfig, name)["i"]; atoi(b) < atoi(a) {
					t.Fatalf("killed at request %d: %s is %q, %q was acknowledged", at, name, b, a)
				}
			}
			grow(t, next, 9)
			if got := read(t, store); state(got.Image()) != state(next.img) {
				t.Fatalf("killed at request %d: a reader sees another state", at)
			}
			if done && at < 60 {
				t.Fatalf("only %d requests", at)
			}
		}
	}
}

func atoi(s string) (n int) {
	_, _ = fmt.Sscan(s, &n)
	return n
}

// lifeUntilKilled runs one holder over a store that dies at a request and returns the last image that it was told is durable.
func lifeUntilKilled(inner objstore.Store, at int, happens bool, acked *meta.Image) (*meta.Image, bool) {
	f := crashAfter(inner, at, happens)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	stop := make(chan struct{})
	go func() { // nobody waits for a dead process
		for f.Fired("crash") == 0 {
			select {
			case <-stop:
				return
			case <-time.After(200 * time.Microsecond):
			}
		}
		cancel()
	}()
	defer close(stop)
	l, img, err := Open(ctx, Options{Store: f, SnapshotBytes: 150, RollSlots: 4})
	if err != nil {
		return acked, true
	}
	go func() {
		<-ctx.Done()
		l.Close()
	}()
	h := &holder{log: l, img: img}
	for i := range 12 {
		if _, err := h.submit(config(1000 + i)); err != nil {
			return h.img, true
		}
		if err := h.tend(ctx); err != nil {
			return h.img, true
		}
	}
	return h.img, f.Fired("crash") > 0
}

// Answers get lost, requests are refused, puts arrive late: appends and take-overs go on, each record is there once.
func TestUnreliableStore(t *testing.T) {
	inner := mem.New()
	store := fault.New(inner, 7,
		fault.Rule{Name: "lost", Op: fault.Put, Prob: 0.2, Effect: fault.LoseAnswer},
		fault.Rule{Name: "late", Op: fault.Put, Prob: 0.1, Effect: fault.Late},
		fault.Rule{Name: "503", Prob: 0.1, Effect: fault.Refuse})
	for round := range 4 {
		h := open(t, store, Options{SnapshotBytes: 400, RollSlots: 7})
		for i := range 15 {
			h.mustSubmit(t, &meta.Register{Incarnation: base.UUID{byte(round + 1), byte(i)}, Reclaim: base.NoNode})
			if err := h.tend(t.Context()); err != nil {
				t.Fatal(err)
			}
			store.Deliver(t.Context(), 2)
		}
		if n := nodes(h.img); n != 15*(round+1) {
			t.Fatalf("%d nodes after round %d", n, round)
		}
	}
	store.Deliver(t.Context(), 1000)
	if got := read(t, inner); nodes(got.Image()) != 60 {
		t.Fatalf("%d nodes", nodes(got.Image()))
	}
	for _, name := range []string{"lost", "late", "503"} {
		if store.Fired(name) == 0 {
			t.Errorf("fault %s never happened", name)
		}
	}
}

func nodes(img *meta.Image) (n int) {
	for range img.Nodes() {
		n++
	}
	return n
}

// A slot whose bytes rot, or which belongs to another position, stops a reader with kind Corrupt and the slot's name.
func TestCorruptSlot(t *testing.T) {
	store := mem.New()
	h := open(t, store, Options{})
	for i := range 5 {
		h.mustSubmit(t, config(i))
	}
	l := slotlog.Log{Store: store, Cluster: h.img.ClusterID(), Name: "meta"}
	key := l.Key(0, 3)
	b, err := store.Get(t.Context(), key, 0, -1, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := store.Put(t.Context(), key, [][]byte{flip(b, len(b)-2)}, objstore.PutOptions{}); err != nil {
		t.Fatal(err)
	}
	_, err = OpenReader(t.Context(), Options{Store: store})
	if !base.IsKind(err, base.Corrupt) || !strings.Contains(err.Error(), "3") {
		t.Fatalf("got %v", err)
	}
	if _, _, err := Open(t.Context(), Options{Store: store}); !base.IsKind(err, base.Corrupt) {
		t.Fatalf("took over a corrupt log: %v", err)
	}
}

// An idle log, and an idle follower, put nothing.
func TestIdleWritesNothing(t *testing.T) {
	inner := mem.New()
	count := fault.Rule{Name: "put", Op: fault.Put | fault.Delete, Effect: fault.Nothing}
	store := fault.New(inner, 1)
	h := open(t, store, Options{})
	r := read(t, store)
	store.SetRules(count)
	for range 20 {
		if _, err := r.Poll(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := h.tend(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if n := store.Fired("put"); n != 0 {
		t.Fatalf("%d puts and deletes", n)
	}
}

// A start that runs out of time says so and leaves a log that others can take over.
func TestOpenEndsWithItsContext(t *testing.T) {
	inner := mem.New()
	store := fault.New(inner, 1, fault.Outage())
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if _, _, err := Open(ctx, Options{Store: store}); err == nil || !base.IsKind(err, base.Unavailable) && !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("got %v", err)
	}
	store.SetRules()
	open(t, store, Options{})
}
