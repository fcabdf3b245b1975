package main

import (
	"context"
	"encoding/binary"
	"fmt"
	"time"

	"sluice/base"
	"sluice/cluster/meta"
	"sluice/cluster/metalog"
	"sluice/storage/objstore"
)

// size is that of a cluster. Every broker leads about as many partitions as the others.
type size struct {
	brokers    int
	topics     int
	partitions int // of each topic
	ranges     int // streams in one upload of a broker, at most as many as it leads
}

func (s size) total() int { return s.topics * s.partitions }

// world is a cluster without brokers: its metadata log and the image at the end of it. It does what the controller's loop does.
type world struct {
	size
	store   objstore.Store
	log     *metalog.Log
	img     *meta.Image
	nodes   []meta.NodeRef
	streams [][]base.StreamID // that each of nodes uploads
	number  []uint64          // of each one's last upload
	nowMS   int64

	keep    bool            // entries, for followers
	entries []metalog.Entry // every slot since keep was set
	bytes   int64           // of records, all slots
	slots   int
	decided time.Duration // CPU time of deciding, encoding and applying
}

const beginMS = 1_700_000_000_000

// newWorld creates a cluster and lets all its brokers join. Ids are not drawn but counted, so that equal worlds are equal byte for byte.
func newWorld(ctx context.Context, store objstore.Store, s size) (*world, error) {
	w := &world{size: s, store: store, nowMS: beginMS}
	var err error
	if w.log, w.img, err = metalog.Open(ctx, w.options()); err != nil {
		return nil, err
	}
	for i := range s.brokers {
		res, err := w.run(&meta.Register{
			Incarnation: numbered(2, i), Reclaim: base.NoNode, Name: fmt.Sprintf("broker-%d.example", i), Zone: fmt.Sprintf("zone-%d", i%3), WAL: "s3://bucket/wal",
			Endpoints: []meta.Endpoint{{Name: "PLAINTEXT", Host: fmt.Sprintf("broker-%d.example", i), Port: 9092}, {Name: meta.PeerEndpoint, Host: fmt.Sprintf("broker-%d.example", i), Port: 19092}},
		})
		if err != nil {
			return nil, err
		}
		w.nodes = append(w.nodes, res[0].(*meta.Registered).Node)
	}
	return w, nil
}

func (w *world) options() metalog.Options {
	return metalog.Options{Store: w.store, NewCluster: base.UUID{1}, Now: func() time.Time { return time.UnixMilli(w.nowMS) }}
}

func numbered(kind byte, i int) base.UUID {
	id := base.UUID{kind}
	binary.BigEndian.PutUint32(id[4:], uint32(i))
	id[15] = 1
	return id
}

// run decides commands as one batch and appends what they do as one slot.
func (w *world) run(cmds ...meta.Command) ([]meta.Result, error) {
	began := cpuTime()
	d := w.img.Draft()
	var body []byte
	var results []meta.Result
	count := 0
	for _, cmd := range cmds {
		recs, res, err := d.Execute(cmd, w.nowMS)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", meta.CommandName(cmd), err)
		}
		for _, r := range recs {
			body = meta.AppendRecord(body, r)
		}
		count += len(recs)
		results = append(results, res)
	}
	if count == 0 {
		return results, nil
	}
	after := d.Image()
	w.decided += cpuTime() - began
	acked := make(chan error, 1)
	w.log.Append(body, count, func(err error) { acked <- err })
	if err := <-acked; err != nil {
		return nil, err
	}
	w.log.Acknowledged()
	if w.keep {
		w.entries = append(w.entries, metalog.Entry{From: w.img.Pos(), Records: count, Body: body, Next: w.log.Next()})
	}
	w.bytes += int64(len(body))
	w.slots++
	w.img = after
	return results, nil
}

// create makes all topics, batch of them in one slot.
func (w *world) create(batch int) error {
	for from := 0; from < w.topics; from += batch {
		var cmds []meta.Command
		for i := from; i < min(from+batch, w.topics); i++ {
			cmds = append(cmds, &meta.CreateTopics{Topics: []meta.NewTopic{{Name: fmt.Sprintf("topic-%05d", i), Partitions: int32(w.partitions), ID: numbered(3, i)}}})
		}
		if _, err := w.run(cmds...); err != nil {
			return err
		}
	}
	return nil
}

