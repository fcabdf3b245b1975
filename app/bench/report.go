package bench

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"sluice/base"
)

// Result is the outcome of a run. Rates are over the measured part; MB are 10^6 bytes of record values.
type Result struct {
	Label      string    `json:"label,omitempty"`
	Client     string    `json:"client"`
	Topics     int       `json:"topics"`
	Partitions int       `json:"partitions"`
	Producers  int       `json:"producers"`
	Consumers  int       `json:"consumers"`
	RecordSize int       `json:"recordBytes"`
	Rate       int       `json:"rateRecordsPerSecond"`
	Seconds    float64   `json:"measuredSeconds"`
	Produce    *Flow     `json:"produce,omitempty"`
	Consume    *Flow     `json:"consume,omitempty"`
	Broker     *Broker   `json:"broker,omitempty"`
	Finished   time.Time `json:"finished"`
}

// Flow is one direction: acknowledged or consumed.
type Flow struct {
	Records          int64    `json:"records"`
	RecordsPerSecond float64  `json:"recordsPerSecond"`
	MBPerSecond      float64  `json:"mbPerSecond"`
	LatencyMS        *Latency `json:"latencyMS,omitempty"` // nil where records carry no intended time: raw consumers, catching up
	Errors           int64    `json:"errors"`
	LastError        string   `json:"lastError,omitempty"`
}

// Latency is in milliseconds.
type Latency struct {
	Mean float64 `json:"mean"`
	P50  float64 `json:"p50"`
	P95  float64 `json:"p95"`
	P99  float64 `json:"p99"`
	P999 float64 `json:"p99_9"`
	Max  float64 `json:"max"`
}

// Broker is what the process given by --pid used in the measured part. GB are 10^9 bytes of record values, produced plus consumed.
type Broker struct {
	CPUSeconds      float64 `json:"cpuSeconds"`
	CPUSecondsPerGB float64 `json:"cpuSecondsPerGB"`
	ResidentMaxMB   float64 `json:"residentMaxMB"`
}

func (r *run) result(cpu processUsage) *Result {
	res := &Result{
		Label: r.opt.Label, Client: r.opt.Client, Topics: r.opt.Topics, Partitions: r.opt.Partitions, Producers: r.opt.Producers, Consumers: r.opt.Consumers,
		RecordSize: r.opt.RecordSize, Rate: r.opt.Rate, Seconds: cpu.seconds, Finished: time.Now().UTC(),
	}
	var bytes int64
	if r.opt.Producers > 0 && !r.opt.CatchUp {
		res.Produce = r.acked.flow(res.Seconds, &bytes)
	}
	if r.opt.Consumers > 0 {
		res.Consume = r.read.flow(res.Seconds, &bytes)
		if r.opt.Client == "raw" || r.opt.CatchUp {
			res.Consume.LatencyMS = nil
		}
	}
	if cpu.known {
		res.Broker = &Broker{CPUSeconds: cpu.cpuSeconds, ResidentMaxMB: float64(cpu.rssMax) / 1e6}
		if bytes > 0 {
			res.Broker.CPUSecondsPerGB = cpu.cpuSeconds / (float64(bytes) / 1e9)
		}
	}
	return res
}

func (t *track) flow(seconds float64, bytes *int64) *Flow {
	t.mu.Lock()
	defer t.mu.Unlock()
	*bytes += t.mu.bytes
	f := &Flow{
		Records: t.mu.records, RecordsPerSecond: float64(t.mu.records) / seconds, MBPerSecond: float64(t.mu.bytes) / 1e6 / seconds,
		LatencyMS: latencyOf(t.mu.all), Errors: t.mu.errors,
	}
	if t.mu.lastErr != nil {
		f.LastError = t.mu.lastErr.Error()
	}
	return f
}

func latencyOf(h *hdrhistogram.Histogram) *Latency {
	ms := func(v int64) float64 { return float64(v) / 1000 }
	return &Latency{
		Mean: h.Mean() / 1000, P50: ms(h.ValueAtQuantile(50)), P95: ms(h.ValueAtQuantile(95)), P99: ms(h.ValueAtQuantile(99)),
		P999: ms(h.ValueAtQuantile(99.9)), Max: ms(h.Max()),
	}
}

func printProgress(w io.Writer, at time.Duration, warming bool, acked, read second) {
	phase := "measure"
	if warming {
		phase = "warm-up"
	}
	fmt.Fprintf(w, "%5.0fs %s  produced %8d rec/s %7.1f MB/s p50 %8v p99 %8v   consumed %8d rec/s %7.1f MB/s p99 %8v\n", at.Seconds(), phase,
		acked.records, float64(acked.bytes)/1e6, acked.p50, acked.p99, read.records, float64(read.bytes)/1e6, read.p99)
}

// WriteTable prints the result for people. Produce latency is up to the acknowledgement, consume latency end to end.
func (res *Result) WriteTable(w io.Writer) error {
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(tw, "\trecords\trec/s\tMB/s\tmean ms\tp50\tp95\tp99\tp99.9\tmax\terrors\t")
	for _, row := range []struct {
		name string
		f    *Flow
	}{{"produce", res.Produce}, {"consume", res.Consume}} {
		if f := row.f; f != nil {
			latency := strings.Repeat("-\t", 6)
			if l := f.LatencyMS; l != nil {
				latency = fmt.Sprintf("%.2f\t%.2f\t%.2f\t%.2f\t%.2f\t%.2f\t", l.Mean, l.P50, l.P95, l.P99, l.P999, l.Max)
			}
			fmt.Fprintf(tw, "%s\t%d\t%.0f\t%.1f\t%s%d\t\n", row.name, f.Records, f.RecordsPerSecond, f.MBPerSecond, latency, f.Errors)
		}
	}
	if err := tw.Flush(); err != nil {
		return err
	}
	if b := res.Broker; b != nil {
		fmt.Fprintf(w, "broker: %.2f CPU seconds, %.3f per GB produced and consumed; %.0f MB resident at most\n", b.CPUSeconds, b.CPUSecondsPerGB, b.ResidentMaxMB)
	}
	for _, f := range []*Flow{res.Produce, res.Consume} {
		if f != nil && f.LastError != "" {
			fmt.Fprintf(w, "last error: %s\n", f.LastError)
		}
	}
	return nil
}

// WriteJSON prints the result for programs.
func (res *Result) WriteJSON(w io.Writer) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	return enc.Encode(res)
}

// startOffsets returns where consumers start: the partitions' ends, or their beginnings in catch-up.
func (r *run) startOffsets(ctx context.Context, parts []target) (map[target]int64, error) {
	cl, err := kgo.NewClient(r.opt.connect()...)
	if err != nil {
		return nil, base.Errorf(base.Invalid, "--bootstrap-server: %w", err)
	}
	defer cl.Close()
	list := kadm.NewClient(cl).ListEndOffsets
	if r.opt.CatchUp {
		list = kadm.NewClient(cl).ListStartOffsets
	}
	offsets, err := list(ctx, r.topics...)
	if err == nil {
		err = offsets.Error()
	}
	if err != nil {
		return nil, base.Errorf(base.Unavailable, "list offsets: %w", err)
	}
	out := map[target]int64{}
	for _, p := range parts {
		o, ok := offsets.Lookup(p.topic, p.partition)
		if !ok {
			return nil, base.Errorf(base.NotFound, "topic %s has no partition %d: delete it or give --partitions as it is", p.topic, p.partition)
		}
		out[p] = o.Offset
	}
	return out, nil
}
