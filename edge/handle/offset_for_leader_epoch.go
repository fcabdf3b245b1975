package handle

// OffsetForLeaderEpoch (key 23), versions 2-4. A log cannot diverge here, so every known epoch is answered with its true end.

import "sluice/wire/msg"

func (h *Handler) offsetForLeaderEpoch(_ *call, req *msg.OffsetForLeaderEpochRequest) *msg.OffsetForLeaderEpochResponse {
	resp := new(msg.OffsetForLeaderEpochResponse)
	resp.SetDefaults()
	resp.Topics = make([]msg.OffsetForLeaderEpochResponseOffsetForLeaderTopicResult, len(req.Topics))
	for i := range req.Topics {
		asked, out := &req.Topics[i], &resp.Topics[i]
		out.Topic = asked.Topic
		for _, p := range asked.Partitions {
			o := add(&out.Partitions)
			o.Partition = p.Partition
			part, err := h.opt.Directory.GetByName(asked.Topic, p.Partition)
			if err != nil {
				o.ErrorCode = int16(codeOf(err))
				continue
			}
			end, err := part.EpochEnd(p.CurrentLeaderEpoch, p.LeaderEpoch)
			if err == nil {
				err = h.contact()
			}
			if err != nil {
				o.ErrorCode = int16(codeOf(err))
				continue
			}
			o.LeaderEpoch, o.EndOffset = end.Epoch, int64(end.End)
		}
	}
	return resp
}
