//go:build unix

package etcd_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"sluice/base"
	"sluice/storage/objstore/conform"
	"sluice/storage/objstore/driver"
	"sluice/storage/objstore/etcd"
	"sluice/storage/objstore/retry"
	"sluice/test/etcdtest"
)

func open(t *testing.T, url string) *etcd.Store {
	t.Helper()
	s, err := etcd.Open(url)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func limit(t *testing.T, d time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	return ctx
}

// With three members, each asked in turn, the suite holds as well.
func TestConformOnThreeMembers(t *testing.T) {
	conform.RunWith(t, conform.Options{BigBytes: 5 << 20}, opener(etcdtest.StartThree(t)...))
}

// Answers are lost, and the retry store repeats what may be repeated: nobody notices but by time.
func TestConformThroughLostAnswers(t *testing.T) {
	server := etcdtest.Start(t)
	proxy := etcdtest.StartProxy(t, server, 1)
	proxy.LoseAnswers(0.1)
	var n atomic.Int32
	// The tests of IfAbsent want a first put to be answered; those of package slotlog are about puts that are not.
	conform.RunWith(t, conform.Options{BigBytes: 5 << 20, Only: []string{"PutGet", "Overwrite", "IfAbsentRace", "Big", "Delete", "ListMany", "AtomicReplace"}}, func(t *testing.T) driver.Store {
		s := open(t, fmt.Sprintf("etcd://%s/lossy-%d", proxy.Client, n.Add(1)))
		return retry.New(s, retry.Options{Min: time.Millisecond, Max: 5 * time.Millisecond})
	})
	if proxy.Lost() == 0 {
		t.Fatal("no answer was lost")
	}
}

// Large objects are put, replaced, deleted and read at once: whoever reads one reads all of one put, and no part is left over in the end.
func TestLargeObjectsRace(t *testing.T) {
	server := etcdtest.Start(t)
	s := open(t, etcdtest.URL("race", server))
	ctx := limit(t, time.Minute)
	var wg sync.WaitGroup
	var read, replaced, exists atomic.Int64
	var writers atomic.Int32
	writers.Store(4)
	for w := range 6 {
		rng := rand.New(rand.NewPCG(uint64(w), 5))
		wg.Go(func() {
			if w < 4 {
				defer writers.Add(-1)
			}
			for n := 0; n < 25 || w > 3 && writers.Load() > 0; n++ {
				var err error
				switch w {
				case 0, 1, 2:
					body := bytes.Repeat([]byte{byte('a' + rng.IntN(26))}, 1+rng.IntN(5<<19)) // one to three parts
					err = s.Put(ctx, "k", [][]byte{body}, driver.PutOptions{IfAbsent: w == 0})
				case 3:
					err = s.Delete(ctx, "k")
				default:
					var got []byte
					if got, err = s.Get(ctx, "k", 0, -1, nil); err == nil {
						read.Add(1)
						if n := bytes.Count(got, got[:1]); n != len(got) {
							t.Errorf("a mixture: %d of %d bytes are %q", n, len(got), got[:1])
						}
					}
				}
				switch base.KindOf(err) {
				case base.Exists:
					exists.Add(1)
				case base.Unavailable: // parts were removed under a put, or a read was overtaken again and again
					replaced.Add(1)
				default:
					if err != nil && !base.IsKind(err, base.NotFound) {
						t.Error(err)
					}
				}
			}
		})
	}
	wg.Wait()
	t.Logf("%d reads, %d overtaken, %d exist", read.Load(), replaced.Load(), exists.Load())
	if read.Load() == 0 {
		t.Error("nothing was ever read")
	}
	if err := s.Delete(ctx, "k"); err != nil {
		t.Fatal(err)
	}
	if n := countKeys(t, server, "race/"); n != 0 {
		t.Errorf("%d keys are left", n)
	}
}

// call does a request of etcd's own gateway.
func call(t *testing.T, s *etcdtest.Server, token, path string, in, out any) {
	t.Helper()
	b, err := json.Marshal(in)
	if err != nil {
		t.Fatal(err)
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+s.Client+path, bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	if token != "" {
		req.Header.Set("Authorization", token)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("%s: %d %s %v", path, resp.StatusCode, text, err)
	}
	if out == nil {
		return
	}
	if err := json.Unmarshal(text, out); err != nil {
		t.Fatal(err)
	}
}

func countKeys(t *testing.T, s *etcdtest.Server, prefix string) int {
	t.Helper()
	end := []byte(prefix)
	end[len(end)-1]++
	var out struct {
		Count int `json:"count,string"`
	}
	call(t, s, "", "/v3/kv/range", map[string]any{"key": []byte(prefix), "range_end": end, "count_only": true}, &out)
	return out.Count
}

// A user may have the prefix and nothing else; the token is fetched, and fetched again when etcd has forgotten it.
func TestUsers(t *testing.T) {
	server := etcdtest.Start(t)
	grant := func(user, password, role, prefix string) {
		end := []byte(prefix)
		end[len(end)-1]++
		call(t, server, "", "/v3/auth/user/add", map[string]any{"name": user, "password": password}, nil)
		call(t, server, "", "/v3/auth/role/add", map[string]any{"name": role}, nil)
		call(t, server, "", "/v3/auth/role/grant", map[string]any{"name": role, "perm": map[string]any{"permType": "READWRITE", "key": []byte(prefix), "range_end": end}}, nil)
		call(t, server, "", "/v3/auth/user/grant", map[string]any{"user": user, "role": role}, nil)
	}
	grant("root", "r", "root", "\x01")
	grant("sluice", "p@ss/word", "sluice", "mine/")
	host := strings.TrimSuffix(strings.TrimPrefix(etcdtest.URL("x", server), "etcd://"), "/x")
	ctx := limit(t, time.Minute)
	if err := open(t, "etcd://sluice:no@"+host+"/mine").Put(ctx, "k", nil, driver.PutOptions{}); !base.IsKind(err, base.Invalid) {
		t.Errorf("a user where there are none: %v", err)
	}
	call(t, server, "", "/v3/auth/enable", map[string]any{}, nil)

	s := open(t, "etcd://sluice:p%40ss%2Fword@"+host+"/mine")
	if strings.Contains(s.String(), "word") || strings.Contains(s.String(), "sluice") {
		t.Errorf("the store calls itself %s", s)
	}
	if err := s.Put(ctx, "k", [][]byte{[]byte("first")}, driver.PutOptions{IfAbsent: true}); err != nil {
		t.Fatal(err)
	}
	for name, url := range map[string]string{"nobody": "etcd://" + host + "/mine", "a wrong password": "etcd://sluice:s3cret@" + host + "/mine", "another prefix": "etcd://sluice:p%40ss%2Fword@" + host + "/yours"} {
		err := open(t, url).Put(ctx, "k", nil, driver.PutOptions{})
		if !base.IsKind(err, base.Invalid) || strings.Contains(err.Error(), "s3cret") || strings.Contains(err.Error(), "ss/word") {
			t.Errorf("%s: %v", name, err)
		}
	}
	server.Kill() // which forgets the tokens
	if err := server.Restart(ctx); err != nil {
		t.Fatal(err)
	}
	again := retry.New(s, retry.Options{Min: time.Millisecond, Max: 10 * time.Millisecond})
	if got, err := again.Get(ctx, "k", 0, -1, nil); err != nil || string(got) != "first" {
		t.Fatalf("%q, %v", got, err)
	}
	if err := s.Put(ctx, "k", nil, driver.PutOptions{IfAbsent: true}); !base.IsKind(err, base.Exists) {
		t.Errorf("got %v", err)
	}
	conform.RunWith(t, conform.Options{BigBytes: 3 << 20, Only: []string{"PutGet", "Big", "Missing"}}, func(*testing.T) driver.Store { return s })
}

// What an etcd with other limits refuses is said so that somebody can do something about it.
func TestLimits(t *testing.T) {
	ctx := limit(t, time.Minute)
	small := open(t, etcdtest.URL("small", etcdtest.Start(t, "--max-request-bytes", "100000")))
	if err := small.Put(ctx, "k", [][]byte{make([]byte, 90_000)}, driver.PutOptions{}); err != nil {
		t.Fatal(err)
	}
	if err := small.Put(ctx, "k", [][]byte{make([]byte, 200_000)}, driver.PutOptions{}); !base.IsKind(err, base.Invalid) || !strings.Contains(err.Error(), "--max-request-bytes") {
		t.Errorf("too large for this etcd: %v", err)
	}
	if err := small.Put(ctx, "k", [][]byte{make([]byte, 121<<20)}, driver.PutOptions{}); !base.IsKind(err, base.Invalid) {
		t.Errorf("too large for any etcd: %v", err)
	}
	full := open(t, etcdtest.URL("full", etcdtest.Start(t, "--quota-backend-bytes", "8000000")))
	var err error
	for i := 0; err == nil && i < 100; i++ {
		err = full.Put(ctx, fmt.Sprint(i), [][]byte{make([]byte, 500_000)}, driver.PutOptions{IfAbsent: true})
	}
	if !base.IsKind(err, base.Undetermined) || !strings.Contains(err.Error(), "compact") {
		t.Errorf("a full etcd: %v (%v)", err, base.KindOf(err))
	}
}

// The leader of three is killed, then hangs: puts go on with the others, and of what was confirmed nothing is lost.
func TestTheLeaderIsLost(t *testing.T) {
	servers := etcdtest.StartThree(t)
	s := retry.New(open(t, etcdtest.URL("ha", servers...)), retry.Options{})
	ctx := limit(t, 2*time.Minute)
	puts := 0
	put := func(n int) {
		t.Helper()
		for range n {
			puts++
			if err := putUntilKnown(ctx, s, fmt.Sprintf("%06d", puts)); err != nil {
				t.Fatal(err)
			}
		}
	}
	leader := func() *etcdtest.Server {
		t.Helper()
		for {
			for _, m := range servers {
				var status struct {
					Header struct {
						Member string `json:"member_id"`
					} `json:"header"`
					Leader string `json:"leader"`
				}
				call(t, m, "", "/v3/maintenance/status", map[string]any{}, &status)
				if status.Leader == status.Header.Member {
					return m
				}
			}
		}
	}
	put(20)
	lost := leader()
	lost.Kill()
	began := time.Now()
	put(1)
	t.Logf("the first put after the leader was killed took %v", time.Since(began).Round(time.Millisecond))
	put(20)
	if err := lost.Restart(ctx); err != nil {
		t.Fatal(err)
	}
	lost = leader()
	if err := lost.Pause(); err != nil {
		t.Fatal(err)
	}
	began = time.Now()
	put(1)
	t.Logf("the first put after the leader was paused took %v", time.Since(began).Round(time.Millisecond))
	put(20)
	if err := lost.Resume(); err != nil {
		t.Fatal(err)
	}
	put(20)
	n := 0
	for info, err := range s.List(ctx, "", "") {
		if n++; err != nil || info.Key != fmt.Sprintf("%06d", n) {
			t.Fatalf("object %d: %+v, %v", n, info, err)
		}
	}
	if n != puts {
		t.Fatalf("%d objects of %d", n, puts)
	}
}

// putUntilKnown puts as a slot is put: until it is known that the object is there with these bytes.
func putUntilKnown(ctx context.Context, s driver.Store, key string) error {
	for {
		err := s.Put(ctx, key, [][]byte{[]byte(key)}, driver.PutOptions{IfAbsent: true})
		switch {
		case err == nil:
			return nil
		case base.IsKind(err, base.Exists):
			got, err := s.Get(ctx, key, 0, -1, nil)
			if err == nil && string(got) != key {
				err = fmt.Errorf("%s holds %q", key, got)
			}
			return err
		case ctx.Err() != nil || !base.IsKind(err, base.Undetermined):
			return err
		}
	}
}
