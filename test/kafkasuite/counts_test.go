package kafkasuite

import (
	"cmp"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"sluice/test/broker"
)

// counts of tests by outcome.
type counts struct{ ran, passed, failed, aborted, classesLeftOut int }

func countsOf(all []result) counts {
	var c counts
	for _, r := range all {
		switch r.outcome {
		case passes:
			c.passed++
		case fails:
			c.failed++
		case aborts:
			c.aborted++
		case leftOut:
			c.classesLeftOut++
		}
	}
	c.ran = c.passed + c.failed + c.aborted
	return c
}

func (c counts) String() string {
	return fmt.Sprintf("%d tests: %d passed, %d failed, %d aborted; %d classes left out", c.ran, c.passed, c.failed, c.aborted, c.classesLeftOut)
}

// begin and end enclose what writeDocs writes.
const (
	begin = "<!-- counts of Apache Kafka's own tests: written by SLUICE_KAFKASUITE_WRITE=1 make kafka-tests -->\n"
	end   = "<!-- end of the counts -->\n"
)

// writeDocs puts the counts and the reasons into docs/compatibility.md, from the last report of each class: nothing if there is none of one that is to run.
func writeDocs(t *testing.T, reports string, classes map[string]bool, expected list) {
	t.Helper()
	var seen []result
	for _, class := range slices.Sorted(maps.Keys(classes)) {
		if l := expected[class]; l != nil && l.outcome == leftOut {
			seen = append(seen, result{class: class, outcome: leftOut, why: l.reason})
			continue
		}
		text, err := os.ReadFile(filepath.Join(reports, class+".xml"))
		if err != nil {
			t.Logf("docs/compatibility.md stays as it is: %v", err)
			return
		}
		got, err := readReport(text)
		if err != nil {
			t.Fatal(err)
		}
		seen = append(seen, got...)
	}
	file := filepath.Join(broker.Root(), "docs", "compatibility.md")
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	head, rest, ok := strings.Cut(string(text), begin)
	_, tail, ok2 := strings.Cut(rest, end)
	if !ok || !ok2 {
		t.Fatalf("%s has no place for the counts", file)
	}
	if err := os.WriteFile(file, []byte(head+begin+tables(seen, expected)+end+tail), 0o644); err != nil {
		t.Fatal(err)
	}
}

func tables(seen []result, expected list) string {
	var b strings.Builder
	b.WriteString("\n| tests of | run | passed | failed | left out while running | classes left out whole |\n|---|---|---|---|---|---|\n")
	groups := map[string][]result{}
	for _, r := range seen {
		g := "command-line tools (kafka-tools)"
		if strings.HasPrefix(r.class, "org.apache.kafka.clients.") || strings.HasPrefix(r.class, "org.apache.kafka.server.") {
			g = "clients (kafka-clients-integration-tests)"
		} else if strings.HasPrefix(r.class, "org.apache.kafka.streams.") {
			g = "Kafka Streams (kafka-streams-integration-tests)"
		} else if strings.HasPrefix(r.class, "org.apache.kafka.connect.") {
			g = "Kafka Connect and MirrorMaker (connect-runtime, connect-mirror)"
		} else if strings.HasPrefix(r.class, "kafka.") {
			g = "Kafka's core (kafka_2.13), some classes"
		}
		groups[g] = append(groups[g], r)
	}
	groups["all"] = seen
	for _, g := range slices.SortedFunc(maps.Keys(groups), func(a, b string) int {
		return cmp.Or(cmp.Compare(len(groups[a])/len(seen), len(groups[b])/len(seen)), cmp.Compare(a, b))
	}) {
		c := countsOf(groups[g])
		fmt.Fprintf(&b, "| %s | %d | %d | %d | %d | %d |\n", g, c.ran, c.passed, c.failed, c.aborted, c.classesLeftOut)
	}
	for _, o := range []struct {
		outcome outcome
		head    string
	}{{fails, "why tests fail | tests"}, {aborts, "what tests that were left out ask for | tests"}, {leftOut, "why classes were not run | classes"}} {
		reasons := map[string]int{}
		for _, r := range seen {
			if r.outcome != o.outcome {
				continue
			}
			why := r.why
			if l := expected.find(r.class, r.method); l != nil {
				why = l.reason
			}
			reasons[why]++
		}
		if len(reasons) == 0 {
			continue
		}
		fmt.Fprintf(&b, "\n| %s |\n|---|---|\n", o.head)
		for _, why := range slices.SortedFunc(maps.Keys(reasons), func(a, b string) int {
			return cmp.Or(cmp.Compare(reasons[b], reasons[a]), cmp.Compare(a, b))
		}) {
			fmt.Fprintf(&b, "| %s | %d |\n", strings.ReplaceAll(why, "|", "\\|"), reasons[why])
		}
	}
	b.WriteString("\n")
	return b.String()
}
