package metalog

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"log/slog"
	"path"
	"strings"
	"sync"
	"testing"
	"time"

	"sluice/base"
	"sluice/cluster/meta"
	"sluice/storage/objstore"
	"sluice/storage/objstore/mem"
	"sluice/test/explore"
)

// The explorer of the chain of epochs runs this package itself on a bucket in memory: a controller that appends, rolls, takes snapshots and
// trims, and challengers that take over meanwhile. Every request to the bucket is a point, with two exceptions that keep the number of
// worlds small: reads in parallel are one, and the controller's own reads come right after its last write.

// chainMistake is a planted mistake.
type chainMistake string

const (
	noChainMistake chainMistake = ""
	slotZeroGone   chainMistake = "a trim deletes slot 0 of an epoch as well"
	laterZeroGone  chainMistake = "a trim deletes slot 0 of an epoch as well, that of the first one excepted"
	sealsGone      chainMistake = "a trim deletes seals as well"
)

type chainBounds struct {
	challengers int
	script      string // of the controller: a(ppend), r(oll), s(napshot)
	then        string // of a challenger that has taken over
	mistake     chainMistake
}

// chainRun is the state of one run.
type chainRun struct {
	store objstore.Store
	who   map[string]string // by key: who put what is there, and as which of his puts
	mu    struct {
		sync.Mutex
		acked []string // names of the groups whose configuration was acknowledged
		stray bool     // a seal was put into a slot that had been trimmed
		gone  map[string]bool
	}
}

// seenStore is the bucket as one actor sees it.
type seenStore struct {
	objstore.Store
	run   *explore.Run
	s     *chainRun
	actor string
	puts  *int
	m     chainMistake
}

func short(key string) string {
	dir, slot := path.Split(strings.TrimPrefix(key, "meta/"))
	trim := func(s string) string {
		if s = strings.TrimLeft(s, "0"); s == "" {
			return "0"
		}
		return s
	}
	if strings.HasPrefix(dir, "snapshot") {
		epoch, slot, _ := strings.Cut(slot, "-")
		return "snapshot " + trim(epoch) + "/" + trim(slot)
	}
	return trim(strings.TrimSuffix(dir, "/")) + "/" + trim(slot)
}

func (f seenStore) Put(ctx context.Context, key string, body [][]byte, opt objstore.PutOptions) error {
	*f.puts++
	n := *f.puts
	f.run.Point(f.actor, "put "+short(key), "")
	err := f.Store.Put(ctx, key, body, opt)
	f.run.Say(f.actor, "%v", err == nil)
	f.s.mu.Lock()
	defer f.s.mu.Unlock()
	if err == nil {
		f.s.who[key] = fmt.Sprintf("%s#%d", f.actor, n)
		f.s.mu.stray = f.s.mu.stray || f.s.mu.gone[key]
	}
	return err
}

func (f seenStore) Get(ctx context.Context, key string, off, n int64, dst []byte) ([]byte, error) {
	if f.actor != "controller" && short(key) != "0/0" {
		f.run.Together(f.actor, "get "+short(key))
	}
	b, err := f.Store.Get(ctx, key, off, n, dst)
	f.s.mu.Lock()
	defer f.s.mu.Unlock()
	what := "nothing"
	if err == nil {
		what = f.s.who[key]
	}
	f.run.Say(f.actor, "%s=%s", key, what)
	return b, err
}

func (f seenStore) List(ctx context.Context, prefix, after string) iter.Seq2[objstore.Info, error] {
	return func(yield func(objstore.Info, error) bool) {
		if f.actor != "controller" {
			f.run.Point(f.actor, "list "+prefix, "")
		}
		for info, err := range f.Store.List(ctx, prefix, after) {
			f.run.Say(f.actor, "%s", info.Key)
			if !yield(info, err) {
				return
			}
		}
	}
}

func (f seenStore) Delete(ctx context.Context, keys ...string) error {
	if f.m != noChainMistake && strings.HasPrefix(keys[0], "meta/0") {
		keys = f.more(ctx, keys)
	}
	names := make([]string, len(keys))
	for i, k := range keys {
		names[i] = short(k)
	}
	f.run.Point(f.actor, "delete "+strings.Join(names, ", "), "")
	f.s.mu.Lock()
	for _, k := range keys {
		delete(f.s.who, k)
		f.s.mu.gone[k] = true
	}
	f.s.mu.Unlock()
	return f.Store.Delete(ctx, keys...)
}

// more is what a mistaken trim deletes.
func (f seenStore) more(ctx context.Context, keys []string) []string {
	epoch := path.Dir(keys[0])
	switch {
	case f.m == slotZeroGone, f.m == laterZeroGone && !strings.HasSuffix(epoch, "/0000000000000000"):
		return append(keys, fmt.Sprintf("%s/%016x", epoch, 0))
	case f.m == sealsGone:
		for info := range f.Store.List(ctx, epoch+"/", keys[len(keys)-1]) {
			return append(keys, info.Key)
		}
	}
	return keys
}

