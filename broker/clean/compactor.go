package clean

import (
	"cmp"
	"context"
	"iter"
	"log/slog"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"

	"sluice/base"
	"sluice/broker/partition"
	"sluice/broker/topicconfig"
	"sluice/cluster/meta"
	"sluice/storage/compact"
)

// CompactorOptions are what a Compactor works with. Partitions, Image and Env are required.
type CompactorOptions struct {
	// Partitions yields the partitions that are open here.
	Partitions func() iter.Seq[*partition.Partition]
	Image      func() *meta.Image
	// BrokerConfigs are the dynamic settings of this broker; nil means none.
	BrokerConfigs func() map[string]string
	// Env reads, writes and commits objects.
	Env *compact.Env

	Interval    time.Duration // between looks for what is due (log.cleaner.backoff.ms); 15 s
	Threads     int           // partitions cleaned at a time, where log.cleaner.threads does not say; 1
	MapBytes    int64         // memory for keys, of all threads together, at most; 16 MiB. log.cleaner.dedupe.buffer.size may say less
	ObjectBytes int64         // largest object written, and so the memory of an output; 8 MiB
	ReadBytes   int64         // what one GET fetches, and so the memory of an input; 2 MiB

	Now        func() time.Time      // nil means time.Now
	Logger     *slog.Logger          // nil means none
	Registerer prometheus.Registerer // nil means no metrics
}

