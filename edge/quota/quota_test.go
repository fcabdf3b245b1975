package quota

import (
	"fmt"
	"maps"
	"math"
	"net/netip"
	"testing"
	"time"

	"pgregory.net/rapid"

	"sluice/base"
)

// clock is a clock that stands still.
type clock struct{ at time.Time }

func (c *clock) now() time.Time { return c.at }

func newManager(values map[string]map[string]string) (*Manager, *clock) {
	c := &clock{time.Unix(1_000_000, 0)}
	m := New(Options{Now: c.now})
	m.Update(maps.All(values))
	return m, c
}

func TestEntities(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var parts []Part
		for _, kind := range rapid.SampledFrom([][]string{{User}, {ClientID}, {User, ClientID}, {ClientID, User}}).Draw(t, "kinds") {
			p := Part{Type: kind, Default: rapid.Bool().Draw(t, "default")}
			if !p.Default {
				p.Name = rapid.StringMatching(`(.|\n|[&=%+ ]){1,20}`).Draw(t, "name")
			}
			parts = append(parts, p)
		}
		e, err := NewEntity(parts...)
		if err != nil {
			t.Fatal(err)
		}
		back, err := ParseEntity(e.String())
		if err != nil || fmt.Sprint(back) != fmt.Sprint(e) {
			t.Fatalf("%v is %q is %v, %v", e, e.String(), back, err)
		}
	})
	for _, bad := range [][]Part{{}, {{Type: "color", Name: "x"}}, {{Type: User}}, {{Type: User, Name: "a"}, {Type: User, Name: "b"}}, {{Type: IP, Name: "here"}}, {{Type: IP, Name: "::1"}, {Type: User, Name: "a"}}} {
		if _, err := NewEntity(bad...); base.KindOf(err) != base.Invalid {
			t.Errorf("%v: %v", bad, err)
		}
	}
}

func FuzzParseEntity(f *testing.F) {
	f.Add("client-id=a%20b&user")
	f.Add("ip=::1")
	f.Fuzz(func(t *testing.T, s string) {
		e, err := ParseEntity(s)
		if err != nil {
			return
		}
		if back, err := ParseEntity(e.String()); err != nil || fmt.Sprint(back) != fmt.Sprint(e) {
			t.Fatalf("%q: %v, %v", s, back, err)
		}
	})
}

func TestWhichLimitApplies(t *testing.T) {
	all := map[string]map[string]string{}
	order := []string{"client-id=c&user=u", "client-id&user=u", "user=u", "client-id=c&user", "client-id&user", "user", "client-id=c", "client-id"}
	shared := []string{"client-id=c&user=u", "client-id=c&user=u", "user=u", "client-id=c&user=u", "client-id=c&user=u", "user=u", "client-id=c", "client-id=c"}
	for i, e := range order {
		all[e] = map[string]string{ProducerRate: fmt.Sprint(1000 + i)}
	}
	for i, e := range order {
		limit, who, ok := newLimits(maps.All(all)).find(Produce, "u", "c")
		if !ok || limit != float64(1000+i) || who != shared[i] {
			t.Errorf("without the first %d: limit %v of %s", i, limit, who)
		}
		delete(all, e)
	}
	if l := newLimits(maps.All(all)); l.any {
		t.Error("there is no limit left")
	}
}

func TestCheckLimit(t *testing.T) {
	user, _ := NewEntity(Part{Type: User, Default: true})
	ip, _ := NewEntity(Part{Type: IP, Default: true})
	for _, tc := range []struct {
		e     Entity
		key   string
		value float64
		ok    bool
	}{
		{user, ProducerRate, 1, true}, {user, ProducerRate, 1.5, false}, {user, ProducerRate, 0, false}, {user, ProducerRate, -1, false}, {user, ProducerRate, math.NaN(), false},
		{user, ProducerRate, 1e20, false}, {user, RequestPercent, 0.5, true}, {user, MutationRate, 0.1, true}, {user, ConnectionRate, 1, false}, {user, "no_such_rate", 1, false},
		{ip, ConnectionRate, 5, true}, {ip, ConnectionRate, 1e10, false}, {ip, ProducerRate, 5, false},
	} {
		if err := CheckLimit(tc.e, tc.key, tc.value); (err == nil) != tc.ok {
			t.Errorf("%s %s %v: %v", tc.e, tc.key, tc.value, err)
		}
	}
}

