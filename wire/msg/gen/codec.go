package main

import (
	"fmt"
	"strings"
)

// flexible returns Go source for "this field is encoded compactly".
func (w *writer) flexible(f field, within span) string {
	flex := w.m.Flexible
	if f.Flexible != "" {
		flex = f.Flexible
	}
	switch cond := parseSpan(flex).condition(within); cond {
	case "":
		return "true"
	default:
		return cond
	}
}

func (w *writer) decode(s structure) {
	w.f("func (m *%s) decode(r *kbin.Reader, v int16) {", s.name)
	w.f("m.SetDefaults()")
	for _, f := range s.fields {
		if f.Tag != nil {
			continue
		}
		w.when(parseSpan(f.Versions).condition(s.within), w.decodeField(f, "r", s.within))
	}
	var tags strings.Builder
	for _, f := range s.fields {
		if f.Tag != nil && parseSpan(f.Tagged).condition(s.within) != "false" {
			guard := ""
			if c := parseSpan(f.Tagged).condition(s.within); c != "" {
				guard = fmt.Sprintf("if !(%s) {\nreturn false\n}\n", c)
			}
			fmt.Fprintf(&tags, "case %d:\n%s%s\n", *f.Tag, guard, w.decodeField(f, "r", s.within))
		}
	}
	body := "r.Tags(nil)"
	if tags.Len() > 0 {
		body = "r.Tags(func(tag uint32, r *kbin.Reader) bool {\nswitch tag {\n" + tags.String() + "default:\nreturn false\n}\nreturn true\n})"
	}
	w.when(parseSpan(w.m.Flexible).condition(s.within), body)
	w.f("}\n")
}

var readers = map[string]string{
	"bool": "Bool()", "int8": "Int8()", "int16": "Int16()", "uint16": "Uint16()", "int32": "Int32()", "uint32": "Uint32()", "int64": "Int64()",
	"float64": "Float64()", "uuid": "UUID()",
}

func (w *writer) decodeField(f field, r string, within span) string {
	x, flex := "m."+f.Name, w.flexible(f, within)
	within = within.and(parseSpan(f.Versions))
	elem, array := strings.CutPrefix(f.Type, "[]")
	nullable := parseSpan(f.Nullable).condition(within)
	// either writes the nullable form where the version allows null and the other form elsewhere.
	either := func(null, plain string) string {
		switch nullable {
		case "":
			return null
		case "false":
			return plain
		default:
			return fmt.Sprintf("if %s {\n%s\n} else {\n%s\n}", nullable, null, plain)
		}
	}
	switch {
	case array:
		min := w.minSize(f, within)
		loop := fmt.Sprintf("%s = make([]%s, n)\nfor i := range %s {\n%s\n}", x, w.elemType(elem), x, w.decodeElem(elem, x+"[i]", r, flex))
		return either(
			fmt.Sprintf("if n := %s.NullableArrayLen(%s, %d); n >= 0 {\n%s\n} else {\n%s = nil\n}", r, flex, min, loop, x),
			fmt.Sprintf("{\nn := %s.ArrayLen(%s, %d)\n%s\n}", r, flex, min, loop))
	case f.Type == "string" && f.Nullable != "":
		return either(fmt.Sprintf("%s = %s.NullableString(%s)", x, r, flex), fmt.Sprintf("{\ns := %s.String(%s)\n%s = &s\n}", r, flex, x))
	case f.Type == "string":
		return fmt.Sprintf("%s = %s.String(%s)", x, r, flex)
	case f.Type == "records" && w.gathers():
		return fmt.Sprintf("if b := %s.NullableBytes(%s); b != nil {\n%s = [][]byte{b}\n}", r, flex, x)
	case f.Type == "bytes" || f.Type == "records":
		return either(fmt.Sprintf("%s = %s.NullableBytes(%s)", x, r, flex), fmt.Sprintf("%s = %s.Bytes(%s)", x, r, flex))
	case len(f.Fields) > 0 && f.Nullable != "":
		read := fmt.Sprintf("%s = new(%s)\n%s.decode(%s, v)", x, w.m.Name+elem, x, r)
		return either(fmt.Sprintf("if %s.Int8() < 0 {\n%s = nil\n} else {\n%s\n}", r, x, read), read)
	case len(f.Fields) > 0:
		return fmt.Sprintf("%s.decode(%s, v)", x, r)
	default:
		return fmt.Sprintf("%s = %s.%s", x, r, readers[f.Type])
	}
}

func (w *writer) elemType(elem string) string {
	if t, ok := goTypes[elem]; ok {
		return t
	}
	return w.m.Name + elem
}

func (w *writer) decodeElem(elem, x, r, flex string) string {
	switch {
	case elem == "string":
		return fmt.Sprintf("%s = %s.String(%s)", x, r, flex)
	case elem == "bytes":
		return fmt.Sprintf("%s = %s.Bytes(%s)", x, r, flex)
	case readers[elem] != "":
		return fmt.Sprintf("%s = %s.%s", x, r, readers[elem])
	default:
		return fmt.Sprintf("if %s.Err() != nil {\nbreak\n}\n%s.decode(%s, v)", r, x, r)
	}
}

