package main

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
)

// writer writes the Go source of one message.
type writer struct {
	b *bytes.Buffer
	m message
}

func (w *writer) f(format string, args ...any) { fmt.Fprintf(w.b, format+"\n", args...) }

// structure is a struct to write: the message itself or one nested in it.
type structure struct {
	name   string
	fields []field
	top    bool
	within span // versions in which it occurs
}

func (w *writer) message() {
	for _, s := range w.collect(structure{w.m.Name, w.m.Fields, true, parseSpan(w.m.Valid)}, nil) {
		w.structure(s)
	}
	w.f("// APIKey returns the API key, -1 for a schema that is no API.")
	w.f("func (m *%s) APIKey() int16 { return %d }\n", w.m.Name, w.m.Key)
	w.f("// Decode reads the message. Errors stay in r.")
	w.f("func (m *%s) Decode(r *kbin.Reader, version int16) { m.decode(r, version) }\n", w.m.Name)
	w.f("// Append appends the message to dst.")
	if w.gathers() {
		w.f("func (m *%s) Append(dst []byte, version int16) []byte { return m.append(dst, version, nil) }\n", w.m.Name)
		w.f("// AppendGather adds the message to g; records are referenced, not copied.")
		w.f("func (m *%s) AppendGather(g *kbin.Gather, version int16) { g.SetScratch(m.append(g.Scratch(), version, g)) }\n", w.m.Name)
	} else {
		w.f("func (m *%s) Append(dst []byte, version int16) []byte { return m.append(dst, version) }\n", w.m.Name)
	}
}

// gathers says that the message carries record bytes to clients as references.
func (w *writer) gathers() bool { return w.m.Name == "FetchResponse" }

func (w *writer) extra() (param, arg string) {
	if w.gathers() {
		return ", g *kbin.Gather", ", g"
	}
	return "", ""
}

// collect lists the structs of a message. One that occurs in several places occurs in the versions of any of them.
func (w *writer) collect(s structure, out []structure) []structure {
	at := slices.IndexFunc(out, func(have structure) bool { return have.name == s.name })
	if at >= 0 {
		s.within = span{min(out[at].within.lo, s.within.lo), max(out[at].within.hi, s.within.hi)}
		out[at].within = s.within
	} else {
		out = append(out, s)
	}
	for _, f := range s.fields {
		if len(f.Fields) > 0 {
			out = w.collect(structure{w.goStruct(f), f.Fields, false, parseSpan(f.Versions).and(s.within)}, out)
		}
	}
	return out
}

func (w *writer) goStruct(f field) string { return w.m.Name + strings.TrimPrefix(f.Type, "[]") }

var goTypes = map[string]string{
	"bool": "bool", "int8": "int8", "int16": "int16", "uint16": "uint16", "int32": "int32", "uint32": "uint32", "int64": "int64",
	"float64": "float64", "string": "string", "bytes": "[]byte", "records": "[]byte", "uuid": "base.UUID",
}

func (w *writer) goType(f field) string {
	elem, array := strings.CutPrefix(f.Type, "[]")
	t, primitive := goTypes[elem]
	if !primitive {
		t = w.m.Name + elem
	}
	switch {
	case f.Type == "records" && w.gathers():
		return "[][]byte"
	case array:
		return "[]" + t
	case f.Type == "string" && f.Nullable != "":
		return "*string"
	case !primitive && f.Nullable != "":
		return "*" + t
	default:
		return t
	}
}

func (w *writer) structure(s structure) {
	if s.top {
		w.f("// %s is the %s of that name, versions %s, flexible %s.", s.name, w.kind(), w.m.Valid, w.m.Flexible)
	} else {
		w.f("// %s is part of %s.", s.name, w.m.Name)
	}
	w.f("type %s struct {", s.name)
	for _, f := range s.fields {
		note := "v" + f.Versions
		if f.Nullable != "" {
			note += ", null in v" + f.Nullable
		}
		if f.Tag != nil {
			note += fmt.Sprintf(", tag %d", *f.Tag)
		}
		w.f("%s %s // %s", f.Name, w.goType(f), note)
	}
	w.f("}\n")
	w.defaults(s)
	w.isDefault(s)
	w.decode(s)
	w.append(s)
}

func (w *writer) kind() string {
	if w.m.Key < 0 {
		return "schema"
	}
	return w.m.Kind
}

