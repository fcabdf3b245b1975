package main

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"sluice/app/bench"
)

// median of one number over the rounds.
func median(rs []*bench.Result, of func(*bench.Result) float64) float64 {
	if len(rs) == 0 {
		return 0
	}
	var v []float64
	for _, r := range rs {
		v = append(v, of(r))
	}
	slices.Sort(v)
	return v[len(v)/2]
}

func throughput(r *bench.Result) float64 {
	if r.Produce != nil {
		return r.Produce.MBPerSecond
	}
	return r.Consume.MBPerSecond
}
func cpuPerGB(r *bench.Result) float64 { return r.Broker.CPUSecondsPerGB }
func resident(r *bench.Result) float64 { return r.Broker.ResidentMaxMB }

// tables prints the results as Markdown.
func tables(w io.Writer, results map[key][]*bench.Result) error {
	var p strings.Builder
	p.WriteString("| as fast as possible, 1 KiB records | Kafka MB/s | Sluice MB/s | ratio | Kafka CPU s/GB | Sluice CPU s/GB | ratio | Kafka MB resident | Sluice MB resident | ratio |\n|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|\n")
	for _, s := range scenarios() {
		kafka, own := results[key{s.name, "kafka"}], results[key{s.name, "sluice"}]
		if s.systems != nil || len(kafka) == 0 || len(own) == 0 {
			continue
		}
		fmt.Fprintf(&p, "| %s", s.name)
		for _, of := range []func(*bench.Result) float64{throughput, cpuPerGB, resident} {
			a, b := median(kafka, of), median(own, of)
			fmt.Fprintf(&p, " | %.4g | %.4g | **%.2f**", a, b, b/a)
		}
		p.WriteString(" |\n")
	}
	p.WriteString("\n| 5,000 records/s of 1 KiB | produce p50 | p99 | p99.9 | end to end p50 | p99 | p99.9 | CPU s | MB resident |\n|---|--:|--:|--:|--:|--:|--:|--:|--:|\n")
	for _, s := range scenarios() {
		for _, sys := range s.systems {
			rs := results[key{s.name, sys}]
			if len(rs) == 0 {
				continue
			}
			fmt.Fprintf(&p, "| %s", sys)
			for _, of := range []func(*bench.Result) float64{
				func(r *bench.Result) float64 { return r.Produce.LatencyMS.P50 }, func(r *bench.Result) float64 { return r.Produce.LatencyMS.P99 },
				func(r *bench.Result) float64 { return r.Produce.LatencyMS.P999 }, func(r *bench.Result) float64 { return r.Consume.LatencyMS.P50 },
				func(r *bench.Result) float64 { return r.Consume.LatencyMS.P99 }, func(r *bench.Result) float64 { return r.Consume.LatencyMS.P999 },
				func(r *bench.Result) float64 { return r.Broker.CPUSeconds }, resident,
			} {
				fmt.Fprintf(&p, " | %.2f", median(rs, of))
			}
			p.WriteString(" |\n")
		}
	}
	_, err := io.WriteString(w, p.String())
	return err
}
