package handle

// DeleteRecords (key 21), versions 0-2. Offset -1 is the high watermark. The answer is the new log start.

import (
	"context"
	"time"

	"sluice/base"
	"sluice/wire/kerr"
	"sluice/wire/msg"
)

func (h *Handler) deleteRecords(c *call, req *msg.DeleteRecordsRequest) *msg.DeleteRecordsResponse {
	resp := new(msg.DeleteRecordsResponse)
	resp.SetDefaults()
	gathered(&req.Topics, func(t *msg.DeleteRecordsRequestDeleteRecordsTopic) string { return t.Name },
		func(t *msg.DeleteRecordsRequestDeleteRecordsTopic) *[]msg.DeleteRecordsRequestDeleteRecordsPartition {
			return &t.Partitions
		})
	for i := range req.Topics {
		lastWish(&req.Topics[i].Partitions)
	}
	resp.Topics = make([]msg.DeleteRecordsResponseDeleteRecordsTopicResult, len(req.Topics))
	ctx, cancel := context.WithTimeout(c.Context(), time.Duration(max(req.TimeoutMs, 1))*time.Millisecond)
	defer cancel()
	var jobs []func()
	for i := range req.Topics {
		asked, out := &req.Topics[i], &resp.Topics[i]
		out.Name = asked.Name
		out.Partitions = make([]msg.DeleteRecordsResponseDeleteRecordsPartitionResult, len(asked.Partitions))
		for j := range asked.Partitions {
			p, o := asked.Partitions[j], &out.Partitions[j]
			o.PartitionIndex = p.PartitionIndex
			jobs = append(jobs, func() {
				low, err := h.deleteTo(ctx, asked.Name, p.PartitionIndex, p.Offset)
				o.LowWatermark, o.ErrorCode = int64(low), int16(codeOf(err))
			})
		}
	}
	parallel(jobs)
	return resp
}

// lastWish leaves of a partition that stands several times what was said last, as Kafka does.
func lastWish(list *[]msg.DeleteRecordsRequestDeleteRecordsPartition) {
	last := make(map[int32]int64, len(*list))
	for _, p := range *list {
		last[p.PartitionIndex] = p.Offset
	}
	once(list, func(p *msg.DeleteRecordsRequestDeleteRecordsPartition) int32 { return p.PartitionIndex })
	for i := range *list {
		(*list)[i].Offset = last[(*list)[i].PartitionIndex]
	}
}

func (h *Handler) deleteTo(ctx context.Context, topic string, index int32, offset int64) (base.Offset, error) {
	if isInternal(topic) {
		return -1, kerr.InvalidTopicException.Err()
	}
	p, err := h.opt.Directory.GetByName(topic, index)
	if err != nil {
		return -1, err
	}
	low, err := p.DeleteRecords(ctx, base.Offset(offset))
	if err != nil {
		return -1, err
	}
	return low, nil
}
