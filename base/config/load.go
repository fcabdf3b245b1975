package config

import (
	"fmt"
	"sort"
	"strings"

	"sluice/base"
)

// Value is one setting as somebody gave it.
type Value struct {
	Name string // as it was written; see Canonical
	Text string
	From string // where it was given, for messages: "flag", "environment", "sluice.conf:3"
}

// Canonical brings a setting's name into the one form in which names are compared: lower case with dashes.
func Canonical(name string) string {
	return strings.NewReplacer(".", "-", "_", "-").Replace(strings.ToLower(strings.TrimSpace(name)))
}

// EnvPrefix is what the name of every environment variable of a setting starts with.
const EnvPrefix = "SLUICE_"

// FromEnv picks the settings out of an environment (os.Environ). Variables with the prefix that name no setting are returned in
// unknown; they are no error, because container platforms invent such variables.
func FromEnv(environ []string) (values []Value, unknown []string) {
	for _, kv := range environ {
		name, text, _ := strings.Cut(kv, "=")
		key, ok := strings.CutPrefix(name, EnvPrefix)
		if !ok {
			continue
		}
		if Find(key) == nil {
			unknown = append(unknown, name)
			continue
		}
		values = append(values, Value{Name: key, Text: text, From: "environment variable " + name})
	}
	sort.Slice(values, func(i, j int) bool { return values[i].From < values[j].From })
	return values, unknown
}

// FromFile reads the lines "key = value" of a configuration file called name. Empty lines and lines that start with # are
// skipped, and a value may be put in double quotes. A key that names no setting is an error.
func FromFile(name, content string) ([]Value, error) {
	var values []Value
	for i, line := range strings.Split(content, "\n") {
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		from := fmt.Sprintf("%s:%d", name, i+1)
		key, text, ok := strings.Cut(line, "=")
		if !ok {
			return nil, base.Errorf(base.Invalid, "%s: %q is no setting; want key = value", from, line)
		}
		key, text = strings.TrimSpace(key), strings.TrimSpace(text)
		if n := len(text); n >= 2 && text[0] == '"' && text[n-1] == '"' {
			text = text[1 : n-1]
		}
		if Find(key) == nil {
			return nil, base.Errorf(base.Invalid, "%s: %s", from, unknownText(key))
		}
		values = append(values, Value{Name: key, Text: text, From: from})
	}
	return values, nil
}

// Resolve makes a configuration of the defaults and of what was given, the strongest source last. It checks everything.
func Resolve(sources ...[]Value) (*Config, error) {
	c := &Config{origin: map[string]string{}}
	for i := range settings {
		if err := settings[i].set(c, settings[i].Default); err != nil {
			panic(fmt.Sprintf("BUG: config: default of %s: %v", settings[i].Name, err))
		}
	}
	for _, values := range sources {
		for _, v := range values {
			s := Find(v.Name)
			if s == nil {
				return nil, base.Errorf(base.Invalid, "%s: %s", v.From, unknownText(v.Name))
			}
			if err := s.set(c, strings.TrimSpace(v.Text)); err != nil {
				return nil, base.Errorf(base.Invalid, "setting %s = %q (%s): %w", s.Name, v.Text, v.From, err)
			}
			c.origin[s.Name] = v.From
		}
	}
	return c, c.check()
}

// Origin says where the value of the named setting was given; "default" if nobody gave it.
func (c *Config) Origin(name string) string {
	if from, ok := c.origin[name]; ok {
		return from
	}
	return "default"
}

// unknownText says that there is no such setting, and which one was probably meant.
func unknownText(name string) string {
	best, bestAt := "", len(name)/2+1
	for _, s := range settings {
		if d := distance(Canonical(name), Canonical(s.Name)); d < bestAt {
			best, bestAt = s.Name, d
		}
	}
	if best == "" {
		return fmt.Sprintf("there is no setting %q; sluice config prints all", name)
	}
	return fmt.Sprintf("there is no setting %q; did you mean %s? (sluice config prints all)", name, best)
}

// distance is the number of letters to insert, delete or change to make a of b.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			change := diagonal
			if a[i] != b[j] {
				change++
			}
			diagonal = row[j+1]
			row[j+1] = min(row[j]+1, row[j+1]+1, change)
		}
	}
	return row[len(b)]
}
