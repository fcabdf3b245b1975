package differential

import (
	"math/rand/v2"
	"strings"
)

// step is a request of a sequence.
type step struct {
	Key     int16
	Version int16
	Body    tree  `json:",omitempty"`
	Cut     int   `json:",omitempty"` // bytes missing at the end
	Extra   []int `json:",omitempty"` // bytes that follow
}

// drawer draws requests.
type drawer struct {
	*rand.Rand
	schemas map[int16]schema
	odd     float64 // how likely a value is not what a client would write
	version int16
	api     string
}

// chance reports true with a probability.
func (d *drawer) chance(p float64) bool { return d.Float64() < p }

// one returns one of the values.
func one[T any](d *drawer, values ...T) T { return values[d.IntN(len(values))] }

// oddities are how likely a field is odd, drawn for each request: most are right or nearly so.
var oddities = []float64{0, 0, 0.05, 0.15, 0.4}

// step draws a request of an API.
func (d *drawer) step(key, version int16) step {
	s := d.schemas[key]
	d.version, d.odd, d.api = version, one(d, oddities...), strings.TrimSuffix(s.Name, "Request")
	st := step{Key: key, Version: version, Body: d.structure("", s.Fields, in(s.Flexible, version))}
	d.bound(&st)
	switch {
	case d.chance(0.015):
		st.Cut = 1 + d.IntN(12)
	case d.chance(0.015):
		for range 1 + d.IntN(4) {
			st.Extra = append(st.Extra, d.IntN(256))
		}
	}
	return st
}

func (d *drawer) structure(path string, fields []field, flexible bool) object {
	o := object{}
	for _, f := range fields {
		switch {
		case f.Tag != nil:
			if in(f.Tagged, d.version) && d.chance(0.05) {
				o[f.Name] = d.field(path+"."+f.Name, f, o, flexible)
			}
		case in(f.Versions, d.version):
			o[f.Name] = d.field(path+"."+f.Name, f, o, flexible)
		}
	}
	if flexible && d.chance(d.odd/10) {
		o["?tags"] = object{"hex": one(d, "0163020102", "02c80100c90103010203", "01ffffffff0f00")}
	}
	return o
}

// lengths are how many elements an array has.
var lengths = []int{0, 1, 1, 1, 1, 2, 2, 3}

func (d *drawer) field(path string, f field, sofar object, flexible bool) tree {
	path = strings.TrimPrefix(path, ".")
	elem, array := f.elem()
	if d.chance(d.odd/40) && (array || f.Type == "string" || f.Type == "bytes" || f.Type == "records") {
		return nil // whether the field may be null or not
	}
	nullable := in(f.Nullable, d.version)
	switch {
	case array:
		if nullable && d.chance(0.2) {
			return nil
		}
		all := []any{}
		for range one(d, lengths...) {
			all = append(all, d.element(path, elem, sofar, flexible))
		}
		if len(all) > 0 && d.chance(d.odd/6) {
			all = append(all, all[0]) // twice the same
		}
		return all
	case len(f.Fields) > 0:
		if nullable && d.chance(0.6) {
			return nil
		}
		return d.structure(path, f.Fields, flexible)
	default:
		return d.leaf(path, f, sofar)
	}
}

func (d *drawer) element(path string, f field, sofar object, flexible bool) tree {
	if len(f.Fields) > 0 {
		return d.structure(path, f.Fields, flexible)
	}
	f.Nullable = "" // that is the array's
	return d.leaf(path, f, sofar)
}

// leaf draws a value that has no parts.
func (d *drawer) leaf(path string, f field, sofar object) tree {
	name := path[strings.LastIndexByte(path, '.')+1:]
	odd := d.chance(d.odd)
	switch f.Type {
	case "string":
		return d.text(path, name, f, sofar, odd)
	case "bool":
		return d.chance(0.5)
	case "bytes":
		return d.rawBytes(path, name, odd)
	case "records":
		return d.records(odd)
	case "uuid":
		return d.uuid(path, name, sofar, odd)
	case "float64":
		if odd {
			return one[tree](d, "0", "-1", "NaN", "Inf", "1e300", "0.5")
		}
		return one[tree](d, "1e9", "2e9", "1000000.5")
	default:
		return d.number(path, name, f, sofar, odd)
	}
}

// extremes are numbers at the ends of their types.
var extremes = map[string][]int64{
	"int8":   {-128, -1, 0, 1, 2, 3, 5, 127},
	"int16":  {-32768, -2, -1, 0, 1, 2, 32767},
	"uint16": {0, 1, 65535},
	"int32":  {-1 << 31, -2, -1, 0, 1, 2, 1000, 1<<31 - 1},
	"uint32": {0, 1, 1<<32 - 1},
	"int64":  {-1 << 63, -7, -3, -2, -1, 0, 1, 1 << 40, 1<<63 - 1},
}
