package block

import (
	"testing"

	"sluice/base"
	"sluice/test/fixture"
)

// A block as version 1 wrote it is read for ever.
func TestOldFormats(t *testing.T) {
	want := []Record{{Stream: 1, Epoch: 2, Base: 3, Count: 4, MaxTimestamp: 5, Flags: 6, Data: []byte("first")}, {Stream: 1 << 40, Base: 9, Count: 1, MaxTimestamp: -1, Data: []byte("second")}}
	b := fixture.Bytes(t, "block-v1", func() []byte {
		return encode(Header{Cluster: base.UUID{7}, Node: 3, Epoch: 11, Pos: 5, Durable: 4, Segment: 2, Prev: 77}, want)
	})
	h, err := Parse(b)
	if err != nil || !h.Of(base.UUID{7}, Victim{3, 11}) || h.Pos != 5 || h.Durable != 4 || h.Segment != 2 || h.Prev != 77 || h.Size() != len(b) {
		t.Fatalf("%+v, %v", h, err)
	}
	got, err := Records(&h, b)
	if err != nil || len(got) != 2 {
		t.Fatalf("%+v, %v", got, err)
	}
	for i, w := range want {
		g := got[i]
		if g.Stream != w.Stream || g.Epoch != w.Epoch || g.Base != w.Base || g.Count != w.Count || g.MaxTimestamp != w.MaxTimestamp || g.Flags != w.Flags || string(g.Data) != string(w.Data) {
			t.Errorf("%+v, want %+v", g, w)
		}
	}
}
