package conform

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"sluice/base"
	"sluice/storage/objstore/driver"
)

// Options fit the suite to a store's speed.
type Options struct {
	Many      int      // objects in the listing tests; 0: 1100, more than one page of S3
	BigBytes  int      // size of the biggest object; 0: 40 MiB, more than two parts of a multipart upload
	RaceRound int      // rounds of the put-if-absent race; 0: 20
	Only      []string // the tests to run; nil: all
}

// Run runs the suite with defaults. open is called once per test and returns an empty store.
func Run(t *testing.T, open func(t *testing.T) driver.Store) { RunWith(t, Options{}, open) }

// RunWith runs the suite.
func RunWith(t *testing.T, opt Options, open func(t *testing.T) driver.Store) {
	if opt.Many == 0 {
		opt.Many = 1100
	}
	if opt.BigBytes == 0 {
		opt.BigBytes = 40 << 20
	}
	if opt.RaceRound == 0 {
		opt.RaceRound = 20
	}
	for _, test := range []struct {
		name string
		run  func(*suite)
	}{
		{"PutGet", (*suite).putGet},
		{"Ranges", (*suite).ranges},
		{"Missing", (*suite).missing},
		{"Overwrite", (*suite).overwrite},
		{"IfAbsent", (*suite).ifAbsent},
		{"IfAbsentRace", (*suite).ifAbsentRace},
		{"Big", (*suite).big},
		{"BigIfAbsent", (*suite).bigIfAbsent},
		{"BodyIsFreeAfterPut", (*suite).bodyIsFree},
		{"Delete", (*suite).delete},
		{"BadKeys", (*suite).badKeys},
		{"OddKeys", (*suite).oddKeys},
		{"ListOrder", (*suite).listOrder},
		{"ListMany", (*suite).listMany},
		{"ListWhilePutting", (*suite).listWhilePutting},
		{"AtomicReplace", (*suite).atomicReplace},
		{"CancelledContext", (*suite).cancelled},
	} {
		if opt.Only != nil && !slices.Contains(opt.Only, test.name) {
			continue
		}
		t.Run(test.name, func(t *testing.T) {
			test.run(&suite{T: t, Store: open(t), opt: opt, rng: rand.New(rand.NewPCG(1, 2))})
		})
	}
}

type suite struct {
	*testing.T
	driver.Store
	opt Options
	rng *rand.Rand
}

// String settles which of the two embedded types is meant.
func (s *suite) String() string { return s.Store.String() }

func (s *suite) put(key string, body ...[]byte) {
	s.Helper()
	if err := s.Put(s.Context(), key, body, driver.PutOptions{}); err != nil {
		s.Fatalf("put %s: %v", key, err)
	}
}

func (s *suite) want(key string, want []byte) {
	s.Helper()
	got, err := s.Get(s.Context(), key, 0, -1, nil)
	if err != nil || !bytes.Equal(got, want) {
		s.Fatalf("get %s: %d bytes, error %v; want %d bytes, equal %v", key, len(got), err, len(want), bytes.Equal(got, want))
	}
}

func (s *suite) wantKind(err error, kind base.Kind) {
	s.Helper()
	if err == nil || base.KindOf(err) != kind {
		s.Fatalf("got error %v, want kind %v", err, kind)
	}
}

func (s *suite) keys(prefix, after string) []string {
	s.Helper()
	var keys []string
	for info, err := range s.List(s.Context(), prefix, after) {
		if err != nil {
			s.Fatalf("list %q after %q: %v", prefix, after, err)
		}
		keys = append(keys, info.Key)
	}
	return keys
}

func (s *suite) random(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(s.rng.Uint32())
	}
	return b
}

