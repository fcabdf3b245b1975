package meta

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"reflect"
	"slices"
	"strings"
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

// fill gives every exported field of v another value that is not zero; fields of one byte, which are mostly enumerations, get 1.
func fill(v reflect.Value, next *int) {
	*next++
	switch v.Kind() {
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(v.Elem(), next)
	case reflect.Struct:
		for i := range v.NumField() {
			if f := v.Type().Field(i); f.IsExported() || f.Anonymous {
				fill(v.Field(i), next)
			}
		}
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 3, 3))
		for i := range 3 {
			fill(v.Index(i), next)
		}
	case reflect.Array:
		for i := range v.Len() {
			fill(v.Index(i), next)
		}
	case reflect.Map:
		v.Set(reflect.ValueOf(map[string]string{"a": "b", "c": ""}))
	case reflect.String:
		v.SetString(fmt.Sprint("s", *next))
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Uint8:
		v.SetUint(1)
	case reflect.Uint32, reflect.Uint64:
		v.SetUint(uint64(*next))
	case reflect.Int, reflect.Int32, reflect.Int64:
		v.SetInt(int64(*next))
	default:
		panic("no value for a " + v.Kind().String())
	}
}

// No field is forgotten by a codec, and none is mistaken for its neighbour.
func TestEveryFieldSurvives(t *testing.T) {
	for typ := commandType(1); typ < commandTypes; typ++ {
		cmd, n := newCommand(typ), 0
		fill(reflect.ValueOf(cmd).Elem(), &n)
		if back, _, err := DecodeCommand(AppendCommand(nil, cmd)); err != nil || !reflect.DeepEqual(back, cmd) {
			t.Errorf("%+v came back as %+v, %v", cmd, back, err)
		}
	}
	for typ := recordType(1); typ < recordTypes; typ++ {
		r, n := newRecord(typ), 0
		fill(reflect.ValueOf(r).Elem(), &n)
		if back, _, err := DecodeRecord(AppendRecord(nil, r)); err != nil || !reflect.DeepEqual(back, r) {
			t.Errorf("%+v came back as %+v, %v", r, back, err)
		}
	}
	for typ := resultType(1); typ < resultTypes; typ++ {
		res, n := newResult(typ), 0
		fill(reflect.ValueOf(res).Elem(), &n)
		if o, ok := res.(*PartitionsOpened); ok { // either a rejection or the rest, and of the streams not what the partition says
			o.Partitions[0] = OpenedPartition{Err: o.Partitions[0].Err}
			for i := range o.Partitions[1:] {
				e := &o.Partitions[1+i]
				e.Err = nil
				e.Data.ID, e.Data.Topic, e.Data.Partition = e.Partition.Data, e.Partition.Topic, e.Partition.Index
				e.Meta.ID, e.Meta.Topic, e.Meta.Partition = e.Partition.Meta, e.Partition.Topic, e.Partition.Index
			}
		}
		if back, err := DecodeResult(AppendResult(nil, res)); err != nil || !reflect.DeepEqual(back, res) {
			t.Errorf("%+v came back as %+v, %v", res, back, err)
		}
	}
}

// A node of the program before answers an open without saying how far streams are cleaned.
func TestOldResultBytes(t *testing.T) {
	p := PartitionsOpened{Partitions: []OpenedPartition{{Partition: Partition{Data: 1, Meta: 2}, Data: Stream{ID: 1, Bytes: 3, topicNum: 4}, Meta: Stream{ID: 2}}}}
	c := coder{version: 1}
	p.code(&c)
	if back, err := DecodeResult(slices.Concat([]byte{byte(typeOpenedResult), 1, byte(len(c.buf))}, c.buf)); err != nil || !reflect.DeepEqual(back, Result(&p)) {
		t.Fatalf("%+v, %v", back, err)
	}
}

func TestResultCodec(t *testing.T) {
	for typ := resultType(1); typ < resultTypes; typ++ {
		res := newResult(typ)
		if res == nil || res.resultType() != typ {
			t.Fatalf("result type %d makes %T", typ, res)
		}
		b := AppendResult(nil, res)
		if back, err := DecodeResult(b); err != nil || !reflect.DeepEqual(back, res) {
			t.Fatalf("%T: %+v, %v", res, back, err)
		}
		for _, damaged := range [][]byte{b[:len(b)-1], append(bytes.Clone(b), 0), nil} {
			if _, err := DecodeResult(damaged); !base.IsKind(err, base.Corrupt) {
				t.Fatalf("%T damaged: %v", res, err)
			}
		}
	}
	if _, err := DecodeResult([]byte{byte(resultTypes), 1, 0}); newResult(resultTypes) != nil || !base.IsKind(err, base.Corrupt) {
		t.Fatalf("a type past the last: %v", err)
	}
	out := &Outcomes{Errs: []*Rejection{nil, {Code: StaleEpoch, Message: "x"}, nil, {Code: codes + 3}}}
	if back, err := DecodeResult(AppendResult([]byte{}, out)); err != nil || !reflect.DeepEqual(back, Result(out)) {
		t.Fatalf("%+v, %v", back, err)
	}
	// The answer to moving 10,000 partitions is small.
	if b := AppendResult(nil, &Outcomes{Errs: make([]*Rejection, 10_000)}); len(b) > 10_010 {
		t.Fatalf("%d bytes", len(b))
	}
}

