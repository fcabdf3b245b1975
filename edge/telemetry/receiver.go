package telemetry

import (
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"sluice/base"
	"sluice/wire/batch"
	"sluice/wire/kerr"
)

// Options are what a Receiver works with. A zero value takes its default.
type Options struct {
	Collector  string // URL of an OTLP collector (HTTP, protobuf) to send on to; empty: show in the registry
	MaxBytes   int    // telemetry.max.bytes; 1 MiB
	Now        func() time.Time
	Logger     *slog.Logger
	Registerer prometheus.Registerer
}

// Receiver takes in what clients push.
type Receiver struct {
	opt     Options
	begin   time.Time
	metrics *metrics
	sender  *sender // nil: there is no collector

	mu struct {
		sync.Mutex
		subs    []Subscription
		version uint64
		clients map[base.UUID]*state
	}
}

// Push is what a client sends.
type Push struct {
	Subscription int32
	Terminating  bool
	Compression  int8
	Metrics      []byte
}

// New returns a receiver without subscriptions.
func New(opt Options) *Receiver {
	if opt.MaxBytes <= 0 {
		opt.MaxBytes = 1 << 20
	}
	if opt.Now == nil {
		opt.Now = time.Now
	}
	if opt.Logger == nil {
		opt.Logger = slog.New(slog.DiscardHandler)
	}
	r := &Receiver{opt: opt, begin: opt.Now()}
	r.mu.clients = map[base.UUID]*state{}
	r.metrics = newMetrics(opt.Registerer)
	if opt.Collector != "" {
		r.sender = startSender(opt.Collector, r.metrics, opt.Logger)
	} else if opt.Registerer != nil {
		opt.Registerer.MustRegister(collector{r})
	}
	return r
}

// Close ends the sending on, and drops what waits for it.
func (r *Receiver) Close() {
	if r.sender != nil {
		r.sender.close()
	}
}

// MaxBytes is the largest push, compressed.
func (r *Receiver) MaxBytes() int { return r.opt.MaxBytes }

// Update replaces the subscriptions.
func (r *Receiver) Update(subs []Subscription) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.mu.subs, r.mu.version = subs, r.mu.version+1
}

func (r *Receiver) nowMS() int64 { return r.opt.Now().Sub(r.begin).Milliseconds() }

// stateLocked returns what is remembered of a client, under the present subscriptions.
func (r *Receiver) stateLocked(c Client, nowMS int64) *state {
	s := r.mu.clients[c.Instance]
	if s == nil || s.version != r.mu.version {
		if s == nil {
			r.makeRoomLocked(nowMS)
		}
		s = newState(c, r.mu.subs, r.mu.version)
		r.mu.clients[c.Instance] = s
		r.metrics.clients.Set(float64(len(r.mu.clients)))
	}
	s.seenMS = nowMS
	return s
}

// makeRoomLocked forgets clients that are silent, and if there are too many still, the one that is silent for longest.
func (r *Receiver) makeRoomLocked(nowMS int64) {
	var oldest *state
	for id, s := range r.mu.clients {
		if nowMS > s.goneMS() {
			delete(r.mu.clients, id)
		} else if oldest == nil || s.seenMS < oldest.seenMS {
			oldest = s
		}
	}
	if len(r.mu.clients) >= clientsMax {
		delete(r.mu.clients, oldest.client.Instance)
	}
}

// Subscribe answers what a client is to send.
func (r *Receiver) Subscribe(c Client) (Told, kerr.Code) {
	now := r.nowMS()
	r.mu.Lock()
	defer r.mu.Unlock()
	s := r.stateLocked(c, now)
	if code := s.ask(now); code != kerr.None {
		return Told{}, code
	}
	told := s.told
	told.Metrics = slices.Clone(told.Metrics)
	return told, kerr.None
}

// Push takes in metrics of a client.
func (r *Receiver) Push(c Client, p Push) kerr.Code {
	now := r.nowMS()
	r.mu.Lock()
	code := r.stateLocked(c, now).push(&p, r.opt.MaxBytes, now)
	r.mu.Unlock()
	if code != kerr.None || len(p.Metrics) == 0 {
		return code
	}
	plain, err := batch.Decompress(nil, p.Metrics, batch.Codec(p.Compression), plainMax)
	if err == nil {
		err = r.take(c, plain)
	}
	if err != nil {
		r.metrics.dropped.WithLabelValues("malformed").Inc()
		r.opt.Logger.Debug("metrics of a client are malformed", "client", c.ID, "error", err)
		return kerr.InvalidRecord
	}
	r.metrics.pushes.Inc()
	return kerr.None
}

// take keeps what was pushed, or sends it on.
func (r *Receiver) take(c Client, plain []byte) error {
	series, over := map[seriesKey]point{}, 0
	if err := decode(plain, func(k seriesKey, p point) {
		if _, known := series[k]; known || len(series) < seriesMax {
			series[k] = p
		} else {
			over++
		}
	}); err != nil {
		return err
	}
	if r.sender != nil {
		r.sender.send(label(plain, &c))
		return nil
	}
	r.metrics.dropped.WithLabelValues("too many series").Add(float64(over))
	r.mu.Lock()
	defer r.mu.Unlock()
	s := r.mu.clients[c.Instance]
	if s == nil {
		return nil // it had to make room meanwhile
	}
	s.client = c
	s.keep(series)
	return nil
}

// keep puts new points in the place of old ones. Series that are not pushed any more go when there is no room.
func (s *state) keep(series map[seriesKey]point) {
	if s.series == nil || len(s.series)+len(series) > seriesMax {
		s.series = series
		return
	}
	for k, p := range series {
		s.series[k] = p
	}
}

// collector shows what clients pushed.
type collector struct{ r *Receiver }

var labels = []string{"metric", "attributes", "client_instance_id", "client_id", "client_software_name", "client_software_version"}

var (
	counterDesc = prometheus.NewDesc("sluice_client_metrics_total", "Sums that clients push (KIP-714), by their OpenTelemetry names.", labels, nil)
	gaugeDesc   = prometheus.NewDesc("sluice_client_metrics", "Gauges that clients push (KIP-714), by their OpenTelemetry names.", labels, nil)
)

// Describe implements prometheus.Collector.
func (collector) Describe(ch chan<- *prometheus.Desc) {
	ch <- counterDesc
	ch <- gaugeDesc
}

// Collect implements prometheus.Collector.
func (c collector) Collect(ch chan<- prometheus.Metric) {
	for _, m := range c.r.collected() {
		ch <- m
	}
}

func (r *Receiver) collected() (out []prometheus.Metric) {
	now := r.nowMS()
	r.mu.Lock()
	defer r.mu.Unlock()
	for id, s := range r.mu.clients {
		if now > s.goneMS() {
			delete(r.mu.clients, id)
			continue
		}
		instance, c := id.String(), &s.client
		for k, p := range s.series {
			desc, kind := gaugeDesc, prometheus.GaugeValue
			if k.counter {
				desc, kind = counterDesc, prometheus.CounterValue
			}
			out = append(out, prometheus.MustNewConstMetric(desc, kind, p.value, k.name, k.attributes, instance, valid(c.ID), valid(c.SoftwareName), valid(c.SoftwareVer)))
		}
	}
	r.metrics.clients.Set(float64(len(r.mu.clients)))
	return out
}

func valid(s string) string { return strings.ToValidUTF8(s[:min(len(s), nameMax)], "?") }
