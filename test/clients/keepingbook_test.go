package clients

import (
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// TestKeepingBook: what cleaning may take is missed by nobody, and what it may not is.
func TestKeepingBook(t *testing.T) {
	begin := time.Unix(1000, 0)
	record := func(topic string, offset int64, key, value string) *kgo.Record {
		r := &kgo.Record{Topic: topic, Offset: offset, Key: []byte(key), Value: []byte(value), Timestamp: begin.Add(time.Duration(offset) * time.Second)}
		if value == "" {
			r.Value = nil
		}
		return r
	}
	b := newKeepingBook()
	var compacted, aged []*kgo.Record
	for i, kv := range []string{"a1", "b2", "a3", "b"} {
		compacted = append(compacted, record(NewestTopic, int64(i), kv[:1], kv[1:]))
		aged = append(aged, record(YoungTopic, int64(i), "k", kv))
	}
	for _, r := range append(compacted[:4:4], aged...) {
		b.sent(r)
		b.acknowledged(r)
	}
	other := *compacted[2]
	other.Offset = 1
	for name, c := range map[string]struct {
		compacted, aged []*kgo.Record
		want            string
		gone            int
	}{
		"everything":           {compacted, aged, "", 0},
		"the newest":           {compacted[2:], aged[2:], "", 4},
		"no tombstone":         {compacted[2:3], aged[2:], "", 5},
		"the newest is gone":   {compacted[:2], aged, `the newest record of key "a"`, 2},
		"a deleted one is not": {compacted[1:3], aged, `the newest record of key "b"`, 2},
		"a young one is gone":  {compacted, aged[3:], "young has lost 2", 3},
		"another offset":       {[]*kgo.Record{&other, compacted[3]}, aged, "that was not sent", 2},
		"to and fro":           {[]*kgo.Record{compacted[3], compacted[2]}, aged, "behind", 2},
	} {
		sent, gone, err := b.compare(append(c.compacted[:len(c.compacted):len(c.compacted)], c.aged...), begin.Add(1500*time.Millisecond))
		text := ""
		if err != nil {
			text = err.Error()
		}
		if (c.want == "") != (err == nil) || !strings.Contains(text, c.want) || sent != 8 || gone != c.gone {
			t.Errorf("%s: %d sent, %d gone, %v", name, sent, gone, err)
		}
	}
}