func (w *writer) append(s structure) {
	param, _ := w.extra()
	w.f("func (m *%s) append(dst []byte, v int16%s) []byte {", s.name, param)
	for _, f := range s.fields {
		if f.Tag != nil {
			continue
		}
		w.when(parseSpan(f.Versions).condition(s.within), w.appendField(f, s.within))
	}
	var count, bodies strings.Builder
	for _, f := range s.fields {
		if f.Tag == nil || parseSpan(f.Tagged).condition(s.within) == "false" {
			continue
		}
		cond := w.notDefault(f)
		if c := parseSpan(f.Tagged).condition(s.within); c != "" {
			cond = "(" + cond + ") && " + c
		}
		fmt.Fprintf(&count, "if %s {\ntags++\n}\n", cond)
		fmt.Fprintf(&bodies, "if %s {\ndst = kbin.AppendUvarint(dst, %d)\ndst = appendSized(dst, func(dst []byte) []byte {\n%s\nreturn dst\n})\n}\n", cond, *f.Tag, w.appendField(f, s.within))
	}
	body := "dst = append(dst, 0)"
	if count.Len() > 0 {
		body = "tags := uint32(0)\n" + count.String() + "dst = kbin.AppendUvarint(dst, tags)\n" + bodies.String()
	}
	w.when(parseSpan(w.m.Flexible).condition(s.within), body)
	w.f("return dst\n}\n")
}

var appenders = map[string]string{
	"bool": "AppendBool", "int8": "AppendInt8", "int16": "AppendInt16", "uint16": "AppendUint16", "int32": "AppendInt32", "uint32": "AppendUint32",
	"int64": "AppendInt64", "float64": "AppendFloat64", "uuid": "AppendUUID",
}

func (w *writer) appendField(f field, within span) string {
	x, flex := "m."+f.Name, w.flexible(f, within)
	within = within.and(parseSpan(f.Versions))
	_, arg := w.extra()
	elem, array := strings.CutPrefix(f.Type, "[]")
	nullable := parseSpan(f.Nullable).condition(within)
	either := func(null, plain string) string {
		switch nullable {
		case "":
			return null
		case "false":
			return plain
		default:
			return fmt.Sprintf("if %s {\n%s\n} else {\n%s\n}", nullable, null, plain)
		}
	}
	switch {
	case array:
		loop := fmt.Sprintf("for i := range %s {\n%s\n}", x, w.appendElem(elem, x+"[i]", flex, arg))
		return either(
			fmt.Sprintf("if %s == nil {\ndst = kbin.AppendArrayLen(dst, %s, -1)\n} else {\ndst = kbin.AppendArrayLen(dst, %s, len(%s))\n}\n", x, flex, flex, x),
			fmt.Sprintf("dst = kbin.AppendArrayLen(dst, %s, len(%s))\n", flex, x)) + "\n" + loop
	case f.Type == "string" && f.Nullable != "":
		return either(fmt.Sprintf("dst = kbin.AppendNullableString(dst, %s, %s)", flex, x), fmt.Sprintf("dst = kbin.AppendString(dst, %s, stringOf(%s))", flex, x))
	case f.Type == "string":
		return fmt.Sprintf("dst = kbin.AppendString(dst, %s, %s)", flex, x)
	case f.Type == "records" && w.gathers():
		return fmt.Sprintf("dst = appendRecords(dst, %s, %s, g)", flex, x)
	case f.Type == "bytes" || f.Type == "records":
		return either(fmt.Sprintf("dst = kbin.AppendNullableBytes(dst, %s, %s)", flex, x), fmt.Sprintf("dst = kbin.AppendBytes(dst, %s, %s)", flex, x))
	case len(f.Fields) > 0 && f.Nullable != "":
		return either(
			fmt.Sprintf("if %s == nil {\ndst = append(dst, 0xff)\n} else {\ndst = %s.append(append(dst, 1), v%s)\n}", x, x, arg),
			fmt.Sprintf("if %s != nil {\ndst = %s.append(dst, v%s)\n} else {\nvar zero %s\nzero.SetDefaults()\ndst = zero.append(dst, v%s)\n}", x, x, arg, w.m.Name+elem, arg))
	case len(f.Fields) > 0:
		return fmt.Sprintf("dst = %s.append(dst, v%s)", x, arg)
	default:
		return fmt.Sprintf("dst = kbin.%s(dst, %s)", appenders[f.Type], x)
	}
}

func (w *writer) appendElem(elem, x, flex, arg string) string {
	switch {
	case elem == "string":
		return fmt.Sprintf("dst = kbin.AppendString(dst, %s, %s)", flex, x)
	case elem == "bytes":
		return fmt.Sprintf("dst = kbin.AppendBytes(dst, %s, %s)", flex, x)
	case appenders[elem] != "":
		return fmt.Sprintf("dst = kbin.%s(dst, %s)", appenders[elem], x)
	default:
		return fmt.Sprintf("dst = %s.append(dst, v%s)", x, arg)
	}
}
