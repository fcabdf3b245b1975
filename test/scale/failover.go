package main

import (
	"slices"
	"time"

	"sluice/base"
	"sluice/cluster/balance"
	"sluice/cluster/meta"
)

// failed is what the death of a node costs the controller, beside the rescue of its WAL.
type failed struct {
	orphans                            int
	fence, find, spread, assign        time.Duration
	fenceBytes, closeBytes, assignment int64 // of records
}

// failover fences node i, closes its streams as the end of its rescue does, and places its partitions.
func (w *world) failover(i int) (f failed, err error) {
	victim, rescuer := w.nodes[i], w.nodes[(i+1)%len(w.nodes)]
	timed := func(d *time.Duration, bytes *int64, cmd meta.Command) (res []meta.Result, err error) {
		began, before := time.Now(), w.bytes
		res, err = w.run(cmd)
		*d, *bytes = time.Since(began), w.bytes-before
		return res, err
	}
	if _, err := timed(&f.fence, &f.fenceBytes, &meta.FenceNode{Node: victim, Why: "silent"}); err != nil {
		return f, err
	}
	var ignored time.Duration
	res, err := w.run(&meta.GrantRescue{Victim: victim, Rescuer: rescuer})
	if err != nil {
		return f, err
	}
	if _, err = timed(&ignored, &f.closeBytes, &meta.CompleteRescue{Victim: victim, Grant: res[0].(*meta.Granted).Rescue.Grant}); err != nil {
		return f, err
	}
	began := time.Now()
	orphans := balance.Orphans(w.img)
	f.orphans, f.find = len(orphans), time.Since(began)
	began = time.Now()
	moves := balance.Spread(w.img, w.loads(), orphans)
	f.spread = time.Since(began)
	_, err = timed(&f.assign, &f.assignment, &meta.AssignPartitions{Partitions: moves})
	return f, err
}

// loads is what the brokers tell in their heartbeats: an even load, and the busiest of their partitions one by one.
func (w *world) loads() balance.Loads {
	loads := balance.Loads{}
	for _, ref := range w.nodes {
		loads[ref.ID] = balance.NodeLoad{CPU: 0.3, BytesIn: 50e6, BytesOut: 50e6, Requests: 5000}
	}
	busy := map[base.NodeID][]balance.PartitionLoad{}
	for t := range w.img.Topics() {
		for p := range w.img.PartitionsOf(t.ID) {
			if len(busy[p.Leader]) < balance.MaxPartitions {
				busy[p.Leader] = append(busy[p.Leader], balance.PartitionLoad{Partition: meta.PartitionID{Topic: p.Topic, Index: p.Index}, BytesIn: 250e3, BytesOut: 250e3, Requests: 25})
			}
		}
	}
	for id, l := range loads {
		l.Partitions = slices.Clip(busy[id])
		loads[id] = l
	}
	return loads
}
