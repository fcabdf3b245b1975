package parity

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
)

// scripts are all conversations, by name.
var scripts = map[string]func(*script){}

// alone names the scripts that run with no other beside them. Kafka's broker puts questions to a transaction coordinator that wait at the same time
// into one request, and the kind of the last one decides how the refusals of all are told.
var alone = []string{"txn-produce", "txn-unasked", "txn-markers", "txn-offsets", "txn-offsets-2"}

// add adds the scripts of a file.
func add(more map[string]func(*script)) bool {
	maps.Copy(scripts, more)
	return true
}

func TestParity(t *testing.T) {
	both := startBoth(t)
	t.Run("scripts", func(t *testing.T) {
		for _, name := range slices.Sorted(maps.Keys(scripts)) {
			t.Run(name, func(t *testing.T) {
				if !slices.Contains(alone, name) { // the others wait until these have ended
					t.Parallel()
				}
				compareScript(t, name, both)
			})
		}
	})
	for i := range deviations {
		if d := &deviations[i]; !d.seen.Load() && !t.Failed() && wholeRun() {
			t.Errorf("deviation %q (%s) does not occur any more", d.where, d.why)
		}
	}
}

// compareScript runs a script against both brokers at once.
func compareScript(t *testing.T, name string, both [2]*target) {
	var done [2]*script
	var errs [2]error
	var wg sync.WaitGroup
	for i, b := range both {
		wg.Go(func() { done[i], errs[i] = run(name, scripts[name], b) })
	}
	wg.Wait()
	for _, err := range errs {
		if err != nil {
			t.Error(err)
		}
	}
	compare(t, done[0].steps, done[1].steps)
}

// compare compares two runs of a script, step by step.
func compare(t *testing.T, kafka, sluice []step) {
	t.Helper()
	if len(kafka) != len(sluice) {
		t.Errorf("%d steps with kafka, %d with sluice", len(kafka), len(sluice))
	}
	for i := range min(len(kafka), len(sluice)) {
		k, s := kafka[i], sluice[i]
		if k.name != s.name {
			t.Fatalf("step %d is %q with kafka and %q with sluice", i, k.name, s.name)
		}
		if diff := differences(k, s); len(diff) > 0 {
			t.Errorf("%s:\n%s", k.name, strings.Join(diff, ""))
		}
	}
}

// differences lists where two answers differ and are not meant to.
func differences(kafka, sluice step) (out []string) {
	if (kafka.lines[""] == "") != (sluice.lines[""] == "") { // one has an answer, the other an error
		if !excused(kafka.name+" ", kafka.lines[""], sluice.lines[""]) {
			out = append(out, fmt.Sprintf("\tkafka: %s\n\tsluice: %s\n", brief(kafka.lines), brief(sluice.lines)))
		}
		return out
	}
	paths := map[string]bool{}
	for p := range kafka.lines {
		paths[p] = true
	}
	for p := range sluice.lines {
		paths[p] = true
	}
	for _, p := range slices.Sorted(maps.Keys(paths)) {
		k, inKafka := kafka.lines[p]
		s, inSluice := sluice.lines[p]
		if k == s && inKafka == inSluice || missingAbove(p, kafka.lines, sluice.lines) || excused(kafka.name+" "+p, k, s) {
			continue
		}
		out = append(out, fmt.Sprintf("\t%s: kafka %s, sluice %s\n", p, orAbsent(k), orAbsent(s)))
	}
	return out
}

func orAbsent(s string) string {
	if s == "" {
		return "(absent)"
	}
	return s
}

// missingAbove reports whether an element that path lies in is missing on one side, which is told once.
func missingAbove(path string, a, b map[string]string) bool {
	for i := range path {
		if path[i] != ']' || i+1 == len(path) {
			continue
		}
		if _, inA := a[path[:i+1]]; !inA {
			return true
		}
		if _, inB := b[path[:i+1]]; !inB {
			return true
		}
	}
	return false
}

// brief shows an answer in a line.
func brief(lines map[string]string) string {
	if e, ok := lines[""]; ok {
		return e
	}
	var all []string
	for _, p := range slices.Sorted(maps.Keys(lines)) {
		all = append(all, p+"="+lines[p])
	}
	text := strings.Join(all, " ")
	return text[:min(len(text), 600)]
}
