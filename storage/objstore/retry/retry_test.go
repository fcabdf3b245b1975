package retry_test

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"sluice/base"
	"sluice/storage/objstore/conform"
	"sluice/storage/objstore/driver"
	"sluice/storage/objstore/fault"
	"sluice/storage/objstore/mem"
	"sluice/storage/objstore/retry"
)

func TestConform(t *testing.T) {
	conform.RunWith(t, conform.Options{BigBytes: 1 << 20}, func(*testing.T) driver.Store { return retry.New(mem.New(), retry.Options{}) })
}

// TestConformThroughThrottling: with 503s in the way, users of the store notice nothing.
func TestConformThroughThrottling(t *testing.T) {
	conform.RunWith(t, conform.Options{BigBytes: 1 << 20, Many: 3500}, func(t *testing.T) driver.Store {
		faulty := fault.New(mem.New(), 1, fault.Rule{Name: "slow down", Prob: 0.2, Effect: fault.Refuse})
		return retry.New(faulty, retry.Options{Min: time.Microsecond, Max: 10 * time.Microsecond})
	})
}

func TestWhatIsRepeated(t *testing.T) {
	for _, c := range []struct {
		effect   fault.Effect
		kind     base.Kind
		ifAbsent bool
		want     base.Kind // Unknown: success
		fired    int
	}{
		{fault.Refuse, base.Unavailable, false, base.Unknown, 3},
		{fault.Refuse, base.Unavailable, true, base.Unknown, 3},
		{fault.LoseAnswer, base.Unknown, false, base.Unknown, 3},
		{fault.LoseAnswer, base.Unknown, true, base.Undetermined, 1},
		{fault.Refuse, base.Invalid, false, base.Invalid, 1},
		{fault.Refuse, base.Exists, true, base.Exists, 1},
	} {
		synctest.Test(t, func(t *testing.T) {
			s := fault.New(mem.New(), 1, fault.Rule{Name: "f", Times: 3, Effect: c.effect, Kind: c.kind})
			err := retry.New(s, retry.Options{}).Put(t.Context(), "k", nil, driver.PutOptions{IfAbsent: c.ifAbsent})
			if c.want == base.Unknown && err != nil || c.want != base.Unknown && !base.IsKind(err, c.want) {
				t.Errorf("%+v: %v", c, err)
			}
			if s.Fired("f") != c.fired {
				t.Errorf("%+v: %d attempts met the fault", c, s.Fired("f"))
			}
		})
	}
}

func TestAnOutageEndsByItself(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := fault.New(mem.New(), 1, fault.Outage())
		time.AfterFunc(time.Minute, func() { s.SetRules() })
		begun := time.Now()
		if err := retry.New(s, retry.Options{}).Put(t.Context(), "k", nil, driver.PutOptions{}); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(begun); took < time.Minute || took > time.Minute+time.Second {
			t.Fatalf("came back after %v", took)
		}
		if n := s.Fired("outage"); n > 300 {
			t.Fatalf("%d requests in a minute of outage", n)
		}
	})
}

func TestTheContextEndsIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := retry.New(fault.New(mem.New(), 1, fault.Outage()), retry.Options{})
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := s.Stat(ctx, "k"); !base.IsKind(err, base.Unavailable) {
			t.Fatalf("got %v", err)
		}
		for _, err := range s.List(ctx, "", "") {
			if !base.IsKind(err, base.Unavailable) {
				t.Fatalf("got %v", err)
			}
		}
	})
}

func TestAListingGoesOnWhereItBrokeOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		inner := mem.New()
		for i := range 5500 {
			_ = inner.Put(t.Context(), fmt.Sprintf("%05d", i), nil, driver.PutOptions{})
		}
		faulty := fault.New(inner, 1, fault.Rule{Name: "page", Op: fault.List, Prob: 0.5, Effect: fault.Refuse})
		n := 0
		for info, err := range retry.New(faulty, retry.Options{}).List(t.Context(), "", "") {
			if err != nil || info.Key != fmt.Sprintf("%05d", n) {
				t.Fatalf("object %d: %+v, %v", n, info, err)
			}
			n++
		}
		if n != 5500 || faulty.Fired("page") == 0 {
			t.Fatalf("%d objects, %d faults", n, faulty.Fired("page"))
		}
	})
}

func TestMetrics(t *testing.T) {
	reg := prometheus.NewRegistry()
	s := retry.New(mem.New(), retry.Options{Registerer: reg})
	retry.New(mem.New(), retry.Options{Registerer: reg}) // a second store shares them
	if err := s.Put(t.Context(), "k", [][]byte{make([]byte, 100)}, driver.PutOptions{IfAbsent: true}); err != nil {
		t.Fatal(err)
	}
	if err := s.Put(t.Context(), "k", nil, driver.PutOptions{IfAbsent: true}); !base.IsKind(err, base.Exists) {
		t.Fatal(err)
	}
	if _, err := s.Get(t.Context(), "k", 10, 20, nil); err != nil {
		t.Fatal(err)
	}
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]float64{}
	for _, f := range families {
		for _, m := range f.Metric {
			name := f.GetName()
			for _, l := range m.Label {
				name += " " + l.GetValue()
			}
			got[name] = m.Counter.GetValue()
		}
	}
	for name, want := range map[string]float64{
		"sluice_objstore_requests_total put ok":     1,
		"sluice_objstore_requests_total put exists": 1,
		"sluice_objstore_requests_total get ok":     1,
		"sluice_objstore_bytes_total put":           100,
		"sluice_objstore_bytes_total get":           20,
	} {
		if n, ok := got[name]; !ok || n != want {
			t.Errorf("%s = %v, want %v", name, n, want)
		}
	}
}