func (b chainBounds) start(t *testing.T, r *explore.Run) {
	s := &chainRun{store: mem.New(), who: map[string]string{}}
	s.mu.gone = map[string]bool{}
	r.State = s
	options := func(actor string) Options {
		return Options{Store: seenStore{s.store, r, s, actor, new(int), b.mistake}, Who: actor, NewCluster: base.UUID{5},
			Now: func() time.Time { return time.UnixMilli(1) }, Logger: slog.New(slog.NewTextHandler(io.Discard, nil))}
	}
	l, img, err := Open(context.Background(), options("controller"))
	if err != nil {
		t.Fatal(err)
	}
	h := &holder{log: l, img: img}
	r.AtEnd(l.Close)
	if err := s.perform(r, h, "controller", "as"); err != nil { // points do not stop yet
		t.Fatal(err)
	}
	r.Go(func() {
		if err := s.perform(r, h, "controller", b.script); err != nil && !base.IsKind(err, base.Fenced) {
			r.Fail(fmt.Errorf("the controller: %w", err))
		}
	})
	for i := range b.challengers {
		who := fmt.Sprintf("challenger %d", i+1)
		r.Go(func() {
			l, img, err := Open(r.Context(), options(who))
			if err != nil {
				r.Fail(fmt.Errorf("%s: %w", who, err))
				return
			}
			defer l.Close()
			if err := s.perform(r, &holder{log: l, img: img}, who, b.then); err != nil && !base.IsKind(err, base.Fenced) {
				r.Fail(fmt.Errorf("%s: %w", who, err))
			}
		})
	}
}

// perform does what a controller does.
func (s *chainRun) perform(r *explore.Run, h *holder, who, script string) (err error) {
	for i, what := range script {
		r.Forget(who, "%s at %v, %d:", script[i:], h.log.Last(), h.img.Pos())
		switch what {
		case 'a':
			name := fmt.Sprintf("%s-%v", who, h.img.Pos())
			cmd := &meta.AlterConfigs{Changes: []meta.ConfigChange{{Kind: meta.GroupConfig, Name: name, Configs: map[string]string{"k": "v"}}}}
			if _, err = h.submit(cmd); err == nil {
				s.mu.Lock()
				s.mu.acked = append(s.mu.acked, name)
				s.mu.Unlock()
			}
		case 'r':
			var img *meta.Image
			if img, err = h.log.Roll(r.Context(), h.img); err == nil {
				h.img = img
			}
		case 's':
			j := h.log.Snapshot(h.img)
			var size int64
			size, err = j.Run(r.Context())
			h.log.Finished(j, size, err)
		}
		if err != nil {
			r.Forget(who, "failed")
			return err
		}
	}
	r.Forget(who, "done")
	return nil
}

// check demands that whoever starts now, as after a crash of everybody at this moment, finds everything that was acknowledged.
func (s *chainRun) check() error {
	reader, err := OpenReader(context.Background(), Options{Store: s.store})
	if err != nil {
		return fmt.Errorf("I1: the log cannot be read: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	found := map[string]bool{}
	for c := range reader.Image().ConfigResources(meta.GroupConfig) {
		found[c.Name] = true
	}
	for _, name := range s.mu.acked {
		if !found[name] {
			return fmt.Errorf("I1: %s was acknowledged and is lost", name)
		}
	}
	return nil
}

func (b chainBounds) model(t *testing.T, strays *int) *explore.Replay {
	return &explore.Replay{
		Clock: true,
		Start: func(r *explore.Run) { b.start(t, r) },
		Key: func(r *explore.Run, dst []byte) []byte {
			s := r.State.(*chainRun)
			s.mu.Lock()
			defer s.mu.Unlock()
			for info := range s.store.List(context.Background(), "", "") {
				dst = fmt.Append(dst, info.Key, s.who[info.Key], ";")
			}
			return dst
		},
		Check: func(r *explore.Run) error {
			s := r.State.(*chainRun)
			s.mu.Lock()
			if s.mu.stray {
				*strays++
			}
			s.mu.Unlock()
			return s.check()
		},
		End: func(r *explore.Run) error {
			if !r.Idle() {
				return errors.New("somebody is stuck")
			}
			return nil
		},
	}
}

func TestChain(t *testing.T) {
	if testing.Short() {
		t.Skip("the race detector looks at other tests of this package")
	}
	bounds := []chainBounds{{1, "ra", "a", ""}, {1, "a", "rasrs", ""}}
	if explore.Deep() {
		bounds = append(bounds, chainBounds{1, "rasrs", "a", ""}, chainBounds{2, "", "a", ""})
	}
	for _, b := range bounds {
		began, strays := time.Now(), 0
		res := b.model(t, &strays).Explore(t, explore.Limit{States: 20_000})
		t.Logf("%+v: %v %v; in %d a seal lies in a trimmed slot", b, res, time.Since(began).Round(time.Millisecond), strays)
		if res.Found != nil || !res.Complete && !explore.Deep() {
			t.Errorf("%v, %v", res, res.Found)
		}
	}
}

// TestChainMistakes: each mistake that is planted is found.
func TestChainMistakes(t *testing.T) {
	if testing.Short() {
		t.Skip("the race detector looks at other tests of this package")
	}
	for _, b := range []chainBounds{{0, "rasrs", "", slotZeroGone}, {1, "rasrs", "a", laterZeroGone}, {1, "a", "rasrs", sealsGone}} {
		var strays int
		m := b.mistake
		res := b.model(t, &strays).Explore(t, explore.Limit{States: 20_000})
		if res.Found == nil {
			t.Errorf("%s: not found in %v", m, res)
			continue
		}
		t.Logf("%s: found in %v: %v", m, res, res.Found)
	}
}