func (s *suite) putGet() {
	for _, body := range [][][]byte{nil, {nil}, {[]byte("x")}, {[]byte("ab"), nil, []byte("c")}, {s.random(5000), s.random(1), s.random(200_000)}} {
		whole := bytes.Join(body, nil)
		key := fmt.Sprintf("dir/object-%d", len(whole))
		s.put(key, body...)
		s.want(key, whole)
		info, err := s.Stat(s.Context(), key)
		if err != nil || info.Key != key || info.Size != int64(len(whole)) || info.Modified.IsZero() {
			s.Fatalf("stat %s: %+v, %v", key, info, err)
		}
	}
	if s.String() == "" {
		s.Fatal("a store has a URL")
	}
}

func (s *suite) ranges() {
	body := s.random(1000)
	s.put("r/o", body)
	for _, r := range [][2]int64{{0, 1}, {0, 1000}, {1, 998}, {999, 1}, {500, -1}, {0, -1}, {1000, -1}, {1000, 0}} {
		end := r[0] + r[1]
		if r[1] < 0 {
			end = 1000
		}
		got, err := s.Get(s.Context(), "r/o", r[0], r[1], []byte("kept"))
		if err != nil || string(got) != "kept"+string(body[r[0]:end]) {
			s.Fatalf("range %v: %d bytes, %v", r, len(got), err)
		}
	}
	for _, r := range [][2]int64{{0, 1001}, {999, 2}, {1000, 1}, {1001, -1}, {5000, 10}} {
		got, err := s.Get(s.Context(), "r/o", r[0], r[1], []byte("kept"))
		if s.wantKind(err, base.OutOfRange); string(got) != "kept" {
			s.Fatalf("range %v: dst became %q", r, got)
		}
	}
	_, err := s.Get(s.Context(), "r/o", -1, 10, nil)
	s.wantKind(err, base.Invalid)
	roomy := make([]byte, 10, 2000)
	got, err := s.Get(s.Context(), "r/o", 0, 1000, roomy)
	if err != nil || &got[0] != &roomy[0] {
		s.Fatalf("a dst with room is extended in place: %v", err)
	}
}

func (s *suite) missing() {
	_, err := s.Get(s.Context(), "no/such", 0, -1, nil)
	s.wantKind(err, base.NotFound)
	_, err = s.Get(s.Context(), "no/such", 5, 10, nil)
	s.wantKind(err, base.NotFound)
	_, err = s.Stat(s.Context(), "no/such")
	s.wantKind(err, base.NotFound)
	s.put("no/such/thing", []byte("x"))
	_, err = s.Stat(s.Context(), "no/such")
	s.wantKind(err, base.NotFound)
	if keys := s.keys("other/", ""); len(keys) != 0 {
		s.Fatalf("an empty prefix holds %q", keys)
	}
}

func (s *suite) overwrite() {
	s.put("o", []byte("first, and longer"))
	s.put("o", []byte("second"))
	s.want("o", []byte("second"))
	s.put("o")
	s.want("o", nil)
}

func (s *suite) ifAbsent() {
	opt := driver.PutOptions{IfAbsent: true}
	if err := s.Put(s.Context(), "a/slot", [][]byte{[]byte("first")}, opt); err != nil {
		s.Fatal(err)
	}
	s.wantKind(s.Put(s.Context(), "a/slot", [][]byte{[]byte("second")}, opt), base.Exists)
	s.wantKind(s.Put(s.Context(), "a/slot", [][]byte{[]byte("first")}, opt), base.Exists)
	s.want("a/slot", []byte("first"))
	if err := s.Delete(s.Context(), "a/slot"); err != nil {
		s.Fatal(err)
	}
	if err := s.Put(s.Context(), "a/slot", [][]byte{[]byte("third")}, opt); err != nil {
		s.Fatalf("after a delete the key is free: %v", err)
	}
	s.want("a/slot", []byte("third"))
}

