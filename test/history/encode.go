package history

import (
	"encoding/json"
	"strconv"
	"time"
)

// version is the one that is written, and the only one that is read.
const version = 1

func appendHeader(b []byte, start time.Time) []byte {
	b = append(b, `{"history":"sluice","version":`...)
	b = strconv.AppendInt(b, version, 10)
	b = append(b, `,"start":"`...)
	b = start.UTC().AppendFormat(b, time.RFC3339Nano)
	return append(b, "\"}\n"...)
}

// line is an event that is being encoded: a JSON object without its closing brace.
type line []byte

func (l line) begin(t int64) line { return strconv.AppendInt(append(l, `{"t":`...), t, 10) }

func (l line) what(f string) line { return append(append(append(l, `,"f":"`...), f...), '"') }

func (l line) key(key string) line { return append(append(append(l, `,"`...), key...), `":`...) }

func (l line) num(key string, n int64) line { return strconv.AppendInt(l.key(key), n, 10) }

// some is num for what is left out when it is 0.
func (l line) some(key string, n int64) line {
	if n == 0 {
		return l
	}
	return l.num(key, n)
}

func (l line) text(key, s string) line {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c > '~' || c == '"' || c == '\\' {
			b, err := json.Marshal(s)
			if err != nil {
				panic("BUG: a string has no JSON: " + err.Error())
			}
			return append(l.key(key), b...)
		}
	}
	return append(append(append(l.key(key), '"'), s...), '"')
}

func (l line) nums(key string, ns []int64) line {
	l = append(l.key(key), '[')
	for i, n := range ns {
		if i > 0 {
			l = append(l, ',')
		}
		l = strconv.AppendInt(l, n, 10)
	}
	return append(l, ']')
}

// reads encodes records as runs: partition, first offset, and the values from there on without a hole.
func (l line) reads(records []Record, ids map[TopicPartition]int) line {
	l = append(l.key("r"), '[')
	for i := range records {
		rec := &records[i]
		if i > 0 && rec.Partition == records[i-1].Partition && rec.Offset == records[i-1].Offset+1 {
			l = append(l, ',')
		} else {
			if i > 0 {
				l = append(l, "],"...)
			}
			l = strconv.AppendInt(append(l, '['), int64(ids[rec.Partition]), 10)
			l = strconv.AppendInt(append(l, ','), rec.Offset, 10)
			l = append(l, ',')
		}
		l = strconv.AppendInt(l, int64(rec.Value), 10)
	}
	return append(l, "]]"...)
}
