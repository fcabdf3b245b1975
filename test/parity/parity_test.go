package parity

import (
	"flag"
	"maps"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"

	"sluice/test/twin"
)

// scriptsAtOnce is how many scripts run at the same time: they mostly wait.
const scriptsAtOnce = "8"

func TestMain(m *testing.M) {
	flag.Parse()
	if f := flag.Lookup("test.parallel"); f != nil {
		_ = f.Value.Set(scriptsAtOnce)
	}
	os.Exit(m.Run())
}

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
	both := twin.StartBoth(t)
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
func compareScript(t *testing.T, name string, both [2]*twin.Target) {
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
	for _, d := range twin.Compare(kafka.lines, sluice.lines) {
		k, s := d.Kafka, d.Sluice
		if d.Path == "" { // one has an answer, the other an error
			k, s = kafka.lines[""], sluice.lines[""]
		}
		if !excused(kafka.name+" "+d.Path, k, s) {
			out = append(out, "\t"+d.String()+"\n")
		}
	}
	return out
}
