package marker

import (
	"context"
	"fmt"
	"slices"
	"testing"

	"sluice/base"
	"sluice/broker/coord"
	"sluice/broker/partition"
	"sluice/broker/partition/memlog"
	"sluice/wire/kerr"
	"sluice/wire/msg"
)

// world is a node that leads orders-0 and __consumer_offsets-7.
type world struct {
	p       *partition.Partition
	offsets *partition.Partition
	ending  []func(kerr.Code) // transactions that the group coordinator is to end
	asked   []coord.Marker
}

func (w *world) GetByName(topic string, index int32) (*partition.Partition, error) {
	switch {
	case topic == "orders" && index == 0:
		return w.p, nil
	case topic == "__consumer_offsets" && index == 7:
		return w.offsets, nil
	case topic == "orders":
		return nil, kerr.NotLeaderOrFollower.Err()
	}
	return nil, kerr.UnknownTopicOrPartition.Err()
}

func (w *world) EndTransaction(_ int32, m coord.Marker, done func(kerr.Code)) {
	w.asked = append(w.asked, m)
	w.ending = append(w.ending, done)
}

func TestWriter(t *testing.T) {
	wal := &memlog.WAL{}
	open := func(name string) *partition.Partition {
		p, err := partition.Open(t.Context(), partition.Options{Name: name, Epoch: 1, EpochStarts: []partition.EpochStart{{Epoch: 1}}, Data: wal.New(0), Meta: wal.New(0)})
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	w := &world{p: open("orders"), offsets: open("__consumer_offsets")}
	req := &msg.WriteTxnMarkersRequest{}
	mark := func(id int64, epoch int16, topic string, indexes ...int32) {
		req.Markers = append(req.Markers, msg.WriteTxnMarkersRequestWritableTxnMarker{
			ProducerId: id, ProducerEpoch: epoch, TransactionResult: true, CoordinatorEpoch: 3, TransactionVersion: 2,
			Topics: []msg.WriteTxnMarkersRequestWritableTxnMarkerTopic{{Name: topic, PartitionIndexes: indexes}},
		})
	}
	mark(1, 5, "orders", 0, 1)
	mark(1, 4, "orders", 0)
	mark(2, 0, "__consumer_offsets", 7)
	mark(3, 0, "__consumer_offsets", 7)
	mark(1, 5, "gone", 0)
	mark(-1, 0, "orders", 0)
	mark(9, -2, "orders", 0)
	mark(9, -2, "__consumer_offsets", 7)
	var got []string
	writer := New(w, w)
	writer.WriteMarkers(context.Background(), req, func(r *msg.WriteTxnMarkersResponse) {
		for _, m := range r.Markers {
			for _, p := range m.Topics[0].Partitions {
				got = append(got, fmt.Sprint(m.ProducerId, " ", m.Topics[0].Name, "-", p.PartitionIndex, " ", kerr.Code(p.ErrorCode)))
			}
		}
	})
	wal.Complete(9)
	if got != nil {
		t.Fatalf("answered before the group coordinator has replayed the marker: %q", got)
	}
	w.ending[0](kerr.None)
	w.ending[1](kerr.CoordinatorLoadInProgress)
	want := []string{"1 orders-0 NONE", "1 orders-1 NOT_LEADER_OR_FOLLOWER", "1 orders-0 INVALID_PRODUCER_EPOCH",
		"2 __consumer_offsets-7 NONE", "3 __consumer_offsets-7 NOT_LEADER_OR_FOLLOWER", "1 gone-0 UNKNOWN_TOPIC_OR_PARTITION", "-1 orders-0 INVALID_RECORD",
		"9 orders-0 INVALID_PRODUCER_EPOCH", "9 __consumer_offsets-7 INVALID_PRODUCER_EPOCH"}
	if !slices.Equal(got, want) {
		t.Fatalf("got  %q\nwant %q", got, want)
	}
	if m := w.asked[0]; m != (coord.Marker{ProducerID: 2, CoordinatorEpoch: 3, Commit: true, TransactionVersion: 2}) {
		t.Fatal(m)
	}
	if _, hw, _, _ := w.p.Bounds(); hw != 1 || w.p.Producers()[0].CoordinatorEpoch != 3 {
		t.Fatal(hw, w.p.Producers())
	}
	answered := make(chan kerr.Code, 1)
	wal.Fail(base.Errorf(base.Fenced, "another node has it"))
	req.Markers = req.Markers[:1]
	req.Markers[0].Topics[0].PartitionIndexes = []int32{0}
	writer.WriteMarkers(context.Background(), req, func(r *msg.WriteTxnMarkersResponse) {
		answered <- kerr.Code(r.Markers[0].Topics[0].Partitions[0].ErrorCode)
	})
	wal.Complete(1)
	if code := <-answered; code != kerr.NotLeaderOrFollower {
		t.Fatal(code)
	}
}
