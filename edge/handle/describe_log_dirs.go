package handle

// DescribeLogDirs (key 35), versions 1-5. The bucket is the one log directory; a partition's size is what it has in the bucket,
// without what is only in the WAL. Total and usable space of a bucket are not known.

import (
	"maps"
	"slices"

	"sluice/cluster/meta"
	"sluice/wire/msg"
)

func (h *Handler) describeLogDirs(_ *call, req *msg.DescribeLogDirsRequest) *msg.DescribeLogDirsResponse {
	img := h.opt.Control.Image()
	resp := new(msg.DescribeLogDirsResponse)
	resp.SetDefaults()
	dir := add(&resp.Results)
	dir.LogDir = h.opt.LogDir
	if req.Topics == nil {
		for t := range img.Topics() {
			h.addSizes(dir, img, t, nil)
		}
		return resp
	}
	asked := map[string][]int32{}
	for _, t := range req.Topics { // a topic may stand in several places
		asked[t.Topic] = append(asked[t.Topic], t.Partitions...)
	}
	for _, name := range slices.Sorted(maps.Keys(asked)) {
		if t, ok := img.TopicByName(name); ok && len(asked[name]) > 0 {
			h.addSizes(dir, img, t, asked[name])
		}
	}
	return resp
}

// addSizes adds the partitions of t that this node leads: those asked for, or all.
func (h *Handler) addSizes(dir *msg.DescribeLogDirsResponseDescribeLogDirsResult, img *meta.Image, t meta.Topic, only []int32) {
	wanted := map[int32]bool{}
	for _, index := range only {
		wanted[index] = true
	}
	var sizes []msg.DescribeLogDirsResponseDescribeLogDirsPartition
	for p := range img.PartitionsOf(t.ID) {
		if p.Leader != h.opt.Node.ID || only != nil && !wanted[p.Index] {
			continue
		}
		s, _ := img.Stream(p.Data)
		e := add(&sizes)
		e.PartitionIndex, e.PartitionSize = p.Index, s.Bytes
	}
	if len(sizes) == 0 {
		return
	}
	out := add(&dir.Topics)
	out.Name, out.Partitions = t.Name, sizes
}