func (o CompactorOptions) withDefaults() CompactorOptions {
	set := func(v *int64, d int64) {
		if *v <= 0 {
			*v = d
		}
	}
	set(&o.MapBytes, 16<<20)
	set(&o.ObjectBytes, 8<<20)
	set(&o.ReadBytes, 2<<20)
	if o.Interval <= 0 {
		o.Interval = 15 * time.Second
	}
	if o.Threads <= 0 {
		o.Threads = 1
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.BrokerConfigs == nil {
		o.BrokerConfigs = func() map[string]string { return nil }
	}
	return o
}

// Compactor removes from the partitions of compacted topics that this node leads the records that newer ones have replaced.
type Compactor struct {
	opt     CompactorOptions
	metrics *compactMetrics
	cancel  context.CancelFunc
	wg      sync.WaitGroup
	running sync.Mutex // held by a round

	mu struct {
		sync.Mutex
		// further is where passes came to that ended within a range, which the image cannot say: it knows ends of ranges only. It is lost
		// with the process; then that range is gone through again.
		further map[base.StreamID]base.Offset
		// waits is since when a dirty part has been seen to wait: merged ranges do not tell how old their first record is.
		waits map[base.StreamID]waiting
	}
}

// waiting is a dirty part that begins at from, and when it was first seen, in milliseconds.
type waiting struct {
	from  base.Offset
	since int64
}

// StartCompactor begins to look for what is due, the first time after one interval.
func StartCompactor(opt CompactorOptions) *Compactor {
	c := &Compactor{opt: opt.withDefaults(), metrics: newCompactMetrics(opt.Registerer)}
	c.mu.further = map[base.StreamID]base.Offset{}
	c.mu.waits = map[base.StreamID]waiting{}
	ctx, cancel := context.WithCancel(context.Background())
	c.cancel = cancel
	c.wg.Add(1)
	go c.loop(ctx)
	return c
}

// Close ends the passes that are under way.
func (c *Compactor) Close() {
	c.cancel()
	c.wg.Wait()
}

func (c *Compactor) loop(ctx context.Context) {
	defer c.wg.Done()
	timer := time.NewTimer(c.opt.Interval)
	defer timer.Stop()
	for {
		select {
		case <-timer.C:
			c.Round(ctx)
			timer.Reset(c.interval())
		case <-ctx.Done():
			return
		}
	}
}

// interval is the time to the next look.
func (c *Compactor) interval() time.Duration {
	if ms, err := strconv.ParseInt(c.opt.BrokerConfigs()["log.cleaner.backoff.ms"], 10, 64); err == nil {
		return max(time.Duration(ms)*time.Millisecond, 10*time.Millisecond)
	}
	return c.opt.Interval
}

// job is a partition that is due.
type job struct {
	p      *partition.Partition
	stream base.StreamID
	dirt   dirt
}

// Round looks once which partitions are due and cleans them, the dirtiest first.
func (c *Compactor) Round(ctx context.Context) {
	c.running.Lock()
	defer c.running.Unlock()
	jobs := c.look()
	configs := c.opt.BrokerConfigs()
	threads := c.opt.Threads
	if n, err := strconv.Atoi(configs["log.cleaner.threads"]); err == nil {
		threads = n
	}
	if len(jobs) == 0 || threads == 0 {
		return
	}
	settings := passSettings{mapBytes: c.opt.MapBytes, load: 0.9}
	if n := setting(configs, "log.cleaner.dedupe.buffer.size"); n < settings.mapBytes {
		settings.mapBytes = n
	}
	settings.mapBytes /= int64(threads)
	if f, err := strconv.ParseFloat(configs["log.cleaner.io.buffer.load.factor"], 64); err == nil {
		settings.load = min(max(f, 0.1), 0.95)
	}
	if f, err := strconv.ParseFloat(configs["log.cleaner.io.max.bytes.per.second"], 64); err == nil && f >= 1 && f < 1<<50 {
		settings.bandwidth = compact.NewBandwidth(int64(f), nil)
	}
	var g errgroup.Group
	g.SetLimit(threads)
	for _, j := range jobs {
		if ctx.Err() != nil {
			break
		}
		g.Go(func() error {
			c.clean(ctx, j, settings)
			return nil
		})
	}
	_ = g.Wait()
}

// look finds the partitions that are due, the dirtiest first. It reads nothing from the bucket.
func (c *Compactor) look() (jobs []job) {
	img, nowMS := c.opt.Image(), c.opt.Now().UnixMilli()
	worst, overdue, led := 0.0, int64(0), map[base.StreamID]bool{}
	for p := range c.opt.Partitions() {
		cfg := p.Config()
		if !cfg.Compact || p.Ended() {
			continue
		}
		topic, _, index := p.ID()
		mp, ok := img.Partition(topic, index)
		s, known := img.Stream(mp.Data)
		if !ok || !known || mp.LeaderEpoch != p.LeaderEpoch() {
			continue
		}
		led[s.ID] = true
		d := c.lookAt(img, s, p, cfg, nowMS)
		worst, overdue = max(worst, d.ratio()), max(overdue, d.overdueMS(cfg, nowMS))
		if d.due(cfg, nowMS) {
			jobs = append(jobs, job{p, s.ID, d})
		}
	}
	c.forget(led)
	c.metrics.dirtyRatioMax.Set(worst)
	c.metrics.overdueMax.Set(float64(overdue) / 1000)
	c.metrics.due.Set(float64(len(jobs)))
	slices.SortStableFunc(jobs, func(a, b job) int { return cmp.Compare(b.dirt.ratio(), a.dirt.ratio()) })
	return jobs
}

func (c *Compactor) lookAt(img *meta.Image, s meta.Stream, p *partition.Partition, cfg *topicconfig.Config, nowMS int64) dirt {
	cleaned := c.cleaned(s)
	if cleaned >= s.CommittedEnd {
		return dirt{from: cleaned, to: cleaned}
	}
	_, _, lso, _ := p.Bounds()
	d := look(spans(img, s), cleaned, min(lso, s.CommittedEnd), cfg, nowMS)
	if d.dirtyBytes > 0 {
		d.oldestMS = min(d.oldestMS, c.since(s.ID, d.from, nowMS))
	}
	return d
}

// since returns when the dirty part of a stream was first seen to begin where it does.
func (c *Compactor) since(id base.StreamID, from base.Offset, nowMS int64) int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	w, ok := c.mu.waits[id]
	if !ok || w.from != from {
		w = waiting{from, nowMS}
		c.mu.waits[id] = w
	}
	return w.since
}

// cleaned is where the last pass over a stream came to.
func (c *Compactor) cleaned(s meta.Stream) base.Offset {
	c.mu.Lock()
	defer c.mu.Unlock()
	return max(s.CleanedTo, c.mu.further[s.ID])
}

func (c *Compactor) cameTo(id base.StreamID, end base.Offset) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.mu.further[id] = end
}

// forget drops what is known of streams that are not led here any more.
func (c *Compactor) forget(led map[base.StreamID]bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for id := range c.mu.further {
		if !led[id] {
			delete(c.mu.further, id)
		}
	}
	for id := range c.mu.waits {
		if !led[id] {
			delete(c.mu.waits, id)
		}
	}
}