// ifAbsentRace lets writers race for one key: one wins, all others learn it, and the winner's bytes are there. A store may leave
// a loser undetermined, which then puts again.
func (s *suite) ifAbsentRace() {
	for round := range s.opt.RaceRound {
		key := fmt.Sprintf("race/%04d", round)
		var winners atomic.Int32
		var winner atomic.Value
		var wg sync.WaitGroup
		for w := range 8 {
			wg.Go(func() {
				body := bytes.Repeat([]byte{byte('a' + w)}, 1+w*100)
				switch err := putUntilKnown(s.Context(), s.Store, key, body); {
				case err == nil:
					winners.Add(1)
					winner.Store(body)
				case base.KindOf(err) != base.Exists:
					s.Errorf("round %d: %v", round, err)
				}
			})
		}
		wg.Wait()
		// A loser's undetermined attempt may itself have been the winner, so none may know of its victory.
		if n := winners.Load(); n > 1 {
			s.Fatalf("round %d: %d winners", round, n)
		} else if n == 1 {
			s.want(key, winner.Load().([]byte))
		} else if _, err := s.Stat(s.Context(), key); err != nil {
			s.Fatalf("round %d: nobody won: %v", round, err)
		}
	}
}

func putUntilKnown(ctx context.Context, st driver.Store, key string, body []byte) error {
	for {
		err := st.Put(ctx, key, [][]byte{body}, driver.PutOptions{IfAbsent: true})
		if k := base.KindOf(err); err == nil || k != base.Undetermined && k != base.Unavailable || ctx.Err() != nil {
			return err
		}
	}
}

// pieces cuts b into segments of many sizes.
func (s *suite) pieces(b []byte) [][]byte {
	var out [][]byte
	for len(b) > 0 {
		n := min(len(b), 1+s.rng.IntN(1<<s.rng.IntN(23)))
		out = append(out, b[:n])
		b = b[n:]
	}
	return out
}

func (s *suite) big() {
	body := bytes.Repeat(s.random(1<<16+1), s.opt.BigBytes/(1<<16)+1)[:s.opt.BigBytes]
	s.put("big/one", s.pieces(body)...)
	s.want("big/one", body)
	from := int64(len(body)/2 - 77)
	n := int64(len(body) / 4)
	got, err := s.Get(s.Context(), "big/one", from, n, nil)
	if err != nil || !bytes.Equal(got, body[from:from+n]) {
		s.Fatalf("range of a big object: %v", err)
	}
}

func (s *suite) bigIfAbsent() {
	opt := driver.PutOptions{IfAbsent: true}
	body := bytes.Repeat(s.random(1<<16), s.opt.BigBytes/(1<<16))
	if err := s.Put(s.Context(), "big/slot", s.pieces(body), opt); err != nil {
		s.Fatal(err)
	}
	other := bytes.Repeat([]byte("other"), len(body)/5)
	s.wantKind(s.Put(s.Context(), "big/slot", [][]byte{other}, opt), base.Exists)
	s.wantKind(s.Put(s.Context(), "big/slot", [][]byte{[]byte("small")}, opt), base.Exists)
	s.want("big/slot", body)
	s.put("big/small", []byte("small"))
	s.wantKind(s.Put(s.Context(), "big/small", [][]byte{other}, opt), base.Exists)
	s.want("big/small", []byte("small"))
}

func (s *suite) bodyIsFree() {
	body := s.random(100_000)
	want := bytes.Clone(body)
	s.put("free/o", body[:10], body[10:])
	clear(body)
	s.want("free/o", want)
	got, _ := s.Get(s.Context(), "free/o", 0, -1, nil)
	clear(got) // what Get returned belongs to the caller
	s.want("free/o", want)
}

func (s *suite) delete() {
	for _, key := range []string{"d/1", "d/2", "d/3"} {
		s.put(key, []byte(key))
	}
	for range 2 {
		if err := s.Delete(s.Context(), "d/1", "d/3", "d/never", "never/at/all"); err != nil {
			s.Fatal(err)
		}
	}
	if keys := s.keys("", ""); !slices.Equal(keys, []string{"d/2"}) {
		s.Fatalf("left: %q", keys)
	}
	if err := s.Delete(s.Context()); err != nil {
		s.Fatal(err)
	}
}

