package lead

import (
	"cmp"
	"context"
	"time"

	"sluice/broker/partition"
	"sluice/cluster/control"
	"sluice/cluster/meta"
	"sluice/storage/stream"
	"sluice/wire/kerr"
)

// start begins the jobs of partitions to open. Those whose streams an earlier try has opened under the present epoch go on from there.
func (l *Leader) start(open []meta.OpenPartition) {
	var fresh []meta.OpenPartition
	for _, o := range open {
		j := l.attached[o.Partition]
		delete(l.attached, o.Partition)
		switch {
		case j == nil:
			fresh = append(fresh, o)
		case j.open.LeaderEpoch == o.Expected:
			l.goDo(l.loads, func() { l.load(j) })
		default:
			l.drop([]*job{j})
			fresh = append(fresh, o)
		}
	}
	for len(fresh) > 0 {
		n := min(len(fresh), l.opt.BatchMax)
		batch := fresh[:n:n]
		fresh = fresh[n:]
		names := l.names(batch)
		l.goDo(l.openers, func() { l.openBatch(batch, names) })
	}
}

// warmMax bounds the wait for what is read for many partitions together; each can read for itself.
const warmMax = 5 * time.Second

// adopt begins the jobs of partitions whose streams are open for this node already.
func (l *Leader) adopt(given []taken) {
	var jobs []*job
	var snapshots []partition.Log
	for _, g := range given {
		p := g.partition
		id := meta.PartitionID{Topic: p.Topic, Index: p.Index}
		if old := l.attached[id]; old != nil { // of an earlier epoch
			delete(l.attached, id)
			l.drop([]*job{old})
		}
		t, _ := l.m.img.TopicByID(p.Topic)
		j := &job{id: id, name: t.Name, open: p, began: time.Now(), data: l.attach(g.data), meta: l.attach(g.meta)}
		jobs, snapshots = append(jobs, j), append(snapshots, j.meta)
	}
	if len(jobs) == 0 {
		return
	}
	l.loading.Add(int32(len(jobs)))
	l.wg.Go(func() {
		if len(jobs) > 1 {
			ctx, cancel := context.WithTimeout(l.ctx, warmMax)
			l.opt.Engine.Warm(ctx, snapshots)
			cancel()
		}
		for _, j := range jobs {
			l.goDo(l.takes, func() {
				defer l.loading.Add(-1)
				l.load(j)
			})
		}
	})
}

func (l *Leader) names(batch []meta.OpenPartition) []string {
	names := make([]string, len(batch))
	for i, o := range batch {
		t, _ := l.m.img.TopicByID(o.Partition.Topic)
		names[i] = t.Name
	}
	return names
}

// goDo runs f on a goroutine of its own once the semaphore has room; not at all if the leader closes first.
func (l *Leader) goDo(sem chan struct{}, f func()) {
	l.wg.Add(1)
	go func() {
		defer l.wg.Done()
		select {
		case sem <- struct{}{}:
			defer func() { <-sem }()
			f()
		case <-l.ctx.Done():
		}
	}()
}

// openBatch opens the streams of partitions with one command, and has them loaded.
func (l *Leader) openBatch(batch []meta.OpenPartition, names []string) {
	ctx, cancel := context.WithTimeout(l.ctx, l.opt.CallTimeout)
	defer cancel()
	began := time.Now()
	cmd := &meta.OpenPartitions{Node: l.opt.Node, Partitions: batch, ServeEmpty: true}
	res, err := control.Do[meta.PartitionsOpened](ctx, l.opt.Client, cmd)
	failed := make([]result, 0)
	for i, o := range batch {
		j := &job{id: o.Partition, name: names[i], began: began}
		switch {
		case err != nil:
			failed = append(failed, result{j, err})
		case res.Partitions[i].Err != nil:
			failed = append(failed, result{j, res.Partitions[i].Err})
		default:
			opened := res.Partitions[i]
			j.open = opened.Partition
			j.data, j.meta = l.attach(opened.Data), l.attach(opened.Meta)
			l.goDo(l.loads, func() { l.load(j) })
		}
	}
	if len(failed) > 0 {
		l.finish(failed...)
	}
}

func (l *Leader) attach(s meta.Stream) partition.Log {
	return l.opt.Engine.Attach(stream.StreamState{ID: s.ID, Epoch: s.Epoch, Start: s.Start, End: s.CommittedEnd, Volume: s.OwnerEpoch})
}

// load makes a job's partition from its streams.
func (l *Leader) load(j *job) {
	if j.p == nil {
		p, err := partition.Open(l.ctx, l.partitionOptions(j))
		if err != nil {
			l.finish(result{j, err})
			return
		}
		j.p = p
	}
	if j.open.State == meta.Serving {
		l.finish(result{job: j})
		return
	}
	select {
	case l.announce <- j:
	case <-l.ctx.Done():
	}
}

