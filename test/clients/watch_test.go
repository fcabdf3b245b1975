package clients

import (
	"encoding/binary"
	"testing"

	"sluice/test/history"
)

// Each answer that a broker must not give is found.
func TestWatermarks(t *testing.T) {
	p := history.TopicPartition{Topic: "t", Index: 3}
	for name, c := range map[string]struct {
		committed        bool
		high, solid, end int64
		wrong            bool
	}{
		"nothing new":              {false, 10, 8, 0, false},
		"all up to the end":        {false, 12, 8, 12, false},
		"all that is committed":    {true, 12, 9, 9, false},
		"beyond the watermark":     {false, 12, 8, 13, true},
		"beyond what is committed": {true, 12, 9, 10, true},
		"stable beyond the end":    {false, 12, 13, 0, true},
		"the watermark went back":  {false, 9, 8, 0, true},
		"the stable one went back": {false, 10, 7, 0, true},
	} {
		said := 0
		w := &watermarks{complain: func(string, ...any) { said++ }, high: map[history.TopicPartition]int64{p: 10}, solid: map[history.TopicPartition]int64{p: 8}}
		w.saw(1, p, c.committed, c.high, c.solid, c.end)
		if (said > 0) != c.wrong {
			t.Errorf("%s: %d complaints", name, said)
		}
	}
}

// The end is that of the last batch which is there as a whole.
func TestEndOf(t *testing.T) {
	batch := func(base int64, count int32) []byte {
		b := make([]byte, 80)
		binary.BigEndian.PutUint64(b, uint64(base))
		binary.BigEndian.PutUint32(b[8:], uint32(len(b)-12))
		binary.BigEndian.PutUint32(b[23:], uint32(count-1))
		return b
	}
	two := append(batch(5, 3), batch(8, 2)...)
	for n, want := range map[int]int64{0: 0, 79: 0, 80: 8, 159: 8, 160: 10} {
		if got := endOf(two[:n]); got != want {
			t.Errorf("%d bytes end at %d, want %d", n, got, want)
		}
	}
}
