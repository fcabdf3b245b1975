package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// message is one of Kafka's message definitions, less its prose.
type message struct {
	Key      int16   `json:"key"` // -1 for schemas that are no request or response
	Kind     string  `json:"kind"`
	Name     string  `json:"name"`
	Valid    string  `json:"valid"`
	Flexible string  `json:"flexible"`
	Fields   []field `json:"fields"`
}

type field struct {
	Name     string  `json:"name"`
	Type     string  `json:"type"`
	Versions string  `json:"versions"`
	Nullable string  `json:"nullable,omitempty"`
	Tag      *int    `json:"tag,omitempty"`
	Tagged   string  `json:"tagged,omitempty"`
	Default  string  `json:"default,omitempty"`
	Flexible string  `json:"flexible,omitempty"` // where it differs from the message's
	Fields   []field `json:"fields,omitempty"`
}

// published is the form Kafka publishes.
type published struct {
	APIKey           *int16           `json:"apiKey"`
	Type             string           `json:"type"`
	Name             string           `json:"name"`
	ValidVersions    string           `json:"validVersions"`
	FlexibleVersions string           `json:"flexibleVersions"`
	Fields           []publishedField `json:"fields"`
	CommonStructs    []publishedField `json:"commonStructs"`
}

type publishedField struct {
	Name             string           `json:"name"`
	Type             string           `json:"type"`
	Versions         string           `json:"versions"`
	NullableVersions string           `json:"nullableVersions"`
	FlexibleVersions string           `json:"flexibleVersions"`
	TaggedVersions   string           `json:"taggedVersions"`
	Tag              *int             `json:"tag"`
	Default          any              `json:"default"`
	Fields           []publishedField `json:"fields"`
}

var comment = regexp.MustCompile(`(?m)^\s*//.*$|\s//[^"\n]*$`)

// distil reads the definitions of a folder and keeps those that sluice offers or stores.
func distil(dir string, keep []string) ([]message, error) {
	var out []message
	for _, name := range keep {
		raw, err := os.ReadFile(filepath.Join(dir, name+".json"))
		if err != nil {
			return nil, err
		}
		var p published
		if err := json.Unmarshal(comment.ReplaceAll(raw, nil), &p); err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		if p.ValidVersions == "none" {
			continue
		}
		m := message{Key: -1, Kind: p.Type, Name: p.Name, Valid: p.ValidVersions, Flexible: p.FlexibleVersions}
		if p.APIKey != nil {
			m.Key = *p.APIKey
		}
		common := map[string][]publishedField{}
		for _, c := range p.CommonStructs {
			common[c.Name] = c.Fields
		}
		m.Fields = distilFields(p.Fields, common)
		out = append(out, m)
	}
	slices.SortFunc(out, func(a, b message) int { return strings.Compare(a.Name, b.Name) })
	return out, nil
}

func distilFields(in []publishedField, common map[string][]publishedField) []field {
	var out []field
	for _, p := range in {
		f := field{Name: strings.ToUpper(p.Name[:1]) + p.Name[1:], Type: p.Type, Versions: p.Versions, Nullable: p.NullableVersions, Tag: p.Tag, Tagged: p.TaggedVersions, Flexible: p.FlexibleVersions}
		if p.Default != nil {
			f.Default = fmt.Sprint(p.Default)
		}
		fields := p.Fields
		if fields == nil {
			fields = common[strings.TrimPrefix(p.Type, "[]")]
		}
		f.Fields = distilFields(fields, common)
		out = append(out, f)
	}
	return out
}

// span is a range of versions, both ends included.
type span struct{ lo, hi int }

const openEnd = 1 << 14

func parseSpan(s string) span {
	switch {
	case s == "" || s == "none":
		return span{1, 0}
	case strings.HasSuffix(s, "+"):
		lo, _ := strconv.Atoi(strings.TrimSuffix(s, "+"))
		return span{lo, openEnd}
	case strings.Contains(s, "-"):
		a, b, _ := strings.Cut(s, "-")
		lo, _ := strconv.Atoi(a)
		hi, _ := strconv.Atoi(b)
		return span{lo, hi}
	default:
		n, _ := strconv.Atoi(s)
		return span{n, n}
	}
}

func (s span) empty() bool { return s.lo > s.hi }

func (s span) and(o span) span { return span{max(s.lo, o.lo), min(s.hi, o.hi)} }

// condition returns Go source for "v lies in s", given that it lies in within; "" for always and "false" for never.
func (s span) condition(within span) string {
	s = s.and(within)
	switch {
	case s.empty():
		return "false"
	case s.lo <= within.lo && s.hi >= within.hi:
		return ""
	case s.hi >= within.hi:
		return fmt.Sprintf("v >= %d", s.lo)
	case s.lo <= within.lo:
		return fmt.Sprintf("v <= %d", s.hi)
	case s.lo == s.hi:
		return fmt.Sprintf("v == %d", s.lo)
	default:
		return fmt.Sprintf("v >= %d && v <= %d", s.lo, s.hi)
	}
}
