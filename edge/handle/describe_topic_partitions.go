package handle

// DescribeTopicPartitions (key 75), version 0: topics page by page, in the order of their names.
//
// There are no eligible leader replicas to tell of: a partition has one replica, its leader.

import (
	"slices"

	"sluice/cluster/meta"
	"sluice/wire/kerr"
	"sluice/wire/msg"
)

// pagePartitionsMax bounds a page, as Kafka's max.request.partition.size.limit.
const pagePartitionsMax = 2000

func (h *Handler) describeTopicPartitions(c *call, req *msg.DescribeTopicPartitionsRequest) *msg.DescribeTopicPartitionsResponse {
	img := h.opt.Control.Image()
	resp := new(msg.DescribeTopicPartitionsResponse)
	resp.SetDefaults()
	if req.Cursor != nil {
		if err := checkCursor(req); err != nil {
			return refusedPage(req, err)
		}
	}
	room := max(1, min(int(req.ResponsePartitionLimit), pagePartitionsMax))
	from, fromIndex := "", int32(0)
	if req.Cursor != nil {
		from, fromIndex = req.Cursor.TopicName, max(req.Cursor.PartitionIndex, 0)
	}
	for _, name := range describedNames(img, req) {
		if name < from {
			continue
		}
		first := int32(0)
		if name == from {
			first = fromIndex
		}
		if room <= 0 {
			resp.NextCursor = &msg.DescribeTopicPartitionsResponseCursor{TopicName: name, PartitionIndex: first}
			return resp
		}
		n, next := h.describeTopic(resp, img, name, first, room)
		if room -= n; next >= 0 {
			resp.NextCursor = &msg.DescribeTopicPartitionsResponseCursor{TopicName: name, PartitionIndex: next}
			return resp
		}
	}
	return resp
}

// checkCursor says what is wrong with where a page is to begin: at a topic that was asked for, if any were, and at a partition.
func checkCursor(req *msg.DescribeTopicPartitionsRequest) *kerr.Error {
	asked := len(req.Topics) == 0
	for i := range req.Topics {
		asked = asked || req.Topics[i].Name == req.Cursor.TopicName
	}
	switch {
	case !asked:
		return kerr.Errorf(kerr.InvalidRequest, "DescribeTopicPartitionsRequest topic list should contain the cursor topic: %s", req.Cursor.TopicName)
	case req.Cursor.PartitionIndex < 0:
		return kerr.Errorf(kerr.InvalidRequest, "DescribeTopicPartitionsRequest cursor partition must be valid: %d", req.Cursor.PartitionIndex)
	}
	return nil
}

// refusedPage answers every topic of a request with the same error: the answer has no place for one of its own.
func refusedPage(req *msg.DescribeTopicPartitionsRequest, err *kerr.Error) *msg.DescribeTopicPartitionsResponse {
	resp := new(msg.DescribeTopicPartitionsResponse)
	resp.SetDefaults()
	for i := range req.Topics {
		t := add(&resp.Topics)
		t.Name, t.ErrorCode = &req.Topics[i].Name, int16(err.Code)
	}
	return resp
}

// describedNames returns the topics of the request in order, all topics if it names none.
func describedNames(img *meta.Image, req *msg.DescribeTopicPartitionsRequest) (names []string) {
	for i := range req.Topics {
		names = append(names, req.Topics[i].Name)
	}
	if len(names) == 0 {
		for t := range img.Topics() {
			names = append(names, t.Name)
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// describeTopic adds a topic from partition first on. It returns how many partitions it added, and where to go on, -1 if all are
// told.
func (h *Handler) describeTopic(resp *msg.DescribeTopicPartitionsResponse, img *meta.Image, name string, first int32, room int) (n int, next int32) {
	t := add(&resp.Topics)
	t.Name = &name
	topic, ok := img.TopicByName(name)
	if !ok {
		t.ErrorCode, t.TopicAuthorizedOperations = int16(kerr.UnknownTopicOrPartition), topicOperations
		if meta.CheckTopicName(name) != nil {
			t.ErrorCode = int16(kerr.InvalidTopicException)
		}
		return 0, -1
	}
	t.TopicId, t.IsInternal, t.TopicAuthorizedOperations = topic.ID, isInternal(name), topicOperations
	for p := range img.PartitionsOf(topic.ID) {
		if p.Index < first {
			continue
		}
		if n == room {
			return n, p.Index
		}
		n++
		e := add(&t.Partitions)
		leader, code := h.leader(img, p)
		e.PartitionIndex, e.ErrorCode = p.Index, int16(code)
		e.LeaderId, e.LeaderEpoch = int32(leader), int32(p.LeaderEpoch)
		e.ReplicaNodes, e.IsrNodes, e.OfflineReplicas = replicas(img, p)
		// Kafka's admin client reads these without asking whether they are null, though the schema allows it.
		e.EligibleLeaderReplicas, e.LastKnownElr = []int32{}, []int32{}
	}
	return n, -1
}