// TestSharedCounts: two clients of one user share his limit; under a limit for each client id they do not.
func TestSharedCounts(t *testing.T) {
	m, _ := newManager(map[string]map[string]string{"user": {ProducerRate: "1000"}, "client-id": {ConsumerRate: "1000"}})
	if m.Client("u", "a").Add(Produce, 9000) != 0 {
		t.Error("9000 in 10 s are below 1000 a second")
	}
	if m.Client("u", "b").Add(Produce, 9000) == 0 || m.Client("v", "b").Add(Produce, 9000) != 0 {
		t.Error("a user's limit is shared by his clients, and by nobody else")
	}
	if m.Client("u", "a").Add(Fetch, 9000) != 0 || m.Client("u", "b").Add(Fetch, 9000) != 0 || m.Client("v", "b").Add(Fetch, 9000) == 0 {
		t.Error("a client id's limit is shared by the users")
	}
	if m.Client("u", "a").AtOnce(Fetch) != 10_000 || m.Client("u", "a").AtOnce(Mutation) != math.MaxInt {
		t.Error("what may be had at once")
	}
}

func TestChangedLimitKeepsTheCount(t *testing.T) {
	m, _ := newManager(map[string]map[string]string{"user=u": {ProducerRate: "1000"}})
	m.Client("u", "a").Add(Produce, 9000)
	m.Update(maps.All(map[string]map[string]string{"user=u": {ProducerRate: "500"}}))
	if m.Client("u", "a").Add(Produce, 1) == 0 {
		t.Error("9001 in 10 s are above 500 a second")
	}
	m.Update(func(func(string, map[string]string) bool) {})
	if m.Client("u", "a") != nil {
		t.Error("no limits, nothing to count")
	}
}

func TestMutations(t *testing.T) {
	m, c := newManager(map[string]map[string]string{"user": {MutationRate: "1"}})
	u := m.Client("u", "")
	if ok, wait := u.Mutate(20, true); !ok || wait != 0 {
		t.Fatal("as long as there are tokens all of a request is allowed", ok, wait)
	}
	if ok, wait := u.Mutate(1, true); ok || wait != 9*time.Second { // 11 tokens there were
		t.Fatal(ok, wait)
	}
	if ok, wait := u.Mutate(1, false); !ok || wait != 10*time.Second {
		t.Fatal(ok, wait)
	}
	c.at = c.at.Add(10 * time.Second)
	if ok, wait := u.Mutate(1, true); !ok || wait != 0 {
		t.Fatal(ok, wait)
	}
}

func TestCPUTime(t *testing.T) {
	m, c := newManager(map[string]map[string]string{"user": {RequestPercent: "10"}})
	u := m.Client("u", "")
	u.Busy(time.Second) // of the 10 s before: 10 %
	if d := u.Tired(); d != 0 {
		t.Fatal(d)
	}
	u.Busy(time.Second)
	if d := u.Tired(); d != time.Second {
		t.Fatalf("%v, at most one window is told", d)
	}
	c.at = c.at.Add(11 * time.Second)
	if d := u.Tired(); d != 0 {
		t.Fatal(d)
	}
}

func TestConnections(t *testing.T) {
	m, c := newManager(map[string]map[string]string{"ip": {ConnectionRate: "2"}, "ip=10.0.0.1": {ConnectionRate: "1"}})
	a, b := netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("::ffff:10.0.0.2")
	welcome := func(from netip.Addr) (n int) {
		for range 100 {
			if _, refuse := m.Connection(from, 0); refuse == 0 {
				n++
			}
		}
		return n
	}
	if na, nb := welcome(a), welcome(b); na != 10 || nb != 20 {
		t.Fatal(na, nb)
	}
	c.at = c.at.Add(time.Minute)
	if n := welcome(a); n != 10 {
		t.Fatalf("%d after a minute: those that were refused do not count", n)
	}
	var pauses time.Duration
	for range 12 {
		pause, _ := m.Connection(netip.MustParseAddr("10.0.0.3"), 1)
		pauses += pause
	}
	if pauses == 0 {
		t.Error("the broker's own limit is not kept")
	}
}

// TestBounded: client ids that nobody uses any more make room.
func TestBounded(t *testing.T) {
	m, _ := newManager(map[string]map[string]string{"client-id": {ProducerRate: "1000"}})
	for i := range sensorsMax + 500 {
		m.Client("u", fmt.Sprint(i)).Add(Produce, 1)
	}
	if n := len(m.mu.sensors); n > sensorsMax {
		t.Fatal(n)
	}
}

func TestWithoutLimitsNothingIsAllocated(t *testing.T) {
	m := New(Options{})
	if n := testing.AllocsPerRun(100, func() {
		c := m.Client("ANONYMOUS", "client")
		c.Add(Produce, 1000)
		if c.Limited(Request) || c.Tired() != 0 {
			t.Fail()
		}
	}); n != 0 {
		t.Error(n)
	}
}

func BenchmarkWithoutLimits(b *testing.B) {
	m := New(Options{})
	for b.Loop() {
		m.Client("ANONYMOUS", "client").Add(Produce, 1000)
	}
}

func BenchmarkWithLimits(b *testing.B) {
	m := New(Options{})
	m.Update(maps.All(map[string]map[string]string{"user": {ProducerRate: "1e12"}}))
	for b.Loop() {
		m.Client("ANONYMOUS", "client").Add(Produce, 1000)
	}
}
