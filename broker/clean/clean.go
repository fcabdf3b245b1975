package clean

import (
	"context"
	"iter"
	"log/slog"
	"strconv"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"

	"sluice/broker/partition"
	"sluice/broker/topicconfig"
	"sluice/cluster/meta"
)

// Options are what a Cleaner works with. Partitions and Image are required.
type Options struct {
	// Partitions yields the partitions that are open here.
	Partitions func() iter.Seq[*partition.Partition]
	Image      func() *meta.Image
	// BrokerConfigs are the settings of this broker that are not as by default, under Kafka's names; nil means none.
	BrokerConfigs func() map[string]string

	Interval time.Duration // between checks (log.retention.check.interval.ms); 5 min
	// ExpireInterval is how often silent producers are looked for (producer.id.expiration.check.interval.ms); 10 min
	ExpireInterval time.Duration
	Trims          int           // under way at the same time; 256
	Timeout        time.Duration // of one trim; 1 min

	Now        func() time.Time      // nil means time.Now
	Logger     *slog.Logger          // nil means none
	Registerer prometheus.Registerer // nil means no metrics
}

// Cleaner runs the checks.
type Cleaner struct {
	opt     Options
	metrics *metrics
	cancel  context.CancelFunc
	wg      sync.WaitGroup
	running sync.Mutex // held by a check
}

// Start begins to check, the first time after one interval.
func Start(opt Options) *Cleaner {
	if opt.Interval <= 0 {
		opt.Interval = 5 * time.Minute
	}
	if opt.ExpireInterval <= 0 {
		opt.ExpireInterval = 10 * time.Minute
	}
	if opt.Trims <= 0 {
		opt.Trims = 256
	}
	if opt.Timeout <= 0 {
		opt.Timeout = time.Minute
	}
	if opt.Now == nil {
		opt.Now = time.Now
	}
	if opt.Logger == nil {
		opt.Logger = slog.New(slog.DiscardHandler)
	}
	if opt.BrokerConfigs == nil {
		opt.BrokerConfigs = func() map[string]string { return nil }
	}
	c := &Cleaner{opt: opt, metrics: newMetrics(opt.Registerer)}
	ctx, cancel := context.WithCancel(context.Background())
	c.cancel = cancel
	c.wg.Add(1)
	go c.loop(ctx)
	return c
}

// Close ends the checks; one that is under way is cut short.
func (c *Cleaner) Close() {
	c.cancel()
	c.wg.Wait()
}

func (c *Cleaner) loop(ctx context.Context) {
	defer c.wg.Done()
	tick, expire := time.NewTicker(c.opt.Interval), time.NewTicker(c.opt.ExpireInterval)
	defer tick.Stop()
	defer expire.Stop()
	for {
		select {
		case <-tick.C:
			c.Check(ctx)
		case <-expire.C:
			c.ExpireProducers()
		case <-ctx.Done():
			return
		}
	}
}

// Check checks all partitions once.
func (c *Cleaner) Check(ctx context.Context) {
	c.running.Lock()
	defer c.running.Unlock()
	img, nowMS := c.opt.Image(), c.opt.Now().UnixMilli()
	var g errgroup.Group
	g.SetLimit(c.opt.Trims)
	for p := range c.opt.Partitions() {
		if ctx.Err() != nil {
			break
		}
		c.checkPartition(ctx, &g, img, p, nowMS)
	}
	_ = g.Wait()
	c.metrics.checks.Inc()
}

// ExpireProducers forgets the producers that have been silent for producer.id.expiration.ms.
func (c *Cleaner) ExpireProducers() {
	idleMS := setting(c.opt.BrokerConfigs(), "producer.id.expiration.ms")
	for p := range c.opt.Partitions() {
		c.metrics.expired.Add(float64(p.ExpireProducers(idleMS)))
	}
}

// setting reads a whole number among the broker's settings.
func setting(configs map[string]string, name string) int64 {
	if n, err := strconv.ParseInt(configs[name], 10, 64); err == nil {
		return n
	}
	n, err := strconv.ParseInt(topicconfig.LookupBroker(name).Default, 10, 64)
	if err != nil {
		panic("BUG: clean: " + name + " has no number as default")
	}
	return n
}

// checkPartition starts the trims of a partition's streams, if any are called for.
func (c *Cleaner) checkPartition(ctx context.Context, g *errgroup.Group, img *meta.Image, p *partition.Partition, nowMS int64) {
	topic, name, index := p.ID()
	mp, ok := img.Partition(topic, index)
	if !ok || mp.LeaderEpoch != p.LeaderEpoch() {
		return
	}
	if s, ok := img.Stream(mp.Data); ok {
		if upTo, ok := due(spans(img, s), s.Bytes, p.Config(), nowMS); ok && upTo > p.Data().Start() {
			c.goTrim(ctx, g, func(ctx context.Context) {
				if err := p.TrimData(ctx, upTo); err != nil {
					c.opt.Logger.Warn("retention failed", "topic", name, "partition", index, "up to", upTo, "err", err)
					return
				}
				c.metrics.trims.Inc()
				c.opt.Logger.Info("retention moved the log start", "topic", name, "partition", index, "to", upTo)
			})
		}
	}
	if s, ok := img.Stream(mp.Meta); ok && min(p.MetaNeeded(), s.CommittedEnd) > p.Meta().Start() {
		c.goTrim(ctx, g, func(ctx context.Context) {
			if err := p.TrimMeta(ctx, s.CommittedEnd); err != nil {
				c.opt.Logger.Warn("meta stream not trimmed", "topic", name, "partition", index, "err", err)
			}
		})
	}
}

func (c *Cleaner) goTrim(ctx context.Context, g *errgroup.Group, trim func(context.Context)) {
	g.Go(func() error {
		ctx, cancel := context.WithTimeout(ctx, c.opt.Timeout)
		defer cancel()
		trim(ctx)
		return nil
	})
}

// spans yields a stream's committed ranges from its start on.
func spans(img *meta.Image, s meta.Stream) iter.Seq[span] {
	return func(yield func(span) bool) {
		for r := range img.RangesOf(s.ID, s.Start) {
			o, ok := img.Object(r.Object)
			if !ok {
				panic("BUG: clean: range of a missing object " + r.Object.String())
			}
			ts := r.MaxTimestamp
			if ts <= 0 {
				ts = o.PreparedMS
			}
			if !yield(span{r.OffsetRange, r.Bytes, ts, min(ts, o.PreparedMS)}) {
				return
			}
		}
	}
}
