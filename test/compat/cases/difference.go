package cases

import (
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
)

// difference is a line `CLIENT CASE: REASON` of differences.txt. CLIENT may be *, for all clients, or end with *, for all whose name starts so.
type difference struct {
	client, name, reason string
}

func readDifferences(file string) ([]difference, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	var all []difference
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		head, reason, ok := strings.Cut(line, ": ")
		client, name, two := strings.Cut(head, " ")
		if !ok || !two || strings.TrimSpace(reason) == "" {
			return nil, fmt.Errorf("%s: %q is not `CLIENT CASE: REASON`", file, line)
		}
		all = append(all, difference{client, name, strings.TrimSpace(reason)})
	}
	return all, nil
}

func (d difference) covers(client, name string) bool {
	prefix, open := strings.CutSuffix(d.client, "*")
	return d.name == name && (d.client == client || open && strings.HasPrefix(client, prefix))
}

// reasonOf returns why a case differs, "" if no line says so.
func reasonOf(all []difference, client, name string) string {
	for _, d := range all {
		if d.covers(client, name) {
			return d.reason
		}
	}
	return ""
}

// check says what is wrong with the verdicts of a client, as the list has it.
func check(all []difference, client string, verdicts map[string]verdict, said map[string]string) (wrong []string) {
	for _, name := range sortedNames(verdicts) {
		v := verdicts[name]
		reason := reasonOf(all, client, name)
		switch {
		case v == same || v == lacking:
			if reason != "" {
				wrong = append(wrong, fmt.Sprintf("%s: %s, and differences.txt has a line for it", name, v))
			}
		case reason == "":
			wrong = append(wrong, fmt.Sprintf("%s: %s, and no line of differences.txt says why. %s", name, v, said[name]))
		}
	}
	return wrong
}

// stale returns the lines of the list that no client needs.
func stale(all []difference, seen results) (wrong []string) {
	for _, d := range all {
		needed := false
		for client, verdicts := range seen {
			v, ok := verdicts[d.name]
			needed = needed || ok && v != same && v != lacking && d.covers(client, d.name)
		}
		if !needed {
			wrong = append(wrong, fmt.Sprintf("%s %s: no client needs this line", d.client, d.name))
		}
	}
	return wrong
}

func sortedNames(m map[string]verdict) []string { return slices.Sorted(maps.Keys(m)) }