// serve has every broker open and serve what it leads, and chooses what it uploads.
func (w *world) serve() error {
	w.streams, w.number = make([][]base.StreamID, len(w.nodes)), make([]uint64, len(w.nodes))
	for i, ref := range w.nodes {
		open := &meta.OpenPartitions{Node: ref}
		for p := range w.img.PartitionsLedBy(ref.ID) {
			open.Partitions = append(open.Partitions, meta.OpenPartition{Partition: meta.PartitionID{Topic: p.Topic, Index: p.Index}, Expected: -1})
			if len(w.streams[i]) < w.ranges {
				w.streams[i] = append(w.streams[i], p.Data)
			}
		}
		if _, err := w.run(open); err != nil {
			return err
		}
		serve := &meta.ServePartitions{Node: ref}
		for _, p := range open.Partitions {
			serve.Partitions = append(serve.Partitions, meta.EpochPartition{Partition: p.Partition})
		}
		if _, err := w.run(serve); err != nil {
			return err
		}
	}
	return nil
}

// upload returns the commit of the next upload of node i to an object that was prepared: some hundred records for each stream.
func (w *world) upload(img *meta.Image, i int, object base.ObjectID) *meta.CommitUpload {
	cmd := &meta.CommitUpload{Node: w.nodes[i], Number: w.number[i] + 1, Trim: base.WALPos(w.number[i]+1) * 64 << 20}
	o := meta.UploadObject{ID: object, Ranges: make([]meta.UploadRange, 0, len(w.streams[i]))}
	for k, id := range w.streams[i] {
		s, _ := img.Stream(id)
		n := 100 + int64(k*7+i)%400
		o.Ranges = append(o.Ranges, meta.UploadRange{
			Stream: id, Epoch: s.Epoch, Range: base.OffsetRange{Start: s.CommittedEnd, End: s.CommittedEnd + base.Offset(n)}, Bytes: n * 250, MaxTimestamp: w.nowMS,
		})
		o.Size += n * 250
	}
	cmd.Objects = []meta.UploadObject{o}
	return cmd
}

// round has every broker prepare and commit one upload, each command in a slot of its own, as they come in a cluster that is not busy; with
// together, the commands of so many brokers share slots.
func (w *world) round(together int) error {
	w.nowMS += 60_000
	for from := 0; from < len(w.nodes); from += together {
		to := min(from+together, len(w.nodes))
		var prepare, commit []meta.Command
		for i := from; i < to; i++ {
			prepare = append(prepare, &meta.PrepareObjects{Node: w.nodes[i], Count: 1})
		}
		ids, err := w.run(prepare...)
		if err != nil {
			return err
		}
		for i := from; i < to; i++ {
			commit = append(commit, w.upload(w.img, i, ids[i-from].(*meta.ObjectsPrepared).First))
			w.number[i]++
		}
		if _, err := w.run(commit...); err != nil {
			return err
		}
	}
	return nil
}

// trim has every broker move the start of its streams so far that keep uploads are left, as retention does.
func (w *world) trim(keep int) error {
	for i, ref := range w.nodes {
		cmd := &meta.TrimStreams{Node: ref}
		for _, id := range w.streams[i] {
			s, _ := w.img.Stream(id)
			n := 0
			for r := range w.img.RangesOf(id, s.Start) {
				if n++; n == s.Ranges()-keep {
					cmd.Trims = append(cmd.Trims, meta.StreamTrim{Stream: id, Epoch: s.Epoch, Start: r.End})
					break
				}
			}
		}
		if _, err := w.run(cmd); err != nil {
			return err
		}
	}
	return nil
}

// compact has every broker merge all ranges that each of its streams has into one, all of them in one object.
func (w *world) compact() error {
	for i, ref := range w.nodes {
		ids, err := w.run(&meta.PrepareObjects{Node: ref, Count: 1})
		if err != nil {
			return err
		}
		o := meta.CompactedObject{ID: ids[0].(*meta.ObjectsPrepared).First}
		cmd := &meta.CommitCompaction{Node: ref}
		for _, id := range w.streams[i] {
			s, _ := w.img.Stream(id)
			r, n := meta.Replacement{Stream: id}, meta.NewRange{Object: o.ID, MaxTimestamp: w.nowMS}
			for g := range s.Held() {
				if len(r.Sources) == 0 {
					n.Range.Start = g.Start
				}
				n.Range.End = g.End
				n.Bytes += g.Bytes
				r.Sources = append(r.Sources, g.Object)
			}
			r.Range, r.New = n.Range, []meta.NewRange{n}
			o.Size += n.Bytes
			cmd.Replacements = append(cmd.Replacements, r)
		}
		cmd.Objects = []meta.CompactedObject{o}
		res, err := w.run(cmd)
		if err != nil {
			return err
		}
		for _, v := range res[0].(*meta.CompactionDone).Verdicts {
			if v != meta.CompactReplaced {
				return fmt.Errorf("compaction: %v", v)
			}
		}
	}
	return nil
}

// snapshot writes one, as the controller does beside its loop.
func (w *world) snapshot(ctx context.Context) (bytes int64, err error) {
	job := w.log.Snapshot(w.img)
	bytes, err = job.Run(ctx)
	w.log.Finished(job, bytes, err)
	return bytes, err
}
