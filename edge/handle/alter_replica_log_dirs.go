package handle

// AlterReplicaLogDirs (key 34), versions 1-2. The bucket is the one log directory, and everything is in it already: a partition of this broker may be
// "moved" there, which changes nothing; any other directory does not exist.

import (
	"slices"
	"strconv"

	"sluice/cluster/meta"
	"sluice/wire/kerr"
	"sluice/wire/msg"
)

type movedPartition = msg.AlterReplicaLogDirsResponseAlterReplicaLogDirPartitionResult

type movedTopic = msg.AlterReplicaLogDirsResponseAlterReplicaLogDirTopicResult

func (h *Handler) alterReplicaLogDirs(_ *call, req *msg.AlterReplicaLogDirsRequest) *msg.AlterReplicaLogDirsResponse {
	img := h.opt.Control.Image()
	resp := new(msg.AlterReplicaLogDirsResponse)
	resp.SetDefaults()
	for _, dir := range req.Dirs {
		for _, t := range dir.Topics {
			if len(t.Partitions) == 0 {
				continue
			}
			at := slices.IndexFunc(resp.Results, func(r movedTopic) bool { return r.TopicName == t.Name })
			if at < 0 {
				at = len(resp.Results)
				add(&resp.Results).TopicName = t.Name
			}
			for _, p := range t.Partitions {
				if slices.ContainsFunc(resp.Results[at].Partitions, func(r movedPartition) bool { return r.PartitionIndex == p }) {
					continue // a replica has one place
				}
				out := add(&resp.Results[at].Partitions)
				out.PartitionIndex, out.ErrorCode = p, int16(h.moveLogDir(img, dir.Path, t.Name, p))
			}
		}
	}
	return resp
}

// dirNameMax is how long the name of a directory may be. A partition on its way is called by its topic and number, with 41 bytes behind.
const dirNameMax = 255

func (h *Handler) moveLogDir(img *meta.Image, dir, topic string, index int32) kerr.Code {
	if len(topic)+1+len(strconv.Itoa(int(index)))+41 > dirNameMax-1 {
		return kerr.InvalidTopicException
	}
	if dir != h.opt.LogDir {
		return kerr.LogDirNotFound
	}
	t, ok := img.TopicByName(topic)
	if !ok {
		return kerr.UnknownTopicOrPartition
	}
	for p := range img.PartitionsOf(t.ID) {
		if p.Index == index && p.Leader == h.opt.Node.ID {
			return kerr.None
		}
	}
	return kerr.UnknownTopicOrPartition
}
