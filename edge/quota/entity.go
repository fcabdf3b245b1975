package quota

import (
	"fmt"
	"math"
	"net"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"sluice/base"
)

// Kinds of what an entity consists of.
const (
	User     = "user"
	ClientID = "client-id"
	IP       = "ip"
)

// Part is one component of an entity: a name of a kind, or with Default whoever has no limit of his own.
type Part struct {
	Type    string
	Name    string
	Default bool
}

// Entity is whom a limit is for. Parts are in the order of their types.
type Entity []Part

// NewEntity checks the parts of an entity and puts them in order. Errors have kind base.Invalid.
func NewEntity(parts ...Part) (Entity, error) {
	e := Entity(slices.Clone(parts))
	slices.SortFunc(e, func(a, b Part) int { return strings.Compare(a.Type, b.Type) })
	if len(e) == 0 {
		return nil, base.Errorf(base.Invalid, "Invalid empty client quota entity")
	}
	for i, p := range e {
		switch {
		case p.Type != User && p.Type != ClientID && p.Type != IP:
			return nil, base.Errorf(base.Invalid, "Unhandled client quota entity type: %s", p.Type)
		case i > 0 && e[i-1].Type == p.Type:
			return nil, base.Errorf(base.Invalid, "Invalid client quota entity, duplicate entity entry %s", p.Type)
		case p.Name == "" && !p.Default:
			return nil, base.Errorf(base.Invalid, "Empty %s not supported", p.Type)
		case p.Type == IP && !p.Default && net.ParseIP(p.Name) == nil:
			return nil, base.Errorf(base.Invalid, "%s is not a valid IP or resolvable host.", p.Name)
		}
	}
	if len(e) > 1 && e.has(IP) {
		return nil, base.Errorf(base.Invalid, "Invalid quota entity combination, IP entity should not be combined with User or ClientId")
	}
	return e, nil
}

func (e Entity) has(kind string) bool { return e.Part(kind) != nil }

// Part returns the entity's part of a type, nil if it has none.
func (e Entity) Part(kind string) *Part {
	for i := range e {
		if e[i].Type == kind {
			return &e[i]
		}
	}
	return nil
}

// String writes the entity as the metadata has it: type=name, escaped as in a URL's query, or the type alone for the default, with & between.
func (e Entity) String() string {
	var b strings.Builder
	for i, p := range e {
		if i > 0 {
			b.WriteByte('&')
		}
		b.WriteString(p.Type)
		if !p.Default {
			b.WriteByte('=')
			b.WriteString(url.QueryEscape(p.Name))
		}
	}
	return b.String()
}

// ParseEntity is the inverse of String. Errors have kind base.Invalid.
func ParseEntity(s string) (Entity, error) {
	var parts []Part
	for item := range strings.SplitSeq(s, "&") {
		kind, name, named := strings.Cut(item, "=")
		name, err := url.QueryUnescape(name)
		if err != nil {
			return nil, base.Errorf(base.Invalid, "quota entity %q: %w", s, err)
		}
		parts = append(parts, Part{Type: kind, Name: name, Default: !named})
	}
	return NewEntity(parts...)
}

// Keys of limits.
const (
	ProducerRate   = "producer_byte_rate"
	ConsumerRate   = "consumer_byte_rate"
	RequestPercent = "request_percentage"
	MutationRate   = "controller_mutation_rate"
	ConnectionRate = "connection_creation_rate"
)

// CheckLimit reports what is wrong with a limit of an entity. Errors have kind base.Invalid.
func CheckLimit(e Entity, key string, value float64) error {
	most, whole := math.MaxFloat64, false
	switch {
	case e.has(IP) != (key == ConnectionRate):
		return base.Errorf(base.Invalid, "Invalid configuration key %s", key)
	case key == ConnectionRate:
		most, whole = math.MaxInt32, true
	case key == ProducerRate || key == ConsumerRate:
		most, whole = math.MaxInt64, true
	case key != RequestPercent && key != MutationRate:
		return base.Errorf(base.Invalid, "Invalid configuration key %s", key)
	}
	switch {
	case !(value > 0):
		return base.Errorf(base.Invalid, "Quota %s must be greater than 0", key)
	case value > most:
		return base.Errorf(base.Invalid, "Proposed value for %s is too large.", key)
	case whole && math.Abs(math.Mod(value, 1)) > 1e-6:
		return base.Errorf(base.Invalid, "%s cannot be a fractional value.", key)
	}
	return nil
}

// FormatLimit writes a limit as the metadata has it.
func FormatLimit(v float64) string { return strconv.FormatFloat(v, 'g', -1, 64) }

// ParseLimit is the inverse of FormatLimit.
func ParseLimit(s string) (float64, error) {
	v, err := strconv.ParseFloat(s, 64)
	if err != nil || !(v > 0) {
		return 0, fmt.Errorf("limit %q: want a number above 0", s)
	}
	return v, nil
}
