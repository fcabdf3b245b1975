package main

import (
	"context"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"time"

	"sluice/base"
	"sluice/cluster/balance"
	"sluice/cluster/control"
	"sluice/cluster/meta"
	"sluice/cluster/metalog"
	"sluice/storage/objstore"
	"sluice/storage/objstore/fault"
	"sluice/storage/objstore/mem"
)

// measureCreate makes the partitions and has them opened and served.
func measureCreate(_ context.Context, w *world, before uint64) error {
	if err := w.create(10); err != nil {
		return err
	}
	row("create all partitions", "%.0f ms, %.2f MB of log", ms(w.decided), mb(w.bytes))
	was, decided := w.bytes, w.decided
	if err := w.serve(); err != nil {
		return err
	}
	row("open and serve all partitions", "%.0f ms, %.2f MB of log", ms(w.decided-decided), mb(w.bytes-was))
	used := heap() - before - stored(w.store)
	row("image, nothing uploaded yet", "%.1f MB, %d B per partition", mb(used), used/uint64(w.total()))
	return nil
}

// stored is what the bucket in memory takes of the heap.
func stored(s objstore.Store) uint64 {
	if m, ok := s.(*mem.Store); ok {
		return uint64(m.Bytes())
	}
	return 0
}

// measureSteady has all brokers upload for some rounds.
func measureSteady(ctx context.Context, w *world, before uint64) error {
	empty, was, slots, decided := heap()-stored(w.store), w.bytes, w.slots, w.decided
	for range *rounds {
		if err := w.round(1); err != nil || ctx.Err() != nil {
			return err
		}
	}
	took := w.decided - decided
	uploads := *rounds * w.brokers
	per := float64(w.bytes-was) / float64(uploads)
	row("records of one upload, with its object prepared", "%.0f B, %.1f B per stream", per, per/float64(w.ranges))
	row("deciding, encoding and applying one upload", "%.2f ms", ms(took)/float64(uploads))
	for _, every := range []float64{60, 10, 1} {
		rate := float64(w.brokers) / every
		row(fmt.Sprintf("log, an upload per broker every %.0f s", every), "%.1f kB/s, %.1f commands/s, %.0f %% of a core to decide", per*rate/1e3, 2*rate, rate*ms(took)/float64(uploads)/10)
	}
	row("slots if no two commands come together, a minute of uploads every 60 s", "%d", (w.slots-slots)/(*rounds))
	used := heap() - stored(w.store)
	ranges := int64(uploads * w.ranges)
	each := float64(used-empty) / float64(ranges)
	row(fmt.Sprintf("image after %d uploads of every broker, as it grew", *rounds), "%.0f MB, %.1f B more per range", mb(used-before), each)
	row("it grows, an upload per broker every 60 s and nothing compacted or trimmed", "%.0f MB per hour", each*float64(w.brokers*w.ranges)*60/1e6)
	return nil
}

// measureSnapshot writes and loads one.
func measureSnapshot(ctx context.Context, w *world, _ uint64) error {
	var b []byte
	encode, _ := worked(func() error { b = w.img.AppendSnapshot(nil); return nil })
	b = append(make([]byte, 0, len(b)), b...) // it takes no more memory than its size
	size := len(b)
	var img *meta.Image
	load, err := worked(func() (err error) { img, err = meta.LoadSnapshot(b); return err })
	if err != nil {
		return err
	}
	with := heap()
	runtime.KeepAlive(img)
	runtime.KeepAlive(b)
	img, b = nil, nil
	row("snapshot", "%.1f MB, encoded in %.0f ms, loaded in %.0f ms", mb(size), ms(encode), ms(load))
	row("the same image, loaded from it", "%.0f MB", mb(with-uint64(size)-heap()))
	took, err := timed(func() error { _, err := w.snapshot(ctx); return err })
	row("snapshot written, read back, log trimmed (bucket in memory)", "%.0f ms", ms(took))
	return err
}

// slow is a store that takes 20 ms for every request.
func slow(s objstore.Store) objstore.Store {
	return fault.New(s, 1, fault.Rule{Name: "slow", Delay: 20 * time.Millisecond})
}

// measureStart lets uploads follow the snapshot and then starts controllers, each of which takes the log over.
func measureStart(ctx context.Context, w *world, _ uint64) error {
	was, slots := w.bytes, w.slots
	for n := 0; n < 2 || !w.log.Due(); n++ {
		if err := w.round(1); err != nil {
			return err
		}
		if n != 1 && !w.log.Due() {
			continue
		}
		tail := fmt.Sprintf("snapshot and %d slots, %.1f MB", w.slots-slots, mb(w.bytes-was))
		if n > 1 {
			tail += ", the longest there is"
		}
		if err := w.restart(ctx, tail); err != nil {
			return err
		}
	}
	return nil
}

