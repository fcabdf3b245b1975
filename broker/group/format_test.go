package group

import (
	"encoding/binary"
	"slices"
	"testing"

	"sluice/base"
	"sluice/broker/coord"
	"sluice/test/fixture"
)

// Records of groups and offsets as the first version wrote them, key and value, are read for ever.
func TestOldFormats(t *testing.T) {
	pair := func(r coord.Record) []byte {
		return slices.Concat(binary.BigEndian.AppendUint32(nil, uint32(len(r.Key))), r.Key, r.Value)
	}
	cut := func(b []byte) coord.Record {
		n := binary.BigEndian.Uint32(b)
		return coord.Record{ProducerID: -1, Key: b[4 : 4+n], Value: b[4+n:]}
	}
	offset := committed{offset: 5, epoch: 1, metadata: "m", expireMS: -1, topicID: base.UUID{1}}
	value := groupValue{protocolType: "consumer", protocol: "range", members: []memberValue{{id: "m", subscription: subscription("t")}}}
	o := fixture.Bytes(t, "offset-v1", func() []byte { return pair(offsetRecord("g", partitionKey{"t", 1}, offset)) })
	g := fixture.Bytes(t, "group-v1", func() []byte { return pair(groupRecord("g", value)) })
	m := newMachine(testRules())
	for _, b := range [][]byte{g, o} {
		if err := m.Replay(cut(b)); err != nil {
			t.Fatal(err)
		}
	}
	got := m.groups["g"]
	if got == nil {
		t.Fatal("no group")
	}
	if c := got.offsets[partitionKey{"t", 1}]; c.offset != 5 || c.epoch != 1 || c.metadata != "m" || len(got.members) != 1 {
		t.Errorf("%+v, %d members", c, len(got.members))
	}
}
