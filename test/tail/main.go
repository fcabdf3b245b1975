package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"sluice/base"
	"sluice/base/config"
)

// options are the flags. Children get them all.
type options struct {
	role string

	cold      string        // bytes to catch up with
	dir       string        // where the broker keeps its data; emptied first
	bucket    string        // URL; empty: a directory below dir
	wal       string        // URL; empty: a directory below dir
	firstByte time.Duration // of a request to the bucket
	bandwidth int           // MB/s of the bucket; 0: unbounded
	memory    string
	rate      int // MB/s of the tail
	linger    time.Duration
	record    int
	consumers int
	fetch     int // bytes of a partition asked for at a time
	seconds   int // of each measurement of the tail
	rounds    int
	profile   string // file prefix for CPU profiles of the broker
	keep      bool

	addr, admin string // of the broker, for children
}

func flags() *options {
	o := &options{}
	flag.StringVar(&o.role, "role", "", "for child processes")
	flag.StringVar(&o.cold, "cold", "20GB", "how much there is to catch up with")
	flag.StringVar(&o.dir, "dir", ".cache/tail", "where the broker keeps its data; emptied before and after")
	flag.StringVar(&o.bucket, "bucket", "", "URL of another bucket than a directory; it must be empty")
	flag.StringVar(&o.wal, "wal", "", "URL of the WAL; default: a directory in /dev/shm where there is that, else beside the bucket")
	flag.DurationVar(&o.firstByte, "first-byte", 20*time.Millisecond, "delay of every request to the bucket")
	flag.IntVar(&o.bandwidth, "bandwidth", 0, "MB/s of the bucket, as if by a network; 0 is what the disk gives")
	flag.StringVar(&o.memory, "memory", "1GiB", "the broker's memory")
	flag.IntVar(&o.rate, "rate", 20, "MB/s of the tail workload")
	flag.DurationVar(&o.linger, "linger", 5*time.Millisecond, "of its producers; Kafka 4 has 5ms")
	flag.IntVar(&o.record, "record", 1000, "bytes of its records")
	flag.IntVar(&o.consumers, "consumers", 8, "consumers that catch up, a partition each")
	flag.IntVar(&o.fetch, "fetch", 1<<20, "bytes they ask for at a time; Kafka's default is 1 MiB")
	flag.IntVar(&o.seconds, "seconds", 30, "measured seconds of each run of the tail")
	flag.IntVar(&o.rounds, "rounds", 3, "rounds; the median counts")
	flag.StringVar(&o.profile, "profile", "", "write CPU profiles of the broker to files that begin so")
	flag.BoolVar(&o.keep, "keep", false, "leave the data, and use what is there if it was left")
	flag.StringVar(&o.addr, "addr", "", "for child processes")
	flag.StringVar(&o.admin, "admin", "", "for child processes")
	flag.Parse()
	return o
}

// coldBytes is -cold in bytes; GB, which is 10^9, is taken too.
func (o *options) coldBytes() (int64, error) {
	var n, unit int64
	var suffix string
	if c, err := fmt.Sscanf(o.cold, "%d%s", &n, &suffix); err == nil && c == 2 {
		if unit = map[string]int64{"GB": 1e9, "MB": 1e6}[suffix]; unit > 0 {
			return n * unit, nil
		}
	}
	b, err := config.ParseBytes(o.cold)
	return int64(b), err
}

func main() {
	o := flags()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	roles := map[string]func(context.Context, *options) error{
		"": run, "broker": runBroker, "fill": runFill, "tail": runTail, "catch-up": runCatchUp, "plain": runPlain, "bystander": runBystander,
	}
	do := roles[o.role]
	if do == nil {
		fmt.Fprintf(os.Stderr, "tail: there is no role %q\n", o.role)
		os.Exit(2)
	}
	if o.role != "" {
		go func() {
			_, _ = io.Copy(io.Discard, os.Stdin) // until the parent closes it, or has gone
			stop()
			time.Sleep(10 * time.Second)
			os.Exit(1)
		}()
		var cancel context.CancelFunc
		ctx, cancel = context.WithCancel(ctx)
		defer cancel()
	}
	if err := do(ctx, o); err != nil {
		fmt.Fprintf(os.Stderr, "tail %s: %v\n", o.role, err)
		os.Exit(1)
	}
}

func answer(v any) error { return json.NewEncoder(os.Stdout).Encode(v) }

func run(ctx context.Context, o *options) error {
	if _, err := o.coldBytes(); err != nil {
		return base.Errorf(base.Invalid, "-cold %s: want a size such as 20GB", o.cold)
	}
	dir, err := filepath.Abs(o.dir)
	if err != nil {
		return err
	}
	o.dir = dir
	if o.wal == "" {
		remove, err := o.placeWAL()
		if err != nil {
			return err
		}
		defer remove()
	}
	full := false
	if _, err := os.Stat(filepath.Join(dir, "full")); err == nil && o.keep {
		full = true
	} else if err := os.RemoveAll(dir); err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	if !o.keep {
		defer os.RemoveAll(dir)
	}
	m := &measurement{o: o, tails: map[string][]tailed{}}
	if !full {
		if err := m.fill(ctx); err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(dir, "full"), nil, 0o644); err != nil {
			return err
		}
	}
	if err := m.plain(ctx); err != nil {
		return err
	}
	b, err := m.startBroker(ctx)
	if err != nil {
		return err
	}
	defer b.stop()
	if err := m.catchUpAlone(ctx, b); err != nil {
		return err
	}
	for range o.rounds {
		for _, beside := range []string{"", "bystander", "catch-up"} {
			if err := m.tail(ctx, b, beside); err != nil {
				return err
			}
		}
	}
	return m.report(os.Stdout)
}

// placeWAL makes a directory for the WAL in memory, where there is such a thing.
func (o *options) placeWAL() (remove func(), err error) {
	dir, err := os.MkdirTemp("/dev/shm", "sluice-tail-")
	if err != nil {
		o.wal = "file://" + filepath.Join(o.dir, "wal")
		return func() {}, nil
	}
	o.wal = "file://" + dir
	return func() { _ = os.RemoveAll(dir) }, nil
}
