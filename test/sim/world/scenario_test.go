package world

import (
	"bytes"
	"testing"
)

// A scenario is the same after it was written and read, and every one that a seed makes can be run.
func TestScenarioFile(t *testing.T) {
	for seed := range uint64(200) {
		s := NewScenario(seed)
		back, err := ParseScenario(s.JSON())
		if err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		if !bytes.Equal(back.JSON(), s.JSON()) {
			t.Fatalf("seed %d: %s became %s", seed, s.JSON(), back.JSON())
		}
	}
	for _, bad := range []string{`{}`, `{"Brokers": 1, "Colour": 2}`, `{"Pause": "long"}`} {
		if s, err := ParseScenario([]byte(bad)); err == nil {
			t.Errorf("%s became %v", bad, s)
		}
	}
}

// A seed is made a world of any kind, and of a thousand that choose for themselves there are some of each.
func TestKinds(t *testing.T) {
	drawn := map[Kind]int{}
	for seed := range uint64(1000) {
		drawn[NewScenario(seed).Kind()]++
	}
	for _, kind := range []Kind{Dense, Long, Days} {
		if drawn[kind] < 3 {
			t.Errorf("%d of 1000 worlds are %s", drawn[kind], kind)
		}
		if s := NewScenarioOf(kind, 7); s.Kind() != kind || s.Check() != nil {
			t.Errorf("a world that is to be %s is %s, %v", kind, s.Kind(), s.Check())
		}
		if !Known(string(kind)) {
			t.Errorf("%s is not known", kind)
		}
	}
	if Known("week") {
		t.Error("there are worlds of weeks")
	}
}
