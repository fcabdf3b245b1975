package twin

import (
	"maps"
	"slices"
	"strings"
)

// Difference is a line in which two answers differ; an empty value is absent. An answer that is there on one side only differs in the empty path.
type Difference struct {
	Path, Kafka, Sluice string
}

// String is one line.
func (d Difference) String() string {
	return d.Path + ": kafka " + orAbsent(d.Kafka) + ", sluice " + orAbsent(d.Sluice)
}

func orAbsent(s string) string {
	if s == "" {
		return "(absent)"
	}
	return s
}

// Compare lists where two rendered answers differ. The line of an empty path is the error of an answer that did not come.
func Compare(kafka, sluice map[string]string) (out []Difference) {
	if (kafka[""] == "") != (sluice[""] == "") {
		return []Difference{{Kafka: Brief(kafka), Sluice: Brief(sluice)}}
	}
	paths := map[string]bool{}
	for p := range kafka {
		paths[p] = true
	}
	for p := range sluice {
		paths[p] = true
	}
	for _, p := range slices.Sorted(maps.Keys(paths)) {
		k, inKafka := kafka[p]
		s, inSluice := sluice[p]
		if k == s && inKafka == inSluice || missingAbove(p, kafka, sluice) {
			continue
		}
		out = append(out, Difference{p, k, s})
	}
	return out
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

// Brief shows an answer in a line.
func Brief(lines map[string]string) string {
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