func TestRejectionCodec(t *testing.T) {
	long := strings.Repeat("é", messageMax)
	for _, c := range []struct{ in, want *Rejection }{
		{nil, nil},
		{&Rejection{Code: codes - 1}, &Rejection{Code: codes - 1}},
		{&Rejection{Code: Conflict, Message: "why"}, &Rejection{Code: Conflict, Message: "why"}},
		{&Rejection{Code: 250, Message: "of a newer program"}, &Rejection{Code: 250, Message: "of a newer program"}},
		{&Rejection{Code: Conflict, Message: "x" + long}, &Rejection{Code: Conflict, Message: "x" + long[:messageMax-2]}},
	} {
		back, err := DecodeRejection(AppendRejection(nil, c.in))
		if err != nil || !reflect.DeepEqual(back, c.want) {
			t.Errorf("%+v came back as %+v, %v", c.in, back, err)
		}
	}
	b := AppendRejection([]byte("ab"), &Rejection{Code: Conflict, Message: "why"})
	for _, damaged := range [][]byte{nil, b[2 : len(b)-1], append(bytes.Clone(b[2:]), 0), {9, 0}} {
		if _, err := DecodeRejection(damaged); !base.IsKind(err, base.Corrupt) {
			t.Errorf("% x: %v", damaged, err)
		}
	}
	for code := None; code < codes; code++ {
		if codeInfo[code].name == "" || int(codes) != len(codeInfo) {
			t.Errorf("code %d has no name", code)
		}
	}
}

// A snapshot of a program that knew no secret, no draining and no targets is still read.
func TestOldSnapshot(t *testing.T) {
	img := grown(3, 2)
	c := coder{buf: []byte{1}, version: 1}
	s := snapshotCoder{c: &c, img: img}
	s.all()
	back, err := LoadSnapshot(c.buf)
	if err != nil {
		t.Fatal(err)
	}
	if img.Secret() == [32]byte{} || back.Secret() != [32]byte{} {
		t.Fatal("secret")
	}
	back.secret = img.secret
	if got, want := dump(back), dump(img); got != want {
		t.Fatalf("%s\nwant\n%s", got, want)
	}
}

// A snapshot as the last program wrote it that knew no compaction: it was taken of what the test makes again.
func TestOldSnapshotBytes(t *testing.T) {
	const old = "020901000000000000000000000000000080a0abfef9621100047465737401030302050401010111070000000000000000000000000000000000000000000000000000000000" +
		"000002020902000000000000000000000000000002000000076d656d3a2f2f780902000080a0abfef9620300040904000000000000000000000000000004000000076d656d3a" +
		"2f2f780000000180a0abfef9620f000001010903000000000000000000000000000003742e31000280a0abfef962040002000200010101000001020200010402000a010a000f" +
		"020f00020202000100000102000101010000030202000100010007010700040202000100000301010002020a80a0abfef96202010002020a80a0abfef96203000002020080a0" +
		"abfef9620102016701016b017611"
	b, err := hex.DecodeString(old)
	if err != nil {
		t.Fatal(err)
	}
	w := newWorld(t)
	node, topic := w.register(base.NoNode), w.topic("t.1", 2)
	ss := w.open(node, topic)
	w.do(uploadOf(node, 1, 5, w.prepare(node), span(ss[0], 0, 10), span(ss[1], 0, 7)))
	w.do(uploadOf(node, 2, 9, w.prepare(node), span(ss[0], 10, 25)))
	w.do(&TrimStreams{Node: node, Trims: []StreamTrim{{ss[0].ID, ss[0].Epoch, 4}}})
	w.prepare(node)
	w.do(&DrainNode{Node: w.register(base.NoNode), Drain: true, Why: "x"})
	w.do(&AlterConfigs{Changes: []ConfigChange{{Kind: GroupConfig, Name: "g", Configs: map[string]string{"k": "v"}}}})
	back, err := LoadSnapshot(b)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := dump(back), dump(w.img); got != want {
		t.Fatalf("%s\nwant\n%s", got, want)
	}
}

