package handle

// WriteTxnMarkers (key 27), versions 1-2: transaction markers for partitions that this node leads. Transaction coordinators send them between
// nodes; clients do to abort a transaction that nobody knows of any more (kafka-transactions --abort).

import (
	"slices"

	"sluice/wire/msg"
)

func (h *Handler) writeTxnMarkers(c *call, req *msg.WriteTxnMarkersRequest) {
	type topic = msg.WriteTxnMarkersRequestWritableTxnMarkerTopic
	for i := range req.Markers {
		m := &req.Markers[i]
		gathered(&m.Topics, func(t *topic) string { return t.Name }, func(t *topic) *[]int32 { return &t.PartitionIndexes })
		for j := range m.Topics {
			once(&m.Topics[j].PartitionIndexes, same[int32])
		}
	}
	h.opt.Markers.WriteMarkers(c.Context(), req, func(r *msg.WriteTxnMarkersResponse) {
		r.Markers = byProducer(r.Markers)
		c.reply(r)
	})
}

// byProducer puts the outcomes of all markers of a producer into one. Each partition has the last; who marked nothing is left out.
func byProducer(all []msg.WriteTxnMarkersResponseWritableTxnMarkerResult) (out []msg.WriteTxnMarkersResponseWritableTxnMarkerResult) {
	type topic = msg.WriteTxnMarkersResponseWritableTxnMarkerTopicResult
	type part = msg.WriteTxnMarkersResponseWritableTxnMarkerPartitionResult
	at := map[int64]int{}
	for _, m := range all {
		if len(m.Topics) == 0 {
			continue
		}
		i, again := at[m.ProducerId]
		if !again {
			at[m.ProducerId] = len(out)
			out = append(out, m)
			continue
		}
		into := &out[i].Topics
		*into = append(*into, m.Topics...)
		gathered(into, func(t *topic) string { return t.Name }, func(t *topic) *[]part { return &t.Partitions })
		for j := range *into {
			parts := &(*into)[j].Partitions
			slices.Reverse(*parts)
			once(parts, func(p *part) int32 { return p.PartitionIndex })
			slices.Reverse(*parts)
		}
	}
	return out
}
