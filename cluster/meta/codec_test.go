package meta

import (
	"bytes"
	"reflect"
	"slices"
	"testing"

	"sluice/base"
)

// Every type has a number of its own, a name, and an empty value that survives its codec.
func TestEveryTypeHasACodec(t *testing.T) {
	for typ := commandType(1); typ < commandTypes; typ++ {
		cmd := newCommand(typ)
		if cmd == nil || cmd.commandType() != typ {
			t.Fatalf("command type %d makes %T", typ, cmd)
		}
		back, rest, err := DecodeCommand(AppendCommand(nil, cmd))
		if err != nil || len(rest) != 0 || !reflect.DeepEqual(back, cmd) {
			t.Fatalf("%s: %+v, %v", CommandName(cmd), back, err)
		}
	}
	for typ := recordType(1); typ < recordTypes; typ++ {
		r := newRecord(typ)
		if r == nil || r.recordType() != typ {
			t.Fatalf("record type %d makes %T", typ, r)
		}
		back, rest, err := DecodeRecord(AppendRecord(nil, r))
		if err != nil || len(rest) != 0 || !reflect.DeepEqual(back, r) {
			t.Fatalf("%s: %+v, %v", RecordName(r), back, err)
		}
	}
	if newCommand(commandTypes) != nil || newRecord(recordTypes) != nil {
		t.Fatal("a type past the last")
	}
}

// The bytes of records are for ever: these are written by hand from docs/formats.md.
func TestRecordBytes(t *testing.T) {
	for _, c := range []struct {
		r    Record
		want []byte
	}{
		{&clusterCreated{ID: base.UUID{0xaa}, MS: 1, Secret: [32]byte{31: 0xbb}},
			slices.Concat([]byte{1, 2, 49, 0xaa}, make([]byte, 15), []byte{2}, make([]byte, 31), []byte{0xbb})},
		{&controllerChanged{Epoch: 300, Who: "me", Node: 3}, []byte{2, 2, 6, 0xac, 0x02, 2, 'm', 'e', 6}},
		{&nodeApplied{Node: NodeRef{3, 4}, Pos: 5}, []byte{7, 1, 3, 6, 8, 5}},
		{&partitionsCreated{Num: 7, From: 1, FirstStream: 9, Leaders: []base.NodeID{2, -1}}, []byte{12, 1, 6, 7, 1, 9, 2, 4, 1}},
		{&rangesCommitted{Ranges: []committedRange{{Stream: 1, Count: 2, Object: 3, Bytes: 4, MaxTimestamp: -1}}}, []byte{23, 1, 6, 1, 1, 2, 3, 4, 1}},
		{&streamsTrimmed{Streams: []trimmedStream{{1, 130}}, MS: 0}, []byte{24, 1, 5, 1, 1, 0x82, 0x01, 0}},
		{&nodeDrained{Node: NodeRef{3, 4}, Drain: true, Why: "y", MS: -1}, []byte{29, 1, 6, 6, 8, 1, 1, 'y', 1}},
		{&nodeUnregistered{Node: NodeRef{3, 4}}, []byte{30, 1, 2, 6, 8}},
		{&partitionsTargeted{Partitions: []assignedPart{{part{7, 1}, 3}, {part{7, 2}, base.NoNode}}}, []byte{31, 1, 7, 2, 7, 1, 6, 7, 2, 1}},
		{&partitionsHandedOver{From: NodeRef{3, 4}, Partitions: []handedPart{{part{7, 1}, 9, NodeRef{5, 6}}}}, []byte{32, 1, 8, 6, 8, 1, 7, 1, 9, 10, 12}},
	} {
		if got := AppendRecord(nil, c.r); !bytes.Equal(got, c.want) {
			t.Errorf("%s: % x, want % x", RecordName(c.r), got, c.want)
		}
	}
	long := &objectsRemoved{Objects: make([]base.ObjectID, 300)}
	b := AppendRecord([]byte("x"), long)
	if want := []byte{'x', 27, 1, 0xae, 0x02, 0xac, 0x02}; !bytes.HasPrefix(b, want) {
		t.Errorf("a body of 302 bytes begins % x, want % x", b[:8], want)
	}
	if back, rest, err := DecodeRecord(b[1:]); err != nil || len(rest) != 0 || !reflect.DeepEqual(back, Record(long)) {
		t.Errorf("%v", err)
	}
}

// What version 1 wrote is still read.
func TestOldRecordBytes(t *testing.T) {
	for _, c := range []struct {
		old  []byte
		want Record
	}{
		{append(append([]byte{1, 1, 17, 0xaa}, make([]byte, 15)...), 2), &clusterCreated{ID: base.UUID{0xaa}, MS: 1}},
		{[]byte{2, 1, 5, 0xac, 0x02, 2, 'm', 'e'}, &controllerChanged{Epoch: 300, Who: "me", Node: base.NoNode}},
	} {
		if got, rest, err := DecodeRecord(c.old); err != nil || len(rest) != 0 || !reflect.DeepEqual(got, c.want) {
			t.Errorf("% x: %+v, %v", c.old, got, err)
		}
	}
}

// Cut short, prolonged or of a newer version, a record is Corrupt, never a panic, never something else.
func TestDamagedRecords(t *testing.T) {
	good := AppendRecord(nil, &nodeRegistered{Node: NodeRef{1, 1}, Name: "n", Endpoints: []Endpoint{{"a", "b", 1}}, WAL: "w"})
	for n := range good {
		if _, _, err := DecodeRecord(good[:n]); !base.IsKind(err, base.Corrupt) {
			t.Fatalf("cut to %d bytes: %v", n, err)
		}
	}
	newer := bytes.Clone(good)
	newer[1]++
	if _, _, err := DecodeRecord(newer); !base.IsKind(err, base.Corrupt) {
		t.Fatalf("newer version: %v", err)
	}
	if _, _, err := DecodeRecord([]byte{200, 1, 0}); !base.IsKind(err, base.Corrupt) {
		t.Fatalf("unknown type: %v", err)
	}
	if _, err := DecodeRecords(append(bytes.Clone(good), 0), 1); !base.IsKind(err, base.Corrupt) {
		t.Fatalf("bytes left over: %v", err)
	}
}

func FuzzDecode(f *testing.F) {
	for typ := recordType(1); typ < recordTypes; typ++ {
		f.Add(AppendRecord(nil, newRecord(typ)))
	}
	for typ := commandType(1); typ < commandTypes; typ++ {
		f.Add(AppendCommand(nil, newCommand(typ)))
	}
	f.Add(Empty().AppendSnapshot(nil))
	f.Add(grown(3, 2).AppendSnapshot(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		if r, _, err := DecodeRecord(b); err == nil {
			enc := AppendRecord(nil, r)
			if again, _, err := DecodeRecord(enc); err != nil || !bytes.Equal(AppendRecord(nil, again), enc) {
				t.Fatalf("%+v does not survive its codec: %v", r, err)
			}
		}
		if c, _, err := DecodeCommand(b); err == nil {
			enc := AppendCommand(nil, c)
			if again, _, err := DecodeCommand(enc); err != nil || !bytes.Equal(AppendCommand(nil, again), enc) {
				t.Fatalf("%+v does not survive its codec: %v", c, err)
			}
		}
		if img, err := LoadSnapshot(b); err == nil {
			enc := img.AppendSnapshot(nil)
			if again, err := LoadSnapshot(enc); err != nil || dump(again) != dump(img) {
				t.Fatalf("image does not survive its codec: %v", err)
			}
		}
	})
}
