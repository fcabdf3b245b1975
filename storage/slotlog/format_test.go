package slotlog

import (
	"bytes"
	"slices"
	"testing"

	"sluice/base"
	"sluice/test/fixture"
)

// Slots as version 1 wrote them are read for ever.
func TestOldFormats(t *testing.T) {
	l := Log{Cluster: base.UUID{1, 2, 3}, Name: "meta"}
	nonce := base.UUID{9, 8, 7}
	slot := func(kind byte, body []byte, records uint32) func() []byte {
		return func() []byte {
			h, err := l.header(kind, 5, 7, nonce, records, [][]byte{body})
			if err != nil {
				t.Fatal(err)
			}
			return slices.Concat(h, body)
		}
	}
	seal := Seal{Who: "node-b", Why: "node-a does not answer", NewEpoch: 6}
	data := fixture.Bytes(t, "slot-data-v1", slot(kindData, []byte("the payload"), 3))
	if s, err := l.decode(5, 7, data); err != nil || s.Records != 3 || !bytes.Equal(s.Payload, []byte("the payload")) || s.Writer != nonce || s.Seal != nil {
		t.Errorf("%+v, %v", s, err)
	}
	end := fixture.Bytes(t, "slot-seal-v1", slot(kindSeal, appendSeal(nil, seal), 0))
	if s, err := l.decode(5, 7, end); err != nil || s.Seal == nil || *s.Seal != seal {
		t.Errorf("%+v, %v", s, err)
	}
	if got, s, err := Parse(end); err != nil || got.Name != "meta" || got.Cluster != l.Cluster || s.Epoch != 5 || s.Slot != 7 || *s.Seal != seal {
		t.Errorf("%+v, %+v, %v", got, s, err)
	}
}
