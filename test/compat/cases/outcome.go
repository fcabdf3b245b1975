package cases

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// outcome is what a program says of one case: ok, fail or skip, and why. What follows an ok is an answer that has to be the same on both brokers.
type outcome struct {
	word string
	why  string
}

// features are the rows of the table.
var features = []string{
	"produce", "compression", "headers", "keys-partitioning", "idempotence", "transactions", "consume", "offsets", "groups-classic",
	"groups-consumer", "groups-share", "static-membership", "admin-topics", "admin-configs", "admin-groups", "admin-offsets", "admin-acls",
	"admin-quotas", "admin-misc", "errors", "timestamps", "large-messages", "metadata", "security", "tools", "own-suite",
}

// maxAnswer bounds a line.
const maxAnswer = 1 << 20

// parseRun reads what a program printed.
func parseRun(out []byte) (map[string]outcome, error) {
	all := map[string]outcome{}
	done := false
	s := bufio.NewScanner(bytes.NewReader(out))
	s.Buffer(nil, maxAnswer)
	for s.Scan() {
		words := strings.SplitN(s.Text(), " ", 4)
		switch {
		case words[0] == "done" && len(words) == 2:
			if n, err := strconv.Atoi(words[1]); err != nil || n != len(all) {
				return all, fmt.Errorf("%q after %d cases", s.Text(), len(all))
			}
			done = true
		case words[0] == "case" && len(words) >= 3 && !done:
			if err := addCase(all, words); err != nil {
				return all, err
			}
		default:
			return all, fmt.Errorf("not a line of a case: %q", s.Text())
		}
	}
	if err := s.Err(); err != nil {
		return all, err
	}
	if !done {
		return all, fmt.Errorf("it ended after %d cases, without `done`", len(all))
	}
	return all, nil
}

func addCase(all map[string]outcome, words []string) error {
	feature, name, _ := strings.Cut(words[1], "/")
	if !slices.Contains(features, feature) || name == "" {
		return fmt.Errorf("%s: no such feature", words[1])
	}
	if _, twice := all[words[1]]; twice {
		return fmt.Errorf("%s twice", words[1])
	}
	if !slices.Contains([]string{"ok", "fail", "skip"}, words[2]) {
		return fmt.Errorf("%s: %q is no outcome", words[1], words[2])
	}
	one := outcome{word: words[2]}
	if len(words) == 4 {
		one.why = words[3]
	}
	all[words[1]] = one
	return nil
}

// verdict is what became of a case on the two brokers.
type verdict string

const (
	same    verdict = "ok"             // on both
	differs verdict = "sluice-differs" // ok on Apache Kafka alone
	better  verdict = "kafka-differs"  // ok on Sluice alone
	broken  verdict = "fails-on-both"
	lacking verdict = "skip" // on both

	otherwise verdict = "answers-differ" // ok on both, and what was answered is not the same
)

// firstDifference shows two answers from where they part.
func firstDifference(sluice, kafka string) string {
	i := 0
	for i < min(len(sluice), len(kafka)) && sluice[i] == kafka[i] {
		i++
	}
	from := max(0, i-100)
	part := func(s string) string { return s[min(from, len(s)):min(i+300, len(s))] }
	return fmt.Sprintf("sluice: …%s; kafka: …%s", part(sluice), part(kafka))
}

// compare returns the verdict of each case, and what was said where it is not ok.
func compare(sluice, kafka map[string]outcome) (map[string]verdict, map[string]string, []string) {
	verdicts, said, wrong := map[string]verdict{}, map[string]string{}, []string(nil)
	for name := range kafka {
		if _, ok := sluice[name]; !ok {
			wrong = append(wrong, name+": only Apache Kafka's run printed it")
		}
	}
	for name, s := range sluice {
		k, ok := kafka[name]
		switch {
		case !ok:
			wrong = append(wrong, name+": only Sluice's run printed it")
		case s.word == "ok" && k.word == "ok" && s.why != k.why:
			verdicts[name] = otherwise
			said[name] = firstDifference(s.why, k.why)
			continue
		case s.word == "ok" && k.word == "ok":
			verdicts[name] = same
		case s.word == "skip" && k.word == "skip":
			verdicts[name] = lacking
		case k.word == "ok":
			verdicts[name] = differs
		case s.word == "ok":
			verdicts[name] = better
		default:
			verdicts[name] = broken
		}
		said[name] = fmt.Sprintf("sluice: %s %s; kafka: %s %s", s.word, s.why, k.word, k.why)
	}
	slices.Sort(wrong)
	return verdicts, said, wrong
}

// results are the verdicts of all clients: client, then case.
type results map[string]map[string]verdict

// readResults reads a folder with a file for each client.
func readResults(dir string) (results, error) {
	files, err := filepath.Glob(filepath.Join(dir, "*.txt"))
	if err != nil {
		return nil, err
	}
	all := results{}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		one := map[string]verdict{}
		for line := range strings.Lines(string(text)) {
			name, v, _ := strings.Cut(strings.TrimSpace(line), " ")
			one[name] = verdict(v)
		}
		all[strings.TrimSuffix(filepath.Base(file), ".txt")] = one
	}
	return all, nil
}

// writeResult writes the file of one client.
func writeResult(dir, client string, verdicts map[string]verdict) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	var b strings.Builder
	for _, name := range sortedNames(verdicts) {
		fmt.Fprintf(&b, "%s %s\n", name, verdicts[name])
	}
	return os.WriteFile(filepath.Join(dir, client+".txt"), []byte(b.String()), 0o644)
}
