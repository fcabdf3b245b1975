package differential

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"sluice/test/broker"
)

// schema is a request as wire/msg/schema.json has it.
type schema struct {
	Key      int16
	Kind     string
	Name     string
	Valid    string
	Flexible string
	Fields   []field
}

type field struct {
	Name     string
	Type     string
	Versions string
	Nullable string
	Tagged   string
	Tag      *uint32
	Default  string
	Fields   []field
}

// elem is the type of the elements of an array.
func (f field) elem() (field, bool) {
	t, array := strings.CutPrefix(f.Type, "[]")
	f.Type = t
	return f, array
}

// in reports whether a span such as "3+", "2-5", "none" holds a version.
func in(span string, v int16) bool {
	if span == "" || span == "none" {
		return false
	}
	first, open := strings.CutSuffix(span, "+")
	from, to, isRange := strings.Cut(first, "-")
	lo, err := strconv.Atoi(from)
	if err != nil {
		panic("a span that is none: " + span)
	}
	switch {
	case open:
		return int(v) >= lo
	case isRange:
		hi, err := strconv.Atoi(to)
		return err == nil && int(v) >= lo && int(v) <= hi
	default:
		return int(v) == lo
	}
}

// loadSchemas returns the requests by key.
func loadSchemas() (map[int16]schema, error) {
	text, err := os.ReadFile(filepath.Join(broker.Root(), "wire/msg/schema.json"))
	if err != nil {
		return nil, err
	}
	var all []schema
	if err := json.Unmarshal(text, &all); err != nil {
		return nil, fmt.Errorf("schema.json: %w", err)
	}
	requests := map[int16]schema{}
	for _, s := range all {
		if s.Kind == "request" {
			requests[s.Key] = s
		}
	}
	return requests, nil
}