func (s *suite) badKeys() {
	long := string(bytes.Repeat([]byte("x"), driver.MaxKey+1))
	for _, key := range []string{"", "/", "/a", "a/", "a//b", ".", "..", "a/../b", "a/.tmp", ".hidden", "a b", "ä", "a\\b", "a\x00b", long} {
		ctx := s.Context()
		s.wantKind(s.Put(ctx, key, nil, driver.PutOptions{}), base.Invalid)
		s.wantKind(s.Put(ctx, key, nil, driver.PutOptions{IfAbsent: true}), base.Invalid)
		_, err := s.Get(ctx, key, 0, 1, nil)
		s.wantKind(err, base.Invalid)
		_, err = s.Stat(ctx, key)
		s.wantKind(err, base.Invalid)
		s.wantKind(s.Delete(ctx, key), base.Invalid)
	}
}

func (s *suite) oddKeys() {
	keys := []string{"a", "b+c", "b%2Fc", "b&c=d?e", "b'\"c", "b#c", "b~c", "x/" + string(bytes.Repeat([]byte("y"), 200)), "b:c", "b*c", "b<c>|", "b;c,d@e!$(f)[g]{h}^`"}
	slices.Sort(keys)
	for _, key := range keys {
		s.put(key, []byte(key))
	}
	for _, key := range keys {
		s.want(key, []byte(key))
	}
	if got := s.keys("", ""); !slices.Equal(got, keys) {
		s.Fatalf("listed %q\nwant   %q", got, keys)
	}
	if err := s.Delete(s.Context(), keys...); err != nil || len(s.keys("", "")) != 0 {
		s.Fatalf("left %q, %v", s.keys("", ""), err)
	}
}

// listOrder mixes depths and bytes around the slash, where the order of directories and that of keys differ.
func (s *suite) listOrder() {
	keys := []string{
		"a-b/x", "a-b/y", "a/b-c/1", "a/b/c/d/e", "a/b/c/d/f", "a/b.c", "a/b0", "a/b0c", "a/c", "a.b/x", "a0/1", "a0/2/3", "ab", "b/0000", "b/0001", "b/0001x", "A/z", "zz",
	}
	for _, i := range s.rng.Perm(len(keys)) {
		s.put(keys[i], []byte(keys[i]))
	}
	slices.Sort(keys)
	prefixes := []string{"", "a", "a/", "a/b", "a/b/", "a/b/c/d/e", "a-", "b/000", "b/0001", "zz", "zzz", "a/b/c/x", "0", "~"}
	afters := append([]string{"", "a/", "a/b", "a/b/", "a/b/c/d/e/f", "a0", "b/0000~", "zzz", "!", "~"}, keys...)
	for _, prefix := range prefixes {
		for _, after := range afters {
			var want []string
			for _, key := range keys {
				if len(key) >= len(prefix) && key[:len(prefix)] == prefix && key > after {
					want = append(want, key)
				}
			}
			if got := s.keys(prefix, after); !slices.Equal(got, want) {
				s.Fatalf("list %q after %q:\ngot  %q\nwant %q", prefix, after, got, want)
			}
		}
	}
	for info, err := range s.List(s.Context(), "a", "") {
		if err != nil || info.Size != int64(len(info.Key)) || info.Modified.IsZero() {
			s.Fatalf("listed %+v, %v", info, err)
		}
	}
}