func (l *Leader) partitionOptions(j *job) partition.Options {
	starts := make([]partition.EpochStart, len(j.open.EpochStarts))
	for i, s := range j.open.EpochStarts {
		starts[i] = partition.EpochStart{Epoch: s.Epoch, Start: s.Start}
	}
	return partition.Options{
		Topic: j.id.Topic, Name: j.name, Index: j.id.Index, Epoch: j.open.LeaderEpoch, EpochStarts: starts,
		Data: j.data, Meta: j.meta, SnapshotBytes: l.opt.SnapshotBytes, Now: l.opt.Now, Logger: l.opt.Logger, Metrics: l.parts,
	}
}

// announceLinger is how long an announcement waits for partitions that were handed over together and are still being loaded: a command for
// each few of them would make the last ones wait for many commands.
const announceLinger = 60 * time.Millisecond

// announcer tells the cluster which partitions are ready: all that have become so in one command.
func (l *Leader) announcer() {
	defer l.wg.Done()
	for {
		var batch []*job
		select {
		case j := <-l.announce:
			batch = append(batch, j)
		case <-l.ctx.Done():
			return
		}
		l.finish(l.announceBatch(l.gather(batch))...)
	}
}

// gather adds those that have become ready meanwhile, or will in a moment.
func (l *Leader) gather(batch []*job) []*job {
	linger := time.NewTimer(announceLinger)
	defer linger.Stop()
	for len(batch) < l.opt.BatchMax {
		select {
		case j := <-l.announce:
			batch = append(batch, j)
			continue
		default:
		}
		if l.loading.Load() == 0 {
			break
		}
		select {
		case j := <-l.announce:
			batch = append(batch, j)
		case <-linger.C:
			return batch
		case <-l.ctx.Done():
			return batch
		}
	}
	return batch
}

func (l *Leader) announceBatch(batch []*job) []result {
	cmd := &meta.ServePartitions{Node: l.opt.Node}
	for _, j := range batch {
		cmd.Partitions = append(cmd.Partitions, meta.EpochPartition{Partition: j.id, Epoch: j.open.LeaderEpoch})
	}
	ctx, cancel := context.WithTimeout(l.ctx, l.opt.CallTimeout)
	defer cancel()
	res, err := control.Do[meta.Outcomes](ctx, l.opt.Client, cmd)
	out := make([]result, len(batch))
	for i, j := range batch {
		out[i] = result{job: j, err: err}
		if err == nil && res.Errs[i] != nil {
			out[i].err = res.Errs[i]
		}
		if out[i].err == nil {
			j.open.State = meta.Serving
		}
	}
	return out
}

// CloseAll gives up all partitions in an orderly way: appends end and become durable, producer snapshots are written, everything is
// uploaded, and the streams are closed, so that the next start has nothing to replay from a WAL. Whatever happens, nothing is opened or
// served any more when it returns; the error says what was left for a rescue. It is called once.
func (l *Leader) CloseAll(ctx context.Context) error {
	l.dir.closing.Store(true)
	l.unsubscribe()
	l.cancel()
	defer context.AfterFunc(ctx, l.handCancel)() // until then it is worth knowing what became of a hand-over
	l.wg.Wait()
	l.handCancel()
	l.forgetMoved()
	var gone []change
	for p := range l.dir.All() {
		gone = append(gone, change{p, false})
	}
	l.dir.apply(gone)
	for _, j := range l.attached {
		l.tell(j, false)
	}
	parts := make([]*partition.Partition, len(gone))
	for i, c := range gone {
		parts[i] = c.p
	}
	stopErr := partition.StopAll(ctx, parts)
	for _, p := range parts {
		p.Abandon(kerr.NotLeaderOrFollower, "the node is shutting down")
	}
	if err := l.opt.Engine.CloseAll(ctx); err != nil {
		return cmp.Or(stopErr, err)
	}
	return ctx.Err() // where all streams are closed, all is well, whatever a partition on a WAL that has failed could not do
}

// forgetMoved lets go of the partitions whose hand-over was answered when the loop had ended.
func (l *Leader) forgetMoved() {
	img := l.opt.Client.Image()
	if l.m.img == nil || img.Pos() > l.m.img.Pos() {
		l.m.img = img
	}
	var gone []change
	for id, j := range l.attached {
		if p, ok := l.m.img.Partition(id.Topic, id.Index); ok && p.LeaderEpoch > j.epoch() && j.p != nil {
			delete(l.attached, id)
			l.tell(j, false)
			gone = append(gone, change{j.p, false})
			l.drop([]*job{j})
		}
	}
	l.dir.apply(gone)
}
