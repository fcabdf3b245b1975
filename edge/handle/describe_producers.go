package handle

// DescribeProducers (key 61), version 0: the producers whose state the leader of a partition keeps.

import (
	"sluice/cluster/meta"
	"sluice/wire/kerr"
	"sluice/wire/msg"
)

func (h *Handler) describeProducers(_ *call, req *msg.DescribeProducersRequest) *msg.DescribeProducersResponse {
	resp := new(msg.DescribeProducersResponse)
	resp.SetDefaults()
	resp.Topics = make([]msg.DescribeProducersResponseTopicResponse, len(req.Topics))
	for i, t := range req.Topics {
		out := &resp.Topics[i]
		out.Name = t.Name
		out.Partitions = make([]msg.DescribeProducersResponsePartitionResponse, len(t.PartitionIndexes))
		for j, index := range t.PartitionIndexes {
			o := &out.Partitions[j]
			o.SetDefaults()
			o.PartitionIndex, o.ErrorMessage = index, nil
			p, err := h.opt.Directory.GetByName(t.Name, index)
			if err == nil {
				err = h.contact()
			} else if r := meta.CheckTopicName(t.Name); r != nil {
				err = kerr.Errorf(kerr.InvalidTopicException, "%s", r.Message)
			}
			if err != nil {
				o.ErrorCode, o.ErrorMessage = int16(codeOf(err)), kerr.MessageOf(err)
				continue
			}
			for _, s := range p.Producers() {
				o.ActiveProducers = append(o.ActiveProducers, msg.DescribeProducersResponseProducerState{
					ProducerId: s.ID, ProducerEpoch: int32(s.Epoch), LastSequence: s.LastSequence, LastTimestamp: s.LastTimestamp,
					CoordinatorEpoch: s.CoordinatorEpoch, CurrentTxnStartOffset: int64(s.TxnStart),
				})
			}
		}
	}
	return resp
}
