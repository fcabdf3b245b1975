package handle

import (
	"fmt"
	"slices"
	"testing"

	"sluice/cluster/meta"
	"sluice/wire/kerr"
	"sluice/wire/msg"
)

// Offsets of partitions that are not there are told apart from the rest, topic by topic, and come first in the answer.
func TestSift(t *testing.T) {
	type part = msg.TxnOffsetCommitRequestTxnOffsetCommitRequestPartition
	type topic = msg.TxnOffsetCommitResponseTxnOffsetCommitResponseTopic
	type outcome = msg.TxnOffsetCommitResponseTxnOffsetCommitResponsePartition
	parts := func(indexes ...int32) (all []part) {
		for _, i := range indexes {
			all = append(all, part{PartitionIndex: i})
		}
		return all
	}
	topics := []txnOffsets{{Name: "a", Partitions: parts(0, 3, -1)}, {Name: "none"}, {Name: "b"}, {Name: "none", Partitions: parts(7)}}
	find := func(t *txnOffsets) (absent, meta.Topic) {
		return absent{name: t.Name, code: kerr.UnknownTopicOrPartition}, meta.Topic{Partitions: map[string]int32{"a": 3, "b": 1}[t.Name]}
	}
	rest := sift(&topics, find, func(t *txnOffsets) *[]part { return &t.Partitions }, func(p *part) int32 { return p.PartitionIndex })
	if len(topics) != 1 || topics[0].Name != "a" || len(topics[0].Partitions) != 1 || topics[0].Partitions[0].PartitionIndex != 0 {
		t.Fatalf("passed on: %+v", topics)
	}
	const unknown = kerr.UnknownTopicOrPartition
	of := func(index int32, code kerr.Code) outcome {
		return outcome{PartitionIndex: index, ErrorCode: int16(code)}
	}
	answered := []topic{{Name: "a", Partitions: []outcome{{PartitionIndex: 0}}}}
	inFront(rest, &answered, func(a absent) topic { return topic{Name: a.name} }, func(a, b *topic) bool { return a.Name == b.Name },
		func(t *topic) *[]outcome { return &t.Partitions }, func(index int32, code kerr.Code) outcome { return of(index, code) })
	want := []topic{{Name: "a", Partitions: []outcome{of(3, unknown), of(-1, unknown), of(0, kerr.None)}}, {Name: "none", Partitions: []outcome{of(7, unknown)}}}
	if !slices.EqualFunc(answered, want, func(a, b topic) bool { return a.Name == b.Name && slices.Equal(a.Partitions, b.Partitions) }) {
		t.Errorf("answered %+v, want %+v", answered, want)
	}
}

// An OffsetDelete is answered for each topic once where partitions are not there, and not at all for a topic of which nothing is asked for.
func TestOffsetDeleteOfWhatIsNotThere(t *testing.T) {
	b := newBroker(t, 1)
	do[meta.TopicsCreated](b, &meta.CreateTopics{Topics: []meta.NewTopic{{Name: "a", Partitions: 2}, {Name: "b", Partitions: 1}}})
	req := &msg.OffsetDeleteRequest{GroupId: "g"}
	for _, asked := range []struct {
		name  string
		parts []int32
	}{{"none", nil}, {"a", []int32{2, 1}}, {"b", nil}, {"none", []int32{5}}, {"a", []int32{0}}} {
		topic := add(&req.Topics)
		topic.Name = asked.name
		for _, index := range asked.parts {
			add(&topic.Partitions).PartitionIndex = index
		}
	}
	rest := siftDeleted(b.ctl.Image(), req)
	var resp msg.OffsetDeleteResponse
	for _, topic := range req.Topics { // as the coordinator answers
		out := add(&resp.Topics)
		out.Name = topic.Name
		for _, p := range topic.Partitions {
			add(&out.Partitions).PartitionIndex = p.PartitionIndex
		}
	}
	rest.inFront(&resp)
	var got []string
	for _, topic := range resp.Topics {
		text := topic.Name
		for _, p := range topic.Partitions {
			text += fmt.Sprintf(" %d:%d", p.PartitionIndex, p.ErrorCode)
		}
		got = append(got, text)
	}
	if want := []string{"none 5:3", "a 2:3 1:0 0:0"}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}

// Topics that are named again lose nothing, and those that are not to be merged stay apart.
func TestMerged(t *testing.T) {
	type topic struct {
		name  string
		parts []int32
	}
	list := []topic{{"a", []int32{1}}, {"b", nil}, {"a", []int32{1, 2}}, {"apart", nil}, {"apart", []int32{3}}}
	merged(&list, func(t *topic) string { return t.name }, func(t *topic) *[]int32 { return &t.parts }, func(t *topic) bool { return t.name != "apart" })
	want := []topic{{"a", []int32{1, 1, 2}}, {"b", nil}, {"apart", nil}, {"apart", []int32{3}}}
	if !slices.EqualFunc(list, want, func(a, b topic) bool { return a.name == b.name && slices.Equal(a.parts, b.parts) }) {
		t.Errorf("%v, want %v", list, want)
	}
}

// Who marks nothing is not answered, and each producer once.
func TestByProducer(t *testing.T) {
	type result = msg.WriteTxnMarkersResponseWritableTxnMarkerResult
	type topic = msg.WriteTxnMarkersResponseWritableTxnMarkerTopicResult
	type part = msg.WriteTxnMarkersResponseWritableTxnMarkerPartitionResult
	of := func(index int32, code int16) part { return part{PartitionIndex: index, ErrorCode: code} }
	got := byProducer([]result{
		{ProducerId: 7, Topics: []topic{{Name: "a", Partitions: []part{of(0, 3), of(1, 0)}}}},
		{ProducerId: 8},
		{ProducerId: 7, Topics: []topic{{Name: "b", Partitions: []part{of(0, 0)}}, {Name: "a", Partitions: []part{of(0, 6)}}}},
	})
	if len(got) != 1 || got[0].ProducerId != 7 || len(got[0].Topics) != 2 {
		t.Fatalf("%+v", got)
	}
	if a := got[0].Topics[0]; a.Name != "a" || !slices.Equal(a.Partitions, []part{of(1, 0), of(0, 6)}) {
		t.Errorf("%+v", a)
	}
}