// restart starts controllers and measures how long they take; then the world takes the log over again.
func (w *world) restart(ctx context.Context, tail string) error {
	for _, place := range []struct {
		name  string
		store objstore.Store
	}{{"bucket in memory", w.store}, {"20 ms a request", slow(w.store)}} {
		var c *control.Controller
		took, err := timed(func() (err error) {
			c, err = control.Start(ctx, control.Options{Store: place.store})
			return err
		})
		if err != nil {
			return err
		}
		row(fmt.Sprintf("controller starts from %s (%s)", tail, place.name), "%.2f s", took.Seconds())
		if err := c.Close(); err != nil {
			return err
		}
	}
	w.log.Close()
	opt := w.options()
	opt.Store = slow(w.store)
	r, err := metalog.OpenReader(ctx, opt)
	if err != nil {
		return err
	}
	took, err := timed(func() (err error) {
		w.log, w.img, err = metalog.TakeOver(ctx, opt, r)
		return err
	})
	row("a follower that is at the end takes over (20 ms a request)", "%.0f ms", ms(took))
	if err != nil {
		return err
	}
	w.log.Close()
	w.log, w.img, err = metalog.Open(ctx, w.options())
	return err
}

// measureFollow is what a broker that is not the controller receives and does.
func measureFollow(_ context.Context, w *world, _ uint64) error {
	img := w.img
	w.keep, w.entries = true, nil
	defer func() { w.keep, w.entries = false, nil }()
	for range 2 {
		if err := w.round(1); err != nil {
			return err
		}
	}
	bytes := 0
	for _, e := range w.entries {
		bytes += len(e.Body)
	}
	took, err := worked(func() (err error) {
		for _, e := range w.entries {
			if img, err = e.Apply(img); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	uploads := 2 * w.brokers
	per, cpu := float64(bytes)/float64(uploads), ms(took)/float64(uploads)
	row("following one upload", "%.1f kB, %.2f ms to decode and apply", per/1e3, cpu)
	for _, every := range []float64{60, 10, 1} {
		rate := float64(w.brokers) / every
		row(fmt.Sprintf("each follower, an upload per broker every %.0f s", every), "%.1f kB/s, %.1f %% of a core; the controller sends %.1f MB/s", per*rate/1e3, cpu*rate/10, per*rate*float64(w.brokers-1)/1e6)
	}
	return nil
}

// measurePlan is what the controller's placement does every two seconds.
func measurePlan(_ context.Context, w *world, _ uint64) error {
	loads, now := w.loads(), time.UnixMilli(w.nowMS)
	b := balance.NewBalancer(balance.Options{})
	first, _ := worked(func() error { b.Plan(w.img, loads, now); return nil })
	const times = 10
	took, _ := worked(func() error {
		for i := range times {
			b.Plan(w.img, loads, now.Add(time.Duration(i+1)*2*time.Second))
		}
		return nil
	})
	row("balancer, a look at an even cluster", "%.0f ms (the first %.0f ms)", ms(took)/times, ms(first))
	took, _ = worked(func() error {
		for range times {
			balance.Orphans(w.img)
		}
		return nil
	})
	row("looking for orphans when there are none", "%.3f ms", ms(took)/times)
	return nil
}

func measureFailover(_ context.Context, w *world, _ uint64) error {
	i := len(w.nodes) - 1
	f, err := w.failover(i)
	if err != nil {
		return err
	}
	row(fmt.Sprintf("fence a node with %d partitions", f.orphans), "%.1f ms, %d B of log", ms(f.fence), f.fenceBytes)
	row("find its partitions / spread them / assign them", "%.1f / %.1f / %.1f ms, %.1f kB of log", ms(f.find), ms(f.spread), ms(f.assign), float64(f.closeBytes+f.assignment)/1e3)
	w.nodes, w.streams, w.number = w.nodes[:i], w.streams[:i], w.number[:i]
	return nil
}

// measureTrim is what retention gives back.
func measureTrim(_ context.Context, w *world, before uint64) error {
	const keep = 10
	full := heap() - before - stored(w.store)
	bytes, decided := w.bytes, w.decided
	if err := w.trim(keep); err != nil {
		return err
	}
	took := w.decided - decided
	row(fmt.Sprintf("image when all streams are trimmed to %d uploads", keep), "from %.0f to %.0f MB; %.2f MB of log, %.0f ms", mb(full), mb(heap()-before-stored(w.store)), mb(w.bytes-bytes), ms(took))
	return nil
}

// measureCompact merges what is left of every stream into one range.
func measureCompact(_ context.Context, w *world, before uint64) error {
	full := heap() - before - stored(w.store)
	bytes, decided := w.bytes, w.decided
	if err := w.compact(); err != nil {
		return err
	}
	took, streams := w.decided-decided, 0
	for _, s := range w.streams {
		streams += len(s)
	}
	row("image when a compaction per broker makes one range of each stream's", "from %.0f to %.0f MB; %.1f B of log and %.1f µs per stream", mb(full), mb(heap()-before-stored(w.store)),
		float64(w.bytes-bytes)/float64(streams), ms(took)*1e3/float64(streams))
	return nil
}

// latencies are those of commands of one kind.
type latencies struct {
	mu   sync.Mutex
	took []time.Duration
}

func (l *latencies) add(d time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.took = append(l.took, d)
}

func (l *latencies) String() string {
	slices.Sort(l.took)
	at := func(q float64) float64 { return ms(l.took[int(q*float64(len(l.took)-1))]) }
	return fmt.Sprintf("p50 %.1f ms, p99 %.1f ms (%d)", at(0.5), at(0.99), len(l.took))
}

// measureLatency runs a controller over a bucket that takes 20 ms for every request, with and without the uploads of all brokers.
func measureLatency(ctx context.Context, w *world, _ uint64) error {
	w.log.Close()
	c, err := control.Start(ctx, control.Options{Store: slow(w.store)})
	if err != nil {
		return err
	}
	defer c.Close()
	var idle latencies
	if err := probe(ctx, c, 5*time.Second, &idle); err != nil {
		return err
	}
	row("command, 20 ms a put, nothing else going on", "%s", &idle)
	for _, every := range []time.Duration{60 * time.Second, 10 * time.Second, 2 * time.Second} {
		var alone, commits latencies
		if err := w.busy(ctx, c, every, 8*time.Second, &alone, &commits); err != nil {
			return err
		}
		row(fmt.Sprintf("command, 20 ms a put, an upload per broker every %v", every), "%s", &alone)
		row(fmt.Sprintf("commit of an upload, every %v", every), "%s", &commits)
	}
	topic := &meta.CreateTopics{Topics: []meta.NewTopic{{Name: "many", Partitions: 10_000}}}
	took, err := timed(func() error { _, err := c.Submit(ctx, topic); return err })
	row("create a topic of 10,000 partitions, 20 ms a put", "%.0f ms", ms(took))
	return err
}

// probe sends one small command after the other, ten a second.
func probe(ctx context.Context, c *control.Controller, during time.Duration, l *latencies) error {
	end := time.Now().Add(during)
	for i := 0; time.Now().Before(end); i++ {
		began := time.Now()
		cmd := &meta.AlterConfigs{Changes: []meta.ConfigChange{{Kind: meta.GroupConfig, Name: "probe", Configs: map[string]string{"n": fmt.Sprint(i)}}}}
		if _, err := c.Submit(ctx, cmd); err != nil {
			return err
		}
		l.add(time.Since(began))
		time.Sleep(max(0, 100*time.Millisecond-time.Since(began)))
	}
	return nil
}

// busy has every broker upload so often, out of step with each other, while commands are probed.
func (w *world) busy(ctx context.Context, c *control.Controller, every, during time.Duration, alone, commits *latencies) error {
	var wg sync.WaitGroup
	errs := make(chan error, len(w.nodes))
	begin := time.Now()
	end := begin.Add(during)
	for i := range w.nodes {
		wg.Go(func() {
			for next := begin.Add(every * time.Duration(i) / time.Duration(len(w.nodes))); next.Before(end); next = next.Add(every) {
				time.Sleep(time.Until(next))
				took, err := w.uploadTo(ctx, c, i)
				if err != nil {
					errs <- err
					return
				}
				commits.add(took)
			}
		})
	}
	err := probe(ctx, c, during, alone)
	wg.Wait()
	select {
	case err = <-errs:
	default:
	}
	return err
}

// uploadTo commits the next upload of node i through a controller, and returns how long the commit took.
func (w *world) uploadTo(ctx context.Context, c control.Client, i int) (time.Duration, error) {
	res, err := control.Do[meta.ObjectsPrepared](ctx, c, &meta.PrepareObjects{Node: w.nodes[i], Count: 1})
	if err != nil {
		return 0, err
	}
	cmd := w.upload(c.Image(), i, base.ObjectID(res.First))
	began := time.Now()
	if _, err := c.Submit(ctx, cmd); err != nil {
		return 0, err
	}
	w.number[i]++
	return time.Since(began), nil
}
