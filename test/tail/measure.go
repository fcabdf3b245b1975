package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"sluice/app/bench"
)

// measurement is one run of the program.
type measurement struct {
	o         *options
	rates     []plainRate
	catchUp   caughtUp            // nothing else running
	tails     map[string][]tailed // tail beside nothing, beside somebody who reads the bucket, beside catch-up
	bystander []float64           // MB/s that somebody read
	catchWith []caughtUp          // catch-up beside the tail
	resident  float64             // MB that the broker had at most
}

// caughtUp is what consumers that catch up reached.
type caughtUp struct {
	MBPerS                   float64
	BrokerCPU, ClientCPU     float64 // cores
	GetsPer4MiB, TimesPerGot float64 // GETs for every 4 MiB read; bytes read from the bucket per byte consumed
}

// tailed is one run of the tail workload.
type tailed struct {
	*bench.Result
	BrokerCPU, TailCPU, BesideCPU float64 // cores
	LongWaits                     float64 // of a hundred goroutines of the broker so many waited for a core for longer than longWait
}

// broker is a running broker.
type broker struct{ *child }

func (b *broker) stop() { _ = b.child.stop() }

func (m *measurement) startBroker(ctx context.Context) (*broker, error) {
	c, err := m.o.start("broker", false)
	if err != nil {
		return nil, err
	}
	var r ready
	if err := c.receive(&r); err != nil {
		return nil, err
	}
	m.o.addr, m.o.admin = r.Kafka, r.Admin
	return &broker{c}, nil
}

// fill produces what is to be cold and ends the broker, which uploads what is left.
func (m *measurement) fill(ctx context.Context) error {
	b, err := m.startBroker(ctx)
	if err != nil {
		return err
	}
	defer b.stop()
	c, err := m.o.start("fill", false)
	if err != nil {
		return err
	}
	defer c.stop()
	var bytes int64
	return c.receive(&bytes)
}

func (m *measurement) plain(ctx context.Context) error {
	fmt.Fprintln(os.Stderr, "plain range GETs")
	c, err := m.o.start("plain", false)
	if err != nil {
		return err
	}
	defer c.stop()
	return c.receive(&m.rates)
}

// reads is what the block cache has read from the bucket so far.
type reads struct{ gets, bytes, cpu float64 }

func (m *measurement) reads(ctx context.Context, b *broker) (r reads, err error) {
	if r.gets, err = m.o.metric(ctx, "sluice_block_cache_gets_total"); err != nil {
		return r, err
	}
	r.bytes, err = m.o.metric(ctx, "sluice_block_cache_read_bytes_total")
	r.cpu = cpu(b.cmd.Process.Pid)
	return r, err
}

// watch follows a catch-up until done says that it is enough, and returns what it reached meanwhile.
func (m *measurement) watch(ctx context.Context, b *broker, c *child, done func(progress) bool) (u caughtUp, err error) {
	var first, last progress
	if err := c.receive(&first); err != nil {
		return u, err
	}
	before, err := m.reads(ctx, b)
	if err != nil {
		return u, err
	}
	clientBefore := cpu(c.cmd.Process.Pid)
	for last = first; ctx.Err() == nil && !done(last); {
		if err := c.receive(&last); err != nil {
			return u, err
		}
	}
	after, err := m.reads(ctx, b)
	if err != nil {
		return u, err
	}
	seconds, bytes := last.At.Sub(first.At).Seconds(), float64(last.Bytes-first.Bytes)
	return caughtUp{
		MBPerS: bytes / 1e6 / seconds, BrokerCPU: (after.cpu - before.cpu) / seconds, ClientCPU: (cpu(c.cmd.Process.Pid) - clientBefore) / seconds,
		GetsPer4MiB: (after.gets - before.gets) / ((after.bytes - before.bytes) / (4 << 20)), TimesPerGot: (after.bytes - before.bytes) / bytes,
	}, ctx.Err()
}

func (m *measurement) catchUpAlone(ctx context.Context, b *broker) error {
	fmt.Fprintln(os.Stderr, "catch-up alone")
	c, err := m.o.start("catch-up", true)
	if err != nil {
		return err
	}
	defer c.stop()
	m.o.takeProfile("catch-up", 5)
	end := time.Now().Add(time.Duration(m.o.seconds) * time.Second)
	m.catchUp, err = m.watch(ctx, b, c, func(p progress) bool { return p.Whole || time.Now().After(end) })
	return err
}

