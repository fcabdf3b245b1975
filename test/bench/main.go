// Command bench measures sluice and Apache Kafka side by side, with the same load tool on the same machine in one run, and prints the
// tables of docs/performance.md. `make bench` runs it.
//
// Each measurement starts a fresh broker on an empty directory. The systems take turns within a scenario, and each number is the
// median of the rounds, so that a noisy minute hits all of them.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"sluice/app/bench"
)

var (
	seconds = flag.Int("seconds", 15, "measured seconds of each run")
	warmup  = flag.Int("warmup", 5, "seconds of warm-up before them")
	rounds  = flag.Int("rounds", 3, "rounds; the median counts")
	only    = flag.String("only", "", "run only scenarios whose name contains this")
	system  = flag.String("systems", "kafka,kafka-flush,sluice", "systems to run")
	dir     = flag.String("dir", ".cache/bench", "where the brokers keep their data; emptied before each run")
	out     = flag.String("json", "", "write all results to this file")
)

// scenario is one load.
type scenario struct {
	name    string
	systems []string // nil: kafka and sluice
	args    []string
	fill    bool // catch-up: consuming is measured
}

func scenarios() []scenario {
	var all []scenario
	for _, client := range []string{"raw", "kgo"} {
		for _, parts := range []int{1, 16, 256} {
			load := []string{"--client", client, "--partitions", strconv.Itoa(parts), "--record-size", "1024", "--producers", "2"}
			all = append(all,
				scenario{name: fmt.Sprintf("produce %s %d partitions", client, parts), args: append(slices.Clone(load), "--consumers", "0")},
				scenario{name: fmt.Sprintf("consume %s %d partitions", client, parts), args: append(slices.Clone(load), "--consumers", "2", "--catch-up", "--catch-up-bytes", "2GiB"), fill: true})
		}
	}
	return append(all, scenario{name: "latency at 5000 records/s", systems: []string{"kafka", "kafka-flush", "sluice"},
		args: []string{"--client", "kgo", "--partitions", "16", "--record-size", "1024", "--producers", "1", "--consumers", "1", "--rate", "5000"}})
}

func main() {
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// key names a cell of the tables.
type key struct{ scenario, system string }

func run(ctx context.Context) error {
	wanted := strings.Split(*system, ",")
	results := map[key][]*bench.Result{}
	var flat []*bench.Result
	for _, s := range scenarios() {
		if !strings.Contains(s.name, *only) {
			continue
		}
		systems := s.systems
		if systems == nil {
			systems = []string{"kafka", "sluice"}
		}
		for round := range *rounds {
			for _, sys := range systems {
				if !slices.Contains(wanted, sys) {
					continue
				}
				res, err := measure(ctx, s, sys)
				if err != nil {
					return fmt.Errorf("%s, %s: %w", s.name, sys, err)
				}
				fmt.Fprintf(os.Stderr, "%s, %s, round %d: %s\n", s.name, sys, round+1, summary(s, res))
				results[key{s.name, sys}] = append(results[key{s.name, sys}], res)
				flat = append(flat, res)
			}
		}
	}
	if *out != "" {
		b, err := json.MarshalIndent(flat, "", " ")
		if err != nil {
			return err
		}
		if err := os.WriteFile(*out, b, 0o644); err != nil {
			return err
		}
	}
	return tables(os.Stdout, results)
}

// measure starts a system, runs the load tool against it and ends it.
func measure(ctx context.Context, s scenario, system string) (*bench.Result, error) {
	if err := os.RemoveAll(*dir); err != nil {
		return nil, err
	}
	data, err := filepath.Abs(*dir)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(data, 0o755); err != nil {
		return nil, err
	}
	addr, err := freeAddr()
	if err != nil {
		return nil, err
	}
	_, port, _ := net.SplitHostPort(addr)
	var cmd *exec.Cmd
	switch system {
	case "sluice":
		cmd = exec.Command("bin/sluice", "start", "--data", data, "--listen", addr, "--admin", "127.0.0.1:0")
	case "kafka":
		cmd = exec.Command("test/kafka/kafka", "start", data, port)
	case "kafka-flush":
		cmd = exec.Command("test/kafka/kafka", "start", data, port, "log.flush.interval.messages=1")
	default:
		return nil, errors.New("no such system: want kafka, kafka-flush or sluice")
	}
	log, err := os.Create(data + ".log")
	if err != nil {
		return nil, err
	}
	defer log.Close()
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	defer func() {
		_ = cmd.Process.Kill() // it may have ended
		_ = cmd.Wait()
	}()
	if err := awaitPort(ctx, addr); err != nil {
		return nil, fmt.Errorf("%w; its log is %s", err, log.Name())
	}
	args := []string{"bench", "--bootstrap-server", addr, "--pid", strconv.Itoa(cmd.Process.Pid), "--label", system + ": " + s.name, "--json", "--duration", fmt.Sprint(*seconds, "s"), "--warmup", fmt.Sprint(*warmup, "s")}
	if s.fill {
		args[len(args)-1] = "0s"
	}
	load := exec.CommandContext(ctx, "bin/sluice", append(args, s.args...)...)
	load.Stderr = log
	b, err := load.Output()
	if err != nil {
		return nil, fmt.Errorf("sluice bench: %w; its output is in %s", err, log.Name())
	}
	res := &bench.Result{}
	return res, json.Unmarshal(b, res)
}

// freeAddr returns an address whose port is free, and the next one too: Kafka's controller listens there.
func freeAddr() (string, error) {
	for {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return "", err
		}
		port := l.Addr().(*net.TCPAddr).Port
		next, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port+1)))
		l.Close()
		if err == nil {
			next.Close()
			return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)), nil
		}
	}
}

func awaitPort(ctx context.Context, addr string) error {
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline) && ctx.Err() == nil; time.Sleep(100 * time.Millisecond) {
		if c, err := net.Dial("tcp", addr); err == nil {
			c.Close()
			time.Sleep(3 * time.Second) // Kafka listens a little before it serves
			return nil
		}
	}
	return errors.New("the broker did not listen within a minute")
}

func summary(s scenario, r *bench.Result) string {
	b := r.Broker
	if s.fill {
		return fmt.Sprintf("%.0f MB/s, %.2f CPU s/GB, %.0f MB resident", r.Consume.MBPerSecond, b.CPUSecondsPerGB, b.ResidentMaxMB)
	}
	l := r.Produce.LatencyMS
	return fmt.Sprintf("%.0f MB/s, p50 %.2f p99 %.2f p99.9 %.2f ms, %.2f CPU s/GB, %.0f MB resident, %d errors", r.Produce.MBPerSecond, l.P50, l.P99, l.P999, b.CPUSecondsPerGB, b.ResidentMaxMB, r.Produce.Errors)
}
