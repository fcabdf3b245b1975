package marker

import (
	"context"
	"sync/atomic"
	"time"

	"sluice/broker/coord"
	"sluice/broker/group"
	"sluice/broker/partition"
	"sluice/wire/batch"
	"sluice/wire/kerr"
	"sluice/wire/msg"
)

// Directory finds open partitions. *lead.Directory implements it; errors are *kerr.Error.
type Directory interface {
	GetByName(topic string, index int32) (*partition.Partition, error)
}

// Groups ends transactions in partitions of __consumer_offsets. *group.Coordinator implements it.
type Groups interface {
	EndTransaction(index int32, m coord.Marker, done func(kerr.Code))
}

// Writer writes markers.
type Writer struct {
	directory Directory
	groups    Groups
	now       func() time.Time
}

// New makes a Writer.
func New(d Directory, g Groups) *Writer { return &Writer{directory: d, groups: g, now: time.Now} }

// write is a request on its way.
type write struct {
	resp msg.WriteTxnMarkersResponse
	left atomic.Int32 // markers in partitions that are not done, and one for the loop that starts them
	done func(*msg.WriteTxnMarkersResponse)
}

func (w *write) ended() {
	if w.left.Add(-1) == 0 {
		w.done(&w.resp)
	}
}

// WriteMarkers writes every marker of the request to every partition that it names. It may wait for room, until ctx ends; done is called
// exactly once, maybe before it returns.
func (w *Writer) WriteMarkers(ctx context.Context, req *msg.WriteTxnMarkersRequest, done func(*msg.WriteTxnMarkersResponse)) {
	call := &write{done: done}
	call.left.Store(1)
	call.resp.Markers = make([]msg.WriteTxnMarkersResponseWritableTxnMarkerResult, len(req.Markers))
	for i := range req.Markers {
		m, out := &req.Markers[i], &call.resp.Markers[i]
		out.ProducerId = m.ProducerId
		out.Topics = make([]msg.WriteTxnMarkersResponseWritableTxnMarkerTopicResult, len(m.Topics))
		marker := coord.Marker{
			ProducerID: m.ProducerId, Epoch: m.ProducerEpoch, CoordinatorEpoch: m.CoordinatorEpoch,
			Commit: m.TransactionResult, TransactionVersion: m.TransactionVersion,
		}
		for j, t := range m.Topics {
			out.Topics[j].Name = t.Name
			out.Topics[j].Partitions = make([]msg.WriteTxnMarkersResponseWritableTxnMarkerPartitionResult, len(t.PartitionIndexes))
			for k, index := range t.PartitionIndexes {
				o := &out.Topics[j].Partitions[k]
				o.PartitionIndex = index
				call.left.Add(1)
				w.one(ctx, t.Name, index, marker, func(code kerr.Code) {
					o.ErrorCode = int16(code)
					call.ended()
				})
			}
		}
	}
	call.ended()
}

// one writes one marker to one partition.
func (w *Writer) one(ctx context.Context, topic string, index int32, m coord.Marker, done func(kerr.Code)) {
	p, err := w.directory.GetByName(topic, index)
	switch {
	case err != nil:
		done(kerr.CodeOf(err))
		return
	case m.ProducerID < 0: // nobody has such an id
		done(kerr.InvalidRecord)
		return
	case m.Epoch < 0: // nor such an epoch
		done(kerr.InvalidProducerEpoch)
		return
	case topic == group.Topic:
		w.groups.EndTransaction(index, m, func(code kerr.Code) { done(ofCoordinator(code)) })
		return
	}
	raw := batch.AppendMarker(nil, batch.Marker{Commit: m.Commit, CoordinatorEpoch: m.CoordinatorEpoch}, m.ProducerID, m.Epoch, w.now().UnixMilli())
	if room := p.Room(); room != nil {
		if err := room.Admit(ctx, len(raw)); err != nil {
			done(kerr.RequestTimedOut) // nothing was written
			return
		}
	}
	p.Append(partition.AppendRequest{Batch: raw, Origin: partition.Coordinator, TransactionVersion: m.TransactionVersion}, func(r partition.AppendResult) {
		done(kerr.CodeOf(r.Err))
	})
}

// ofCoordinator turns what a group coordinator says into what a leader of the partition would.
func ofCoordinator(code kerr.Code) kerr.Code {
	switch code {
	case kerr.NotCoordinator, kerr.CoordinatorLoadInProgress, kerr.CoordinatorNotAvailable:
		return kerr.NotLeaderOrFollower
	}
	return code
}
