package differential

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"

	"sluice/test/twin"
	"sluice/wire/msg"
)

// entry is a difference that is meant: patterns of "API version path", of the request, and of both values. An empty pattern matches everything.
type entry struct {
	where, request, kafka, sluice *regexp.Regexp

	// twice are fields; the request has an array with the same one of them twice. None: that does not matter.
	twice []string

	why string
	// covers says that everything in which this answer differs comes of it.
	covers bool

	ends bool // what follows in a sequence is not compared: the brokers' states differ from here on
	// same says that it is about what both answer alike, which ends a sequence too where it leaves the brokers in different states.
	same bool
	seen int
}

// loadDifferences reads differences.txt: entries of lines `key: value`, with empty lines between them.
func loadDifferences(name string) ([]*entry, error) {
	text, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	var all []*entry
	e := &entry{}
	for n, line := range append(strings.Split(string(text), "\n"), "") {
		line = strings.TrimSpace(line)
		switch {
		case strings.HasPrefix(line, "#"):
			continue
		case line == "":
			if e.where != nil {
				if e.why == "" {
					return nil, fmt.Errorf("%s:%d: no reason is given", name, n)
				}
				all = append(all, e)
			}
			e = &entry{}
			continue
		}
		key, value, _ := strings.Cut(line, ": ")
		if err := e.set(key, value); err != nil {
			return nil, fmt.Errorf("%s:%d: %w", name, n+1, err)
		}
	}
	return all, nil
}

func (e *entry) set(key, value string) (err error) {
	switch key {
	case "where":
		e.where, err = regexp.Compile(value)
	case "request":
		e.request, err = regexp.Compile(value)
	case "kafka":
		e.kafka, err = regexp.Compile("^(?s:" + value + ")$")
	case "sluice":
		e.sluice, err = regexp.Compile("^(?s:" + value + ")$")
	case "twice":
		e.twice = strings.Split(value, ", ")
	case "why":
		e.why = value
	case "ends":
		e.ends = value == "true"
	case "same":
		e.same, e.ends = value == "true", true
	case "covers":
		e.covers = value == "true"
	default:
		err = fmt.Errorf("no such key: %q", key)
	}
	return err
}

func (e *entry) matches(st step, d twin.Difference) bool {
	is := func(p *regexp.Regexp, s string) bool { return p == nil || p.MatchString(s) }
	if !is(e.where, fmt.Sprintf("%s %d %s", msg.Name(st.Key), st.Version, d.Path)) || !is(e.kafka, d.Kafka) || !is(e.sluice, d.Sluice) || !is(e.request, encodeStep(st)) {
		return false
	}
	return len(e.twice) == 0 || slices.ContainsFunc(e.twice, func(field string) bool { return hasTwice(st.Body, field) })
}

// hasTwice reports whether two elements of an array in v have the same in a field, or are the same in an array of that name.
func hasTwice(v tree, field string) bool {
	switch x := v.(type) {
	case object:
		for name, part := range x {
			if name == field && repeats(list(part)) || hasTwice(part, field) {
				return true
			}
		}
	case []any:
		var held []tree
		for _, one := range x {
			if o, ok := one.(object); ok && o[field] != nil {
				held = append(held, o[field])
			}
		}
		return repeats(held) || slices.ContainsFunc(x, func(one tree) bool { return hasTwice(one, field) })
	}
	return false
}

// repeats reports whether two values are written the same way.
func repeats(all []any) bool {
	seen := map[string]bool{}
	for _, one := range all {
		text := fmt.Sprint(one)
		if seen[text] {
			return true
		}
		seen[text] = true
	}
	return false
}

// encodeStep writes a step as a line.
func encodeStep(st step) string {
	b, err := json.Marshal(struct {
		API string
		step
	}{msg.Name(st.Key), st})
	if err != nil {
		return err.Error()
	}
	return string(b)
}

// decodeSteps reads lines of steps.
func decodeSteps(text []byte) (steps []step, err error) {
	for line := range bytes.Lines(text) {
		if line = bytes.TrimSpace(line); len(line) == 0 || line[0] != '{' {
			continue
		}
		d := json.NewDecoder(bytes.NewReader(line))
		d.UseNumber()
		var st step
		if err := d.Decode(&st); err != nil {
			return nil, err
		}
		steps = append(steps, st)
	}
	return steps, nil
}
