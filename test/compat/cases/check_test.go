package cases

import (
	"slices"
	"strings"
	"testing"
)

func TestParseRun(t *testing.T) {
	for _, c := range []struct{ name, text, want string }{
		{"good", "case produce/a ok\ncase produce/b fail one two\ncase errors/c skip no\ndone 3\n", ""},
		{"cut off", "case produce/a ok\n", "without `done`"},
		{"another count", "case produce/a ok\ndone 2\n", "after 1 cases"},
		{"other text", "hello\ndone 0\n", "not a line"},
		{"after the end", "done 0\ncase produce/a ok\n", "not a line"},
		{"unknown feature", "case products/a ok\ndone 1\n", "no such feature"},
		{"twice", "case produce/a ok\ncase produce/a ok\ndone 2\n", "twice"},
		{"unknown word", "case produce/a fine\ndone 1\n", "no outcome"},
	} {
		got, err := parseRun([]byte(c.text))
		if c.want == "" && (err != nil || len(got) != 3 || got["produce/b"] != outcome{"fail", "one two"}) || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s: %v, %v, want %q", c.name, got, err, c.want)
		}
	}
}

// The list must notice what differs from it in each direction.
func TestDifferences(t *testing.T) {
	ok, fail := outcome{word: "ok"}, outcome{"fail", "why"}
	sluice := map[string]outcome{"produce/a": ok, "produce/b": fail, "produce/c": ok, "produce/d": fail, "produce/e": {word: "skip"}, "produce/f": {"ok", "one 1"}, "produce/g": {"ok", "same"}, "produce/x": ok}
	kafka := map[string]outcome{"produce/a": ok, "produce/b": ok, "produce/c": fail, "produce/d": fail, "produce/e": {word: "skip"}, "produce/f": {"ok", "one 2"}, "produce/g": {"ok", "same"}, "produce/y": ok}
	verdicts, said, wrong := compare(sluice, kafka)
	if want := []string{"produce/x: only Sluice's run printed it", "produce/y: only Apache Kafka's run printed it"}; !slices.Equal(wrong, want) {
		t.Errorf("%q, want %q", wrong, want)
	}
	listed := []difference{{"one", "produce/a", "r"}, {"o*", "produce/b", "r"}, {"two", "produce/c", "r"}}
	got := check(listed, "one", verdicts, said)
	want := []string{"produce/a: ok, and differences.txt", "produce/c: kafka-differs", "produce/d: fails-on-both", "produce/f: answers-differ, and no line of differences.txt says why. sluice: …one 1; kafka: …one 2"}
	if len(got) != len(want) {
		t.Fatalf("%q, want %q", got, want)
	}
	for i := range want {
		if !strings.HasPrefix(got[i], want[i]) {
			t.Errorf("%q, want %q", got[i], want[i])
		}
	}
	if got := stale(listed, results{"one": verdicts}); len(got) != 2 || !strings.HasPrefix(got[0], "one produce/a") || !strings.HasPrefix(got[1], "two produce/c") {
		t.Errorf("stale: %q", got)
	}
}

func TestRender(t *testing.T) {
	clients, err := parseClients("client: a-1\nabout: A\ncommand: x\n\nclient: b-2\nabout: B\ncommand: y\ntimeout: 3m\n", "dir")
	if err != nil || len(clients) != 2 || clients[1].Timeout.Minutes() != 3 {
		t.Fatalf("%v, %v", clients, err)
	}
	seen := results{"a-1": {"produce/x": same, "produce/y": differs, "errors/z": lacking}, "b-2": {"produce/x": same}}
	text := render(clients, seen, []difference{{"*", "produce/y", "because"}})
	for _, want := range []string{
		"**3 cases of 2 clients: 2 are ok on Sluice and on Apache Kafka 4.3, 1 differ.**", "| a-1 | A | 2 | 1 | 1 |",
		"| produce | 1 -1 | 1 |\n", "| produce/y | ok on Apache Kafka only | a-1 | because |",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
	page, err := replaceReport("a\n"+reportStart+"\nold\n"+reportEnd+"\nb\n", "new\n")
	if err != nil || page != "a\n"+reportStart+"\n\nnew\n\n"+reportEnd+"\nb\n" {
		t.Errorf("%q, %v", page, err)
	}
}
