package file

import (
	"slices"
	"testing"

	"sluice/base"
	"sluice/storage/wal/block"
	"sluice/test/fixture"
)

// The small records of a directory as version 1 wrote them are read for ever.
func TestOldFormats(t *testing.T) {
	cluster, nonce, v := base.UUID{1, 2}, base.UUID{3, 4}, block.Victim{Node: 5, Epoch: 6}
	id := block.Identity{Cluster: cluster, Node: 5, Incarnation: nonce}
	b := fixture.Bytes(t, "header-v1", func() []byte {
		return slices.Concat(header{1, id}.append(), make([]byte, headerSlot-headerBytes), header{2, id}.append(), make([]byte, headerSlot-headerBytes))
	})
	for i, want := range []uint64{1, 2} {
		if got, generation, err := ParseIdentity(b[i*headerSlot:]); err != nil || got != id || generation != want {
			t.Errorf("header: %+v, %d, %v", got, generation, err)
		}
	}
	st := stamp{generation: 3, cluster: cluster, victim: v, seq: 9, durable: 10}
	b = fixture.Bytes(t, "stamp-v1", st.append)
	if got, err := ParseStamp(b); err != nil || got != (Stamp{3, cluster, v, 9, 10}) {
		t.Errorf("stamp: %+v, %v", got, err)
	}
	b = fixture.Bytes(t, "token-v1", func() []byte { return newToken(cluster, v, nonce) })
	if got, err := ParseToken(b); err != nil || got != (Token{Cluster: cluster, Victim: v, Nonce: nonce}) {
		t.Errorf("token: %+v, %v", got, err)
	}
	b = fixture.Bytes(t, "token-marked-v1", func() []byte {
		b := newToken(cluster, v, nonce)
		copy(b[tokenSlot:], record(magicMark).text("node-b").end())
		return b
	})
	if got, err := ParseToken(b); err != nil || got != (Token{cluster, v, nonce, true, "node-b"}) {
		t.Errorf("marked token: %+v, %v", got, err)
	}
	b = fixture.Bytes(t, "sealed-v1", func() []byte { return sealRecord(77, "node-b") })
	if end, who, err := ParseSeal(b); err != nil || end != 77 || who != "node-b" {
		t.Errorf("seal: %d, %q, %v", end, who, err)
	}
}

// FuzzSmallRecords: no bytes are read as a record of another length, and none but Corrupt and Invalid come of damage.
func FuzzSmallRecords(f *testing.F) {
	f.Add(header{1, block.Identity{Node: 5}}.append())
	f.Add(stamp{generation: 3, seq: 9}.append())
	f.Add(newToken(base.UUID{1}, block.Victim{Node: 5, Epoch: 6}, base.UUID{2}))
	f.Add(sealRecord(77, "node-b"))
	f.Fuzz(func(t *testing.T, b []byte) {
		_, _, err1 := ParseIdentity(b)
		_, err2 := ParseStamp(b)
		_, err3 := ParseToken(b)
		_, _, err4 := ParseSeal(b)
		good := 0
		for _, err := range []error{err1, err2, err3, err4} {
			switch {
			case err == nil:
				good++
			case !base.IsKind(err, base.Corrupt) && !base.IsKind(err, base.Invalid):
				t.Fatal(err)
			}
		}
		if good > 1 {
			t.Fatal("two kinds of records at once")
		}
	})
}
