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