func (s *suite) listMany() {
	var want []string
	for i := range s.opt.Many {
		want = append(want, fmt.Sprintf("many/%02x/%06d", i%7, i))
	}
	slices.Sort(want)
	each(8, want, func(key string) { s.put(key, []byte("x")) })
	if got := s.keys("many/", ""); !slices.Equal(got, want) {
		s.Fatalf("listed %d of %d objects", len(got), len(want))
	}
	middle := len(want) / 3
	if got := s.keys("many/", want[middle]); !slices.Equal(got, want[middle+1:]) {
		s.Fatalf("listed %d objects after the %dth of %d", len(got), middle, len(want))
	}
	n := 0
	for range s.List(s.Context(), "many/", "") {
		if n++; n == 3 {
			break // a listing may be left
		}
	}
	if err := s.Delete(s.Context(), want...); err != nil {
		s.Fatal(err)
	}
	if got := s.keys("", ""); len(got) != 0 {
		s.Fatalf("%d objects left", len(got))
	}
}

// each calls f for every item, n at a time.
func each(n int, items []string, f func(string)) {
	var next atomic.Int64
	var wg sync.WaitGroup
	for range n {
		wg.Go(func() {
			for i := next.Add(1) - 1; i < int64(len(items)); i = next.Add(1) - 1 {
				f(items[i])
			}
		})
	}
	wg.Wait()
}

// listWhilePutting: what was there before a listing began and stays is listed, whatever happens around it.
func (s *suite) listWhilePutting() {
	var fixed []string
	for i := range 50 {
		fixed = append(fixed, fmt.Sprintf("w/%03d/fixed", i))
		s.put(fixed[i], nil)
	}
	ctx, cancel := context.WithCancel(s.Context())
	var wg sync.WaitGroup
	for g := range 2 {
		wg.Go(func() {
			for i := 0; ctx.Err() == nil; i++ {
				key := fmt.Sprintf("w/%03d/%d-moving", i%50, g)
				if err := s.Put(s.Context(), key, nil, driver.PutOptions{}); err != nil {
					s.Errorf("put: %v", err)
				}
				if err := s.Delete(s.Context(), key); err != nil {
					s.Errorf("delete: %v", err)
				}
			}
		})
	}
	for range 5 {
		got := s.keys("w/", "")
		if !slices.IsSorted(got) || len(slices.Compact(slices.Clone(got))) != len(got) {
			s.Errorf("not ascending: %q", got)
		}
		got = slices.DeleteFunc(got, func(key string) bool { return key[len(key)-5:] != "fixed" })
		if !slices.Equal(got, fixed) {
			s.Errorf("%d of %d lasting objects listed", len(got), len(fixed))
		}
	}
	cancel()
	wg.Wait()
}

// atomicReplace: a reader sees one put whole.
func (s *suite) atomicReplace() {
	s.put("at/o", bytes.Repeat([]byte{'a'}, 3000))
	done := make(chan struct{})
	go func() {
		defer close(done)
		for i := range 30 {
			s.put("at/o", bytes.Repeat([]byte{byte('a' + i%26)}, 1000), bytes.Repeat([]byte{byte('a' + i%26)}, 2000))
		}
	}()
	for reading := true; reading; {
		select {
		case <-done:
			reading = false
		default:
		}
		got, err := s.Get(s.Context(), "at/o", 0, -1, nil)
		if err != nil || len(got) != 3000 || bytes.Count(got, got[:1]) != 3000 {
			s.Errorf("torn read: %d bytes, %v", len(got), err)
			break
		}
	}
	<-done
}

func (s *suite) cancelled() {
	ctx, cancel := context.WithCancel(s.Context())
	cancel()
	retriable := func(err error) {
		s.Helper()
		if k := base.KindOf(err); err == nil || k != base.Unavailable && k != base.Undetermined {
			s.Fatalf("got %v, want kind unavailable or undetermined", err)
		}
	}
	retriable(s.Put(ctx, "c/o", nil, driver.PutOptions{}))
	_, err := s.Get(ctx, "c/o", 0, -1, nil)
	retriable(err)
	_, err = s.Stat(ctx, "c/o")
	retriable(err)
	retriable(s.Delete(ctx, "c/o"))
	for _, err = range s.List(ctx, "", "") {
	}
	retriable(err)
	if !errors.Is(err, context.Canceled) {
		s.Fatalf("the cause is kept: %v", err)
	}
}