// A snapshot that names something twice is refused: loaded, it would be an image that its own snapshot does not give.
func TestSnapshotThatNamesThingsTwice(t *testing.T) {
	for what, spoil := range map[string]func(p *Partition){
		"stream":    func(p *Partition) { p.Data -= 2 },
		"partition": func(p *Partition) { p.Index-- },
	} {
		img := grown(2, 1)
		p, _ := img.partitions.get(partitionKey(1, 1))
		spoil(p)
		if _, err := LoadSnapshot(img.AppendSnapshot(nil)); !base.IsKind(err, base.Corrupt) || !strings.Contains(err.Error(), what) {
			t.Errorf("%s: %v", what, err)
		}
	}
}

// What a snapshot says of cleaning must fit the stream.
func TestSnapshotOfACleanedStream(t *testing.T) {
	c := newCompacting(t)
	s, _ := c.img.streams.get(c.s.ID)
	s.CleanedTo = 50 // nobody else sees the image
	if _, err := LoadSnapshot(c.img.AppendSnapshot(nil)); err != nil {
		t.Fatal(err)
	}
	s.CleanedTo = 51
	if _, err := LoadSnapshot(c.img.AppendSnapshot(nil)); !base.IsKind(err, base.Corrupt) {
		t.Fatal(err)
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
		{&secretDrawn{Secret: [32]byte{0: 0xaa, 31: 0xbb}}, slices.Concat([]byte{33, 1, 32, 0xaa}, make([]byte, 30), []byte{0xbb})},
		{&partitionsTargeted{Partitions: []assignedPart{{part{7, 1}, 3}, {part{7, 2}, base.NoNode}}}, []byte{31, 1, 7, 2, 7, 1, 6, 7, 2, 1}},
		{&partitionsHandedOver{From: NodeRef{3, 4}, Partitions: []handedPart{{part{7, 1}, 9, NodeRef{5, 6}}}}, []byte{32, 1, 8, 6, 8, 1, 7, 1, 9, 10, 12}},
		{&objectsCompacted{Objects: []committedObject{{ID: 300, Size: 5, Kind: SO}}}, []byte{34, 1, 5, 1, 0xac, 0x02, 5, 1}},
		{&rangesReplaced{Replaced: []replacedRanges{{Stream: 1, First: 130, Count: 2, Cleaned: true, Begin: 129, New: []committedPart{{9, 3, 4, -1}}}, {Stream: 2, First: 5, Count: 1, Begin: 5}}, MS: 1},
			[]byte{35, 1, 19, 2, 1, 0x82, 0x01, 2, 1, 1, 1, 9, 3, 4, 1, 2, 5, 1, 0, 0, 0, 2}},
		{&volumeAdded{Volume: NodeRef{3, 4}, URL: "s3"}, []byte{36, 1, 5, 6, 8, 2, 's', '3'}},
		{&volumeSet{Volume: NodeRef{3, 4}, State: VolumeDraining}, []byte{37, 1, 3, 6, 8, 2}},
		{&volumeRemoved{Volume: NodeRef{3, 4}, MS: -1}, []byte{38, 1, 3, 6, 8, 1}},
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
	img, id := prepared(grown(3, 4), currentNode(grown(1, 0)))
	cmd := merged(img, currentNode(img), base.UUID{3}, id, 1, 2)
	cmd.Replacements[0].Cleaned = true
	f.Add(AppendCommand(nil, cmd))
	for _, r := range must(Decide(img, cmd, 1)) {
		f.Add(AppendRecord(nil, r))
	}
	img, _ = img.Apply(img.Pos(), must(Decide(img, cmd, 1)))
	f.Add(img.AppendSnapshot(nil))
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

func FuzzDecodeResult(f *testing.F) {
	for typ := resultType(1); typ < resultTypes; typ++ {
		res, n := newResult(typ), 0
		f.Add(AppendResult(nil, res))
		fill(reflect.ValueOf(res).Elem(), &n)
		f.Add(AppendResult(nil, res))
	}
	f.Add(AppendRejection(nil, nil))
	f.Add(AppendRejection(nil, &Rejection{Code: Conflict, Message: "why"}))
	f.Fuzz(func(t *testing.T, b []byte) {
		if res, err := DecodeResult(b); err == nil {
			enc := AppendResult(nil, res)
			if again, err := DecodeResult(enc); err != nil || !bytes.Equal(AppendResult(nil, again), enc) {
				t.Fatalf("%+v does not survive its codec: %v", res, err)
			}
		} else if !base.IsKind(err, base.Corrupt) {
			t.Fatalf("%v is not of kind Corrupt", err)
		}
		if rej, err := DecodeRejection(b); err == nil {
			enc := AppendRejection(nil, rej)
			if again, err := DecodeRejection(enc); err != nil || !reflect.DeepEqual(again, rej) {
				t.Fatalf("%+v does not survive its codec: %+v, %v", rej, again, err)
			}
		}
	})
}
