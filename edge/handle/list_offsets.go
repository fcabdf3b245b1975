package handle

// ListOffsets (key 2), versions 1-11. The replica id is not looked at, because some clients send 0. Nothing is tiered apart from
// the bucket, so the earliest local offset is the earliest one.

import (
	"context"
	"slices"
	"time"

	"sluice/broker/partition"
	"sluice/wire/kerr"
	"sluice/wire/msg"
)

// listOffsetsMax bounds the look-ups of one request where it does not say so itself.
const listOffsetsMax = 30 * time.Second

func (h *Handler) listOffsets(c *call, req *msg.ListOffsetsRequest) *msg.ListOffsetsResponse {
	if req.IsolationLevel != int8(partition.ReadUncommitted) && req.IsolationLevel != int8(partition.ReadCommitted) {
		return refuseListing(req, kerr.UnknownServerError) // as Kafka has it
	}
	resp := new(msg.ListOffsetsResponse)
	resp.SetDefaults()
	most := listOffsetsMax
	if c.Version >= 10 && req.TimeoutMs > 0 {
		most = min(most, time.Duration(req.TimeoutMs)*time.Millisecond)
	}
	ctx, cancel := context.WithTimeout(c.Context(), most)
	defer cancel()
	var slow []func()
	gatherTopics(req)
	resp.Topics = make([]msg.ListOffsetsResponseListOffsetsTopicResponse, len(req.Topics))
	for i := range req.Topics {
		asked, out := &req.Topics[i], &resp.Topics[i]
		out.Name = asked.Name
		twice := dropTwice(asked)
		out.Partitions = make([]msg.ListOffsetsResponseListOffsetsPartitionResponse, len(asked.Partitions))
		for j := range asked.Partitions {
			p, o := &asked.Partitions[j], &out.Partitions[j]
			o.SetDefaults()
			o.PartitionIndex = p.PartitionIndex
			if twice[p.PartitionIndex] {
				o.ErrorCode = int16(kerr.InvalidRequest)
				continue
			}
			epoch := partition.NoEpoch
			if c.Version >= 4 {
				epoch = p.CurrentLeaderEpoch
			}
			job := func() {
				found, err := h.listOffset(ctx, c.Version, asked.Name, p.PartitionIndex, p.Timestamp, partition.Isolation(req.IsolationLevel), epoch)
				o.ErrorCode = int16(codeOf(err))
				o.Offset, o.Timestamp, o.LeaderEpoch = int64(found.Offset), found.Timestamp, found.LeaderEpoch
			}
			if p.Timestamp == partition.LatestOffset || p.Timestamp == partition.EarliestOffset {
				job() // known without a read
				continue
			}
			slow = append(slow, job)
		}
	}
	parallel(slow)
	return resp
}

// refuseListing answers everything that is asked for with one error.
func refuseListing(req *msg.ListOffsetsRequest, code kerr.Code) *msg.ListOffsetsResponse {
	resp := new(msg.ListOffsetsResponse)
	resp.SetDefaults()
	for i := range req.Topics {
		out := add(&resp.Topics)
		out.Name = req.Topics[i].Name
		for _, p := range req.Topics[i].Partitions {
			o := add(&out.Partitions)
			o.PartitionIndex, o.ErrorCode = p.PartitionIndex, int16(code)
		}
	}
	return resp
}

// gatherTopics puts what is asked for of a topic in several places into one.
func gatherTopics(req *msg.ListOffsetsRequest) {
	gathered(&req.Topics, func(t *msg.ListOffsetsRequestListOffsetsTopic) string { return t.Name },
		func(t *msg.ListOffsetsRequestListOffsetsTopic) *[]msg.ListOffsetsRequestListOffsetsPartition {
			return &t.Partitions
		})
}

// dropTwice leaves of each partition that is asked for several times the first, and says which those are.
func dropTwice(t *msg.ListOffsetsRequestListOffsetsTopic) (twice map[int32]bool) {
	seen := make(map[int32]bool, len(t.Partitions))
	t.Partitions = slices.DeleteFunc(t.Partitions, func(p msg.ListOffsetsRequestListOffsetsPartition) bool {
		if !seen[p.PartitionIndex] {
			seen[p.PartitionIndex] = true
			return false
		}
		if twice == nil {
			twice = map[int32]bool{}
		}
		twice[p.PartitionIndex] = true
		return true
	})
	return twice
}

// markersSince tells from which version on a negative timestamp has a meaning.
var markersSince = map[int64]int16{
	partition.LatestOffset: 1, partition.EarliestOffset: 1, partition.MaxTimestampOffset: 7, partition.EarliestLocalOffset: 8,
	partition.LatestTieredOffset: 9, partition.EarliestPendingUpload: 11,
}

func (h *Handler) listOffset(ctx context.Context, version int16, topic string, index int32, ts int64, isolation partition.Isolation, epoch int32) (partition.Found, error) {
	none := partition.Found{Offset: -1, Timestamp: -1, LeaderEpoch: -1}
	if since, ok := markersSince[ts]; ts < 0 && (!ok || version < since) {
		return none, kerr.UnsupportedVersion.Err()
	}
	p, err := h.opt.Directory.GetByName(topic, index)
	if err != nil {
		return none, err
	}
	found, err := p.ListOffset(ctx, ts, isolation, epoch)
	if err == nil {
		err = h.contact()
	}
	if err != nil {
		return none, err
	}
	return found, nil
}
