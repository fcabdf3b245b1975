package differential

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"strings"

	"sluice/base"
	"sluice/test/twin"
	"sluice/wire/kbin"
)

// tree is a value of a request: nil, bool, float64 or json.Number, string, []any, or an object:
//
//	{"Field": ...}                        a structure
//	{"$": "producer 1", "or": 7, "plus": 1} what the broker calls so, or a value; plus is added to numbers
//	{"in": "t0"}                          a name with the prefix of the sequence
//	{"hex": "00ff"}                       bytes, or a UUID
//	{"long": 300}                         a string of so many bytes: the prefix, and x
//	{"batches": [...]}                    records, see batches.go
//
// A structure may have "?tags": bytes of tagged fields that nobody knows, with their count in front.
type tree = any

type object = map[string]any

// env is what the values of a request stand for with one broker.
type env struct {
	prefix string
	names  *twin.Names
}

// encoder writes a request for one broker.
type encoder struct {
	env
	version  int16
	flexible bool
}

// encode returns the body of a request.
func encode(s schema, version int16, v tree, e env) []byte {
	enc := encoder{e, version, in(s.Flexible, version)}
	o, _ := v.(object)
	return enc.structure(nil, s.Fields, o)
}

func (e *encoder) structure(dst []byte, fields []field, o object) []byte {
	var tags [][]byte
	for _, f := range fields {
		v, there := o[f.Name]
		switch {
		case f.Tag != nil:
			if there && e.flexible && in(f.Tagged, e.version) {
				body := e.field(nil, f, v)
				tags = append(tags, append(kbin.AppendUvarint(kbin.AppendUvarint(nil, *f.Tag), uint32(len(body))), body...))
			}
		case in(f.Versions, e.version):
			if !there {
				v = f.defaultValue()
			}
			dst = e.field(dst, f, v)
		}
	}
	if !e.flexible {
		return dst
	}
	if raw, ok := o["?tags"]; ok {
		return append(dst, e.bytes(raw)...)
	}
	dst = kbin.AppendUvarint(dst, uint32(len(tags)))
	for _, t := range tags {
		dst = append(dst, t...)
	}
	return dst
}

// defaultValue is what a field has that is not named.
func (f field) defaultValue() tree {
	elem, array := f.elem()
	switch {
	case f.Default == "null":
		return nil
	case array:
		return []any{}
	case len(elem.Fields) > 0:
		return object{}
	case f.Type == "string" || f.Type == "bytes" || f.Type == "records":
		return f.Default
	case f.Type == "bool":
		return f.Default == "true"
	case f.Default != "":
		return json.Number(f.Default)
	default:
		return json.Number("0")
	}
}

func (e *encoder) field(dst []byte, f field, v tree) []byte {
	elem, array := f.elem()
	if !array {
		return e.value(dst, f, v)
	}
	all, ok := v.([]any)
	if !ok {
		return kbin.AppendArrayLen(dst, e.flexible, -1)
	}
	dst = kbin.AppendArrayLen(dst, e.flexible, len(all))
	elem.Nullable = ""
	for _, one := range all {
		dst = e.value(dst, elem, one)
	}
	return dst
}

func (e *encoder) value(dst []byte, f field, v tree) []byte {
	switch f.Type {
	case "string":
		return kbin.AppendNullableString(dst, e.flexible, e.text(v))
	case "bytes", "records":
		return kbin.AppendNullableBytes(dst, e.flexible, e.bytes(v))
	case "bool":
		if b, ok := v.(bool); ok {
			return kbin.AppendBool(dst, b)
		}
		return append(dst, byte(e.number(v)))
	case "int8":
		return kbin.AppendInt8(dst, int8(e.number(v)))
	case "int16", "uint16":
		return kbin.AppendInt16(dst, int16(e.number(v)))
	case "int32", "uint32":
		return kbin.AppendInt32(dst, int32(e.number(v)))
	case "int64":
		return kbin.AppendInt64(dst, e.number(v))
	case "float64":
		return kbin.AppendFloat64(dst, e.float(v))
	case "uuid":
		return kbin.AppendUUID(dst, e.uuid(v))
	}
	o, ok := v.(object)
	if f.Nullable != "" {
		if !ok {
			return kbin.AppendInt8(dst, -1)
		}
		dst = kbin.AppendInt8(dst, 1)
	}
	return e.structure(dst, f.Fields, o)
}

// named returns what {"$": ...} stands for.
func (e *env) named(o object) (value string, ok bool) {
	name, ok := o["$"].(string)
	if !ok {
		return "", false
	}
	switch name = strings.ReplaceAll(name, "@", e.prefix); name {
	case "node":
		return strconv.Itoa(int(e.names.Node())), true
	case "epoch":
		return strconv.Itoa(int(e.names.FirstEpoch)), true
	case "t0":
		return strconv.FormatInt(t0, 10), true
	}
	return e.names.Value(name)
}

// text returns a string, nil for null.
func (e *env) text(v tree) *string {
	switch x := v.(type) {
	case nil:
		return nil
	case string:
		return &x
	case object:
		if name, ok := x["in"].(string); ok {
			name = e.prefix + name
			return &name
		}
		if n, ok := x["long"]; ok {
			size := int(e.number(n))
			s := e.prefix + strings.Repeat("x", max(0, size-len(e.prefix)))
			return &s
		}
		if s, ok := e.named(x); ok {
			return &s
		}
		return e.text(x["or"])
	default:
		s := fmt.Sprint(x)
		return &s
	}
}

func (e *env) bytes(v tree) []byte {
	switch x := v.(type) {
	case nil:
		return nil
	case string:
		return []byte(x)
	case object:
		if h, ok := x["hex"].(string); ok {
			b, err := hex.DecodeString(h)
			if err != nil {
				panic(err)
			}
			if b == nil {
				b = []byte{}
			}
			return b
		}
		if all, ok := x["batches"].([]any); ok {
			return e.batches(all)
		}
		if n, ok := x["long"]; ok {
			return make([]byte, e.number(n))
		}
	}
	panic(fmt.Sprintf("no bytes: %v", v))
}

func (e *env) number(v tree) int64 {
	switch x := v.(type) {
	case nil:
		return 0
	case bool:
		if x {
			return 1
		}
		return 0
	case float64:
		return int64(x)
	case int:
		return int64(x)
	case int64:
		return x
	case json.Number:
		n, err := x.Int64()
		if err != nil {
			f, _ := x.Float64()
			return int64(f)
		}
		return n
	case object:
		plus := e.number(x["plus"])
		if s, ok := e.named(x); ok {
			n, _ := strconv.ParseInt(s, 10, 64)
			return n + plus
		}
		return e.number(x["or"]) + plus
	}
	panic(fmt.Sprintf("no number: %v", v))
}

func (e *env) float(v tree) float64 {
	switch x := v.(type) {
	case float64:
		return x
	case string:
		f, err := strconv.ParseFloat(x, 64)
		if err != nil {
			return math.NaN()
		}
		return f
	case json.Number:
		f, _ := x.Float64()
		return f
	}
	return float64(e.number(v))
}

func (e *env) uuid(v tree) (u base.UUID) {
	if o, ok := v.(object); ok {
		if s, ok := e.named(o); ok {
			id, err := base.ParseUUID(s)
			if err == nil {
				return id
			}
		}
		if or, ok := o["or"]; ok {
			return e.uuid(or)
		}
		copy(u[:], e.bytes(o))
	}
	return u
}
