package telemetry

import (
	"math"
	"strconv"
	"strings"

	"google.golang.org/protobuf/encoding/protowire"

	"sluice/base"
)

// A push is OTLP's MetricsData: resource metrics, in them scope metrics, in them metrics, each of them a gauge or a sum of number data points. Other kinds of
// metrics, which no client of Kafka's sends, are skipped. Numbers of fields:
const (
	fieldResourceMetrics = 1
	fieldResource        = 1 // of resource metrics
	fieldScopeMetrics    = 2
	fieldMetrics         = 2 // of scope metrics
	fieldName            = 1
	fieldGauge           = 5
	fieldSum             = 7
	fieldPoints          = 1 // of gauges and sums
	fieldMonotonic       = 3
	fieldAsDouble        = 4
	fieldAsInt           = 6
	fieldPointAttributes = 7
	fieldKey             = 1 // of an attribute
	fieldValue           = 2
	fieldAttributes      = 1 // of a resource
)

const nameMax = 256 // bytes of a name, an attribute's key or its value

// seriesKey names a series of a client.
type seriesKey struct {
	name       string
	attributes string // key=value, with commas between
	counter    bool
}

type point struct{ value float64 }

// fields calls fn for every field of a message. Fields that are not of length, or fixed or varint, do not occur in what is read here.
func fields(b []byte, fn func(num protowire.Number, typ protowire.Type, raw []byte, n uint64) error) error {
	for len(b) > 0 {
		num, typ, n := protowire.ConsumeTag(b)
		if n < 0 {
			return protowire.ParseError(n)
		}
		b = b[n:]
		var raw []byte
		var v uint64
		switch typ {
		case protowire.BytesType:
			raw, n = protowire.ConsumeBytes(b)
		case protowire.VarintType:
			v, n = protowire.ConsumeVarint(b)
		case protowire.Fixed64Type:
			v, n = protowire.ConsumeFixed64(b)
		default:
			n = protowire.ConsumeFieldValue(num, typ, b)
		}
		if n < 0 {
			return protowire.ParseError(n)
		}
		b = b[n:]
		if err := fn(num, typ, raw, v); err != nil {
			return err
		}
	}
	return nil
}

// decode reads a push and hands out its points. Errors have kind Invalid. It allocates no more than a small multiple of what it reads.
func decode(b []byte, each func(seriesKey, point)) error {
	inner := func(b []byte, want protowire.Number, fn func([]byte) error) error {
		return fields(b, func(num protowire.Number, typ protowire.Type, raw []byte, _ uint64) error {
			if num == want && typ == protowire.BytesType {
				return fn(raw)
			}
			return nil
		})
	}
	err := inner(b, fieldResourceMetrics, func(b []byte) error {
		return inner(b, fieldScopeMetrics, func(b []byte) error {
			return inner(b, fieldMetrics, func(b []byte) error { return decodeMetric(b, each) })
		})
	})
	if err != nil {
		return base.Errorf(base.Invalid, "OTLP metrics: %w", err)
	}
	return nil
}

func decodeMetric(b []byte, each func(seriesKey, point)) error {
	var name string
	var gauge, sum []byte
	err := fields(b, func(num protowire.Number, typ protowire.Type, raw []byte, _ uint64) error {
		switch {
		case typ != protowire.BytesType:
		case num == fieldName:
			name = text(raw)
		case num == fieldGauge:
			gauge = raw
		case num == fieldSum:
			sum = raw
		}
		return nil
	})
	if err != nil {
		return err
	}
	if err := decodePoints(gauge, name, false, each); err != nil {
		return err
	}
	return decodePoints(sum, name, true, each)
}

// decodePoints reads a gauge or a sum; a sum that may fall is a gauge.
func decodePoints(b []byte, name string, counter bool, each func(seriesKey, point)) error {
	monotonic := false
	if counter {
		_ = fields(b, func(num protowire.Number, typ protowire.Type, _ []byte, v uint64) error {
			if num == fieldMonotonic && typ == protowire.VarintType {
				monotonic = v != 0
			}
			return nil
		})
	}
	return fields(b, func(num protowire.Number, typ protowire.Type, raw []byte, _ uint64) error {
		if num != fieldPoints || typ != protowire.BytesType {
			return nil
		}
		key, p, has := seriesKey{name: name, counter: monotonic}, point{}, false
		var attributes []string
		err := fields(raw, func(num protowire.Number, typ protowire.Type, raw []byte, v uint64) error {
			switch {
			case num == fieldAsDouble && typ == protowire.Fixed64Type:
				p.value, has = math.Float64frombits(v), true
			case num == fieldAsInt && typ == protowire.Fixed64Type:
				p.value, has = float64(int64(v)), true
			case num == fieldPointAttributes && typ == protowire.BytesType:
				attributes = append(attributes, attribute(raw))
			}
			return nil
		})
		if err == nil && has && name != "" {
			key.attributes = strings.Join(attributes, ",")
			each(key, p)
		}
		return err
	})
}

// attribute reads a key and a value; of the kinds of values only those that are short.
func attribute(b []byte) string {
	var key, value string
	_ = fields(b, func(num protowire.Number, typ protowire.Type, raw []byte, _ uint64) error {
		switch {
		case typ != protowire.BytesType:
		case num == fieldKey:
			key = text(raw)
		case num == fieldValue:
			value = anyValue(raw)
		}
		return nil
	})
	return key + "=" + value
}

// anyValue reads a value: a string (1), a bool (2), a whole number (3) or a fraction (4).
func anyValue(b []byte) (s string) {
	_ = fields(b, func(num protowire.Number, typ protowire.Type, raw []byte, v uint64) error {
		switch {
		case num == 1 && typ == protowire.BytesType:
			s = text(raw)
		case num == 2 && typ == protowire.VarintType:
			s = strconv.FormatBool(v != 0)
		case num == 3 && typ == protowire.VarintType:
			s = strconv.FormatInt(int64(v), 10)
		case num == 4 && typ == protowire.Fixed64Type:
			s = strconv.FormatFloat(math.Float64frombits(v), 'g', -1, 64)
		}
		return nil
	})
	return s
}

// text makes a bounded, valid string of bytes that a client sent.
func text(b []byte) string { return strings.ToValidUTF8(string(b[:min(len(b), nameMax)]), "?") }

// label adds who pushed to the resource of everything in a push: a field of a message that is there twice is merged.
func label(b []byte, c *Client) []byte {
	var resource []byte
	for _, kv := range [][2]string{{"client_instance_id", c.Instance.String()}, {"client_id", c.ID}, {"client_software_name", c.SoftwareName}, {"client_software_version", c.SoftwareVer}, {"client_source_address", c.Address}} {
		value := protowire.AppendString(protowire.AppendTag(nil, 1, protowire.BytesType), kv[1])
		attr := protowire.AppendString(protowire.AppendTag(nil, fieldKey, protowire.BytesType), kv[0])
		attr = protowire.AppendBytes(protowire.AppendTag(attr, fieldValue, protowire.BytesType), value)
		resource = protowire.AppendBytes(protowire.AppendTag(resource, fieldAttributes, protowire.BytesType), attr)
	}
	var out []byte
	_ = fields(b, func(num protowire.Number, typ protowire.Type, raw []byte, _ uint64) error {
		if num == fieldResourceMetrics && typ == protowire.BytesType {
			rm := protowire.AppendBytes(protowire.AppendTag(append([]byte(nil), raw...), fieldResource, protowire.BytesType), resource)
			out = protowire.AppendBytes(protowire.AppendTag(out, fieldResourceMetrics, protowire.BytesType), rm)
		}
		return nil
	})
	return out
}