// tail measures the tail workload once, alone or beside a child in another role.
func (m *measurement) tail(ctx context.Context, b *broker, beside string) (err error) {
	fmt.Fprintln(os.Stderr, "tail, beside:", cmp.Or(beside, "nothing"))
	var c *child
	if beside != "" {
		if c, err = m.o.start(beside, true); err != nil {
			return err
		}
		defer c.stop()
	}
	t, err := m.o.start("tail", false)
	if err != nil {
		return err
	}
	defer t.stop()
	pause(ctx, 6*time.Second) // its warm-up
	m.o.takeProfile(strings.TrimSuffix("tail-"+beside, "-"), 5)
	brokerBefore, tailBefore, began := cpu(b.cmd.Process.Pid), cpu(t.cmd.Process.Pid), time.Now()
	waits, err := m.o.waits(ctx)
	if err != nil {
		return err
	}
	res := make(chan error, 1)
	var r bench.Result
	go func() { res <- t.receive(&r) }()
	out := tailed{Result: &r}
	if beside == "catch-up" {
		var u caughtUp
		ended := false
		u, err = m.watch(ctx, b, c, func(progress) bool {
			select {
			case err = <-res:
				ended = true
			default:
			}
			return ended
		})
		m.catchWith, out.BesideCPU = append(m.catchWith, u), u.ClientCPU
	} else {
		err = <-res
	}
	if err != nil {
		return err
	}
	seconds := time.Since(began).Seconds()
	waited, err := m.o.waits(ctx)
	if err != nil {
		return err
	}
	out.LongWaits = longWaits(waits, waited)
	m.resident = resident(b.cmd.Process.Pid)
	out.BrokerCPU, out.TailCPU = (cpu(b.cmd.Process.Pid)-brokerBefore)/seconds, (cpu(t.cmd.Process.Pid)-tailBefore)/seconds
	m.tails[beside] = append(m.tails[beside], out)
	fmt.Fprintf(os.Stderr, "  produce p99 %.2f ms, end to end p99 %.2f ms, broker %.2f cores, %.2f %% of its goroutines waited 0.9 ms for a core\n", r.Produce.LatencyMS.P99, r.Consume.LatencyMS.P99, out.BrokerCPU, out.LongWaits)
	if n := r.Produce.Errors + r.Consume.Errors; n > 0 {
		return fmt.Errorf("the tail workload had %d errors: %s %s", n, r.Produce.LastError, r.Consume.LastError)
	}
	if beside == "bystander" {
		var rate float64
		_ = c.stdin.Close()
		if err := c.receive(&rate); err != nil {
			return err
		}
		m.bystander = append(m.bystander, rate)
	}
	return ctx.Err()
}

func median[T any](all []T, of func(T) float64) float64 {
	var v []float64
	for _, x := range all {
		v = append(v, of(x))
	}
	slices.Sort(v)
	return v[len(v)/2]
}

// growth is by how much b is more than a, where a is not nothing.
func growth(a, b float64) string {
	if a == 0 {
		return ""
	}
	return fmt.Sprintf("%+.0f %%", 100*(b/a-1))
}

// report prints the tables.
func (m *measurement) report(w io.Writer) error {
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	alone, by, with := m.tails[""], m.tails["bystander"], m.tails["catch-up"]
	fmt.Fprintf(tw, "tail of %d MB/s, ms, median of %d\talone\tbeside plain GETs\tgrowth\tbeside catch-up\tgrowth\t\n", m.o.rate, m.o.rounds)
	for _, row := range []struct {
		name string
		of   func(tailed) float64
	}{
		{"produce p50", func(t tailed) float64 { return t.Produce.LatencyMS.P50 }},
		{"produce p99", func(t tailed) float64 { return t.Produce.LatencyMS.P99 }},
		{"produce p99.9", func(t tailed) float64 { return t.Produce.LatencyMS.P999 }},
		{"end to end p50", func(t tailed) float64 { return t.Consume.LatencyMS.P50 }},
		{"end to end p99", func(t tailed) float64 { return t.Consume.LatencyMS.P99 }},
		{"end to end p99.9", func(t tailed) float64 { return t.Consume.LatencyMS.P999 }},
		{"% of the broker's goroutines that waited 0.9 ms for a core", func(t tailed) float64 { return t.LongWaits }},
	} {
		a, b, c := median(alone, row.of), median(by, row.of), median(with, row.of)
		fmt.Fprintf(tw, "%s\t%.2f\t%.2f\t%s\t%.2f\t%s\t\n", row.name, a, b, growth(a, b), c, growth(a, c))
	}
	for _, row := range []struct {
		name string
		of   func(tailed) float64
	}{
		{"cores: broker", func(t tailed) float64 { return t.BrokerCPU }},
		{"cores: tail clients", func(t tailed) float64 { return t.TailCPU }},
		{"cores: catch-up clients", func(t tailed) float64 { return t.BesideCPU }},
	} {
		fmt.Fprintf(tw, "%s\t%.2f\t%.2f\t\t%.2f\t\t\n", row.name, median(alone, row.of), median(by, row.of), median(with, row.of))
	}
	if err := tw.Flush(); err != nil {
		return err
	}
	best := slices.MaxFunc(m.rates, func(a, b plainRate) int { return int(a.MBPerS - b.MBPerS) })
	fmt.Fprintln(w)
	for _, r := range m.rates {
		fmt.Fprintf(w, "plain GETs of %d MiB, %d at a time: %.0f MB/s, %.2f CPU s/GB\n", r.Size>>20, r.Goroutines, r.MBPerS, r.CPUPerGB)
	}
	show := func(name string, u caughtUp) {
		fmt.Fprintf(w, "%s: %.0f MB/s, %.0f %% of the best plain rate; %.2f GETs per 4 MiB, %.2f bytes read per byte consumed; cores: broker %.2f, clients %.2f\n", name, u.MBPerS,
			100*u.MBPerS/best.MBPerS, u.GetsPer4MiB, u.TimesPerGot, u.BrokerCPU, u.ClientCPU)
	}
	show(fmt.Sprintf("catch-up of %d alone", m.o.consumers), m.catchUp)
	for _, u := range m.catchWith {
		show("catch-up beside the tail", u)
	}
	fmt.Fprintf(w, "plain GETs beside the tail, by another process: %.0f MB/s\n", median(m.bystander, func(rate float64) float64 { return rate }))
	fmt.Fprintf(w, "broker: %.0f MB resident at most, with a memory of %s\n", m.resident, m.o.memory)
	return nil
}
