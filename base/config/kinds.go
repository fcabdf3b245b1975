package config

import (
	"errors"
	"fmt"
	"math"
	"net"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Kind says how the text of a setting is read.
type Kind uint8

const (
	Text     Kind = iota // any string
	Path                 // a directory or file name
	URL                  // a store or WAL: scheme://place?option=value
	HostPort             // HOST:PORT; the host may be empty (all interfaces), the port 0 (any free one)
	Bool                 // true or false
	Int                  // a whole number
	Size                 // bytes, with an optional unit: 512KiB, 64MiB, 4GiB, 1GB
	Duration             // a time with its unit: 500ms, 30s, 5m, 24h
	Millis               // a whole number of milliseconds, as Kafka writes times
	Minutes              // a whole number of minutes, as Kafka writes some times
	Choice               // one of a few words
)

var kindNames = [...]string{"text", "path", "url", "host:port", "true|false", "number", "size", "duration", "ms", "minutes", "choice"}

func (k Kind) String() string { return kindNames[k] }

// Bytes is a number of bytes.
type Bytes int64

var sizeUnits = []struct {
	suffix string
	factor int64
}{ // longest first, so that KiB is not taken for B
	{"kib", 1 << 10}, {"mib", 1 << 20}, {"gib", 1 << 30}, {"tib", 1 << 40},
	{"kb", 1e3}, {"mb", 1e6}, {"gb", 1e9}, {"tb", 1e12},
	{"k", 1 << 10}, {"m", 1 << 20}, {"g", 1 << 30}, {"t", 1 << 40}, {"b", 1},
}

// ParseBytes reads a size such as 4096, 512KiB, 64m or 1.5GiB. A bare letter is a power of 1024, as in Java's -Xmx.
func ParseBytes(s string) (Bytes, error) {
	num, factor := strings.ToLower(strings.TrimSpace(s)), int64(1)
	for _, u := range sizeUnits {
		if rest, ok := strings.CutSuffix(num, u.suffix); ok {
			num, factor = strings.TrimSpace(rest), u.factor
			break
		}
	}
	f, err := strconv.ParseFloat(num, 64)
	if err != nil || f < 0 || math.IsNaN(f) || f*float64(factor) >= math.MaxInt64 {
		return 0, errors.New("want a number of bytes with an optional unit, such as 512KiB, 64MiB or 4GiB")
	}
	return Bytes(f * float64(factor)), nil
}

func (b Bytes) String() string {
	for _, u := range []struct {
		name   string
		factor Bytes
	}{{"TiB", 1 << 40}, {"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10}} {
		if b >= u.factor && b%u.factor == 0 {
			return strconv.FormatInt(int64(b/u.factor), 10) + u.name
		}
	}
	return strconv.FormatInt(int64(b), 10)
}

// set reads text into the field of c that s describes. The error says what would be right.
func (s *Setting) set(c *Config, text string) error {
	if text == "" && !s.empty() {
		return fmt.Errorf("it may not be empty; want %s", s.want())
	}
	switch p := s.field(c).(type) {
	case *string:
		v, err := s.parseText(text)
		if err != nil {
			return err
		}
		*p = v
	case *bool:
		v, err := strconv.ParseBool(text)
		if err != nil {
			return errors.New("want true or false")
		}
		*p = v
	case *int:
		v, err := strconv.Atoi(text)
		if err != nil {
			return errors.New("want a whole number")
		}
		*p = v
		return s.checkRange(int64(v), text)
	case *Bytes:
		v, err := ParseBytes(text)
		if err != nil {
			return err
		}
		*p = v
		return s.checkRange(int64(v), text)
	case *time.Duration:
		v, err := s.parseTime(text)
		if err != nil {
			return err
		}
		*p = v
		return s.checkRange(int64(v), text)
	default:
		panic(fmt.Sprintf("BUG: config: setting %s has a field of type %T", s.Name, p))
	}
	return nil
}

// empty reports whether the empty text is a value of the setting.
func (s *Setting) empty() bool { return s.Default == "" }

func (s *Setting) parseText(text string) (string, error) {
	if text == "" {
		return "", nil
	}
	switch s.Kind {
	case URL:
		if !s.Many {
			return text, s.checkURL(text)
		}
		for _, url := range listed(text) {
			if err := s.checkURL(url); err != nil {
				return "", err
			}
		}
	case HostPort:
		if slices.Contains(s.Choices, text) {
			return text, nil
		}
		if err := checkHostPort(text); err != nil {
			return "", fmt.Errorf("%w; want %s", err, s.want())
		}
	case Choice:
		if !slices.Contains(s.Choices, text) {
			return "", fmt.Errorf("want %s", strings.Join(s.Choices, " or "))
		}
	}
	return text, nil
}

func (s *Setting) parseTime(text string) (time.Duration, error) {
	unit := time.Millisecond
	switch s.Kind {
	case Duration:
		d, err := time.ParseDuration(text)
		if err != nil {
			return 0, errors.New("want a time with its unit, such as 500ms, 30s or 5m")
		}
		return d, nil
	case Minutes:
		unit = time.Minute
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return 0, fmt.Errorf("want a whole number of %s", s.Kind)
	}
	if n > math.MaxInt64/int64(unit) {
		return math.MaxInt64, nil
	}
	return time.Duration(n) * unit, nil
}

func (s *Setting) checkRange(v int64, text string) error {
	if s.Min == "" && s.Max == "" {
		return nil
	}
	if lo, ok := s.bound(s.Min); ok && v < lo {
		return fmt.Errorf("%s is too small; the smallest is %s", text, s.Min)
	}
	if hi, ok := s.bound(s.Max); ok && v > hi {
		return fmt.Errorf("%s is too large; the largest is %s", text, s.Max)
	}
	return nil
}

// bound reads a declared limit in the setting's own notation.
func (s *Setting) bound(text string) (int64, bool) {
	if text == "" {
		return 0, false
	}
	free := Setting{Name: s.Name, Kind: s.Kind, Default: "0", field: s.field}
	var c Config
	if err := free.set(&c, text); err != nil {
		panic(fmt.Sprintf("BUG: config: bound %q of %s: %v", text, s.Name, err))
	}
	switch p := s.field(&c).(type) {
	case *int:
		return int64(*p), true
	case *Bytes:
		return int64(*p), true
	case *time.Duration:
		return int64(*p), true
	}
	return 0, false
}

func checkHostPort(text string) error {
	_, port, err := net.SplitHostPort(text)
	if err != nil {
		return errors.New("it is no HOST:PORT")
	}
	if n, err := strconv.Atoi(port); err != nil || n < 0 || n > 65535 {
		return fmt.Errorf("port %q is not in 0 to 65535", port)
	}
	return nil
}

func (s *Setting) checkURL(text string) error {
	if slices.Contains(s.Choices, text) {
		return nil
	}
	scheme, _, ok := strings.Cut(text, "://")
	if !ok {
		return fmt.Errorf("it has no scheme; want %s", s.want())
	}
	if !slices.Contains(s.schemes, scheme) {
		return fmt.Errorf("unknown scheme %q; want %s", scheme, s.want())
	}
	if scheme != "file" && scheme != "etcd" { // a directory name may hold anything, a list of hosts is no URL to net/url
		if _, err := url.Parse(text); err != nil {
			return fmt.Errorf("it is no URL (%v); want %s", err, s.want())
		}
	}
	return nil
}

// want says in one phrase what the setting takes.
func (s *Setting) want() string {
	if s.Form != "" {
		return s.Form
	}
	switch s.Kind {
	case Choice:
		return strings.Join(s.Choices, " or ")
	case HostPort:
		return strings.Join(append([]string{"HOST:PORT"}, s.Choices...), " or ")
	}
	return "a " + s.Kind.String()
}
