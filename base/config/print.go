package config

import (
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"
)

// Value returns the text of a setting in c, in the setting's own notation.
func (s *Setting) Value(c *Config) string {
	switch p := s.field(c).(type) {
	case *string:
		return *p
	case *bool:
		return strconv.FormatBool(*p)
	case *int:
		return strconv.Itoa(*p)
	case *Bytes:
		return p.String()
	case *time.Duration:
		switch s.Kind {
		case Millis:
			return strconv.FormatInt(p.Milliseconds(), 10)
		case Minutes:
			return strconv.FormatInt(int64(*p/time.Minute), 10)
		}
		return shortDuration(*p)
	}
	panic("BUG: config: field type of " + s.Name)
}

// shortDuration drops the zero parts of 1m0s.
func shortDuration(d time.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = s[:len(s)-2]
	}
	if strings.HasSuffix(s, "h0m") {
		s = s[:len(s)-2]
	}
	return s
}

// Print writes every setting of c as a configuration file that gives the same configuration, secrets aside, with documentation, defaults and
// units in comments. Settings that have their default value are commented out.
func Print(w io.Writer, c *Config) error {
	group := ""
	for i := range settings {
		s := &settings[i]
		if s.Group != group {
			if _, err := fmt.Fprintf(w, "%s# ---- %s\n", strings.Repeat("\n", min(i, 1)), s.Group); err != nil {
				return err
			}
			group = s.Group
		}
		if _, err := io.WriteString(w, s.describe(c)); err != nil {
			return err
		}
	}
	return nil
}

func (s *Setting) describe(c *Config) string {
	var b strings.Builder
	fmt.Fprintf(&b, "\n%s", wrap("# ", s.Doc, 110))
	takes := s.Kind.String()
	if s.Form != "" || s.Kind == Choice || len(s.Choices) > 0 {
		takes = s.want()
	}
	fmt.Fprintf(&b, "#   takes %s", takes)
	if s.Min != "" {
		fmt.Fprintf(&b, ", at least %s", s.Min)
	}
	if s.Max != "" {
		fmt.Fprintf(&b, ", at most %s", s.Max)
	}
	b.WriteString("\n#   default ")
	switch {
	case s.Auto != "":
		b.WriteString(s.Auto)
	case s.Default == "":
		b.WriteString("none")
	default:
		b.WriteString(s.Default)
	}
	fmt.Fprintf(&b, "\n#   --%s, %s\n", s.Flag(), s.Env())
	switch from := c.Origin(s.Name); {
	case s.Secret && from != "default":
		fmt.Fprintf(&b, "#   given by %s\n# %s = (not shown)\n", from, s.Name)
	case from != "default":
		fmt.Fprintf(&b, "#   given by %s\n%s = %s\n", from, s.Name, s.Value(c))
	default:
		fmt.Fprintf(&b, "# %s = %s\n", s.Name, s.Value(c))
	}
	return b.String()
}

// wrap breaks text into lines of at most width bytes, each with the prefix.
func wrap(prefix, text string, width int) string {
	var b strings.Builder
	line := prefix
	for _, word := range strings.Fields(text) {
		if len(line)+len(word) > width && line != prefix {
			b.WriteString(strings.TrimRight(line, " ") + "\n")
			line = prefix
		}
		line += word + " "
	}
	b.WriteString(strings.TrimRight(line, " ") + "\n")
	return b.String()
}