func (w *writer) defaults(s structure) {
	w.f("// SetDefaults sets every field to its default of the schema.")
	w.f("func (m *%s) SetDefaults() {", s.name)
	w.f("*m = %s{}", s.name)
	for _, f := range s.fields {
		switch {
		case len(f.Fields) > 0 && !strings.HasPrefix(f.Type, "[]"):
			if f.Nullable == "" {
				w.f("m.%s.SetDefaults()", f.Name)
			} else if f.Default != "null" {
				w.f("m.%s = new(%s)\nm.%s.SetDefaults()", f.Name, w.goStruct(f), f.Name)
			}
		case strings.HasPrefix(f.Type, "[]") || f.Type == "bytes" || f.Type == "records" || f.Type == "uuid":
		case f.Type == "string":
			if f.Nullable != "" && f.Default != "null" {
				w.f("m.%s = new(string)", f.Name)
				if f.Default != "" {
					w.f("*m.%s = %q", f.Name, f.Default)
				}
			} else if f.Nullable == "" && f.Default != "" {
				w.f("m.%s = %q", f.Name, f.Default)
			}
		case f.Default != "" && f.Default != "0" && f.Default != "false":
			w.f("m.%s = %s", f.Name, f.Default)
		}
	}
	w.f("}\n")
}

// notDefault returns Go source for "this field differs from its default".
func (w *writer) notDefault(f field) string {
	x := "m." + f.Name
	switch {
	case strings.HasPrefix(f.Type, "[]") || f.Type == "bytes" || f.Type == "records":
		if f.Nullable != "" && f.Default == "null" {
			return x + " != nil"
		}
		return "len(" + x + ") != 0"
	case len(f.Fields) > 0:
		if f.Nullable != "" {
			return x + " != nil"
		}
		return "!" + x + ".isDefault()"
	case f.Type == "uuid":
		return "!" + x + ".IsZero()"
	case f.Type == "string" && f.Nullable != "":
		if f.Default == "null" {
			return x + " != nil"
		}
		return fmt.Sprintf("%s == nil || *%s != %q", x, x, f.Default)
	case f.Type == "string":
		return fmt.Sprintf("%s != %q", x, f.Default)
	case f.Type == "bool":
		if f.Default == "true" {
			return "!" + x
		}
		return x
	case f.Default == "":
		return x + " != 0"
	default:
		return x + " != " + f.Default
	}
}

func (w *writer) isDefault(s structure) {
	needed := false
	var look func(fields []field, nested bool)
	look = func(fields []field, nested bool) {
		for _, f := range fields {
			inTag := nested || f.Tag != nil
			if inTag && len(f.Fields) > 0 && f.Nullable == "" && !strings.HasPrefix(f.Type, "[]") && w.goStruct(f) == s.name {
				needed = true
			}
			look(f.Fields, inTag)
		}
	}
	look(w.m.Fields, false)
	if !needed {
		return
	}
	w.f("func (m *%s) isDefault() bool {", s.name)
	var conds []string
	for _, f := range s.fields {
		conds = append(conds, "("+w.notDefault(f)+")")
	}
	w.f("return !(%s)\n}\n", strings.Join(conds, " || "))
}

// when writes body under the condition that the version lies in s.
func (w *writer) when(cond, body string) {
	switch cond {
	case "false":
	case "":
		w.f("%s", body)
	default:
		w.f("if %s {\n%s\n}", cond, body)
	}
}

// minSize is a lower bound of the bytes that an element takes: the least over all versions in which it occurs.
func (w *writer) minSize(f field, within span) int {
	least := -1
	for v := within.lo; v <= min(within.hi, parseSpan(w.m.Valid).hi); v++ {
		if n := w.sizeAt(f, v, true); least < 0 || n < least {
			least = n
		}
	}
	return max(least, 1)
}

var fixedSizes = map[string]int{"bool": 1, "int8": 1, "int16": 2, "uint16": 2, "int32": 4, "uint32": 4, "int64": 8, "float64": 8, "uuid": 16}

// sizeAt is a lower bound of the bytes that a field, or an element of it, takes in version v.
func (w *writer) sizeAt(f field, v int, element bool) int {
	flexible := parseSpan(w.m.Flexible)
	if f.Flexible != "" {
		flexible = parseSpan(f.Flexible)
	}
	compact := !flexible.and(span{v, v}).empty()
	name, array := strings.CutPrefix(f.Type, "[]")
	n, fixed := fixedSizes[name]
	switch {
	case array && !element, name == "bytes", name == "records":
		if compact {
			return 1
		}
		return 4
	case fixed:
		return n
	case name == "string":
		if compact {
			return 1
		}
		return 2
	case f.Nullable != "" && !element:
		return 1
	}
	total := 0
	for _, sub := range f.Fields {
		if sub.Tag == nil && !parseSpan(sub.Versions).and(span{v, v}).empty() {
			total += w.sizeAt(sub, v, false)
		}
	}
	if compact {
		total++ // its tagged fields
	}
	return total
}
