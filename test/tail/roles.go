package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"sluice/app/bench"
	"sluice/app/node"
	"sluice/base"
	"sluice/base/config"
	"sluice/storage/objstore"
	"sluice/storage/objstore/fault"
)

const (
	coldTopic  = "cold"
	tailTopic  = "tail"
	gets       = 24 // GETs at a time: what the block cache reads ahead with and half of what it reads for those who wait
	plainLasts = 6 * time.Second
)

// store opens the bucket, with its delay.
func (o *options) store(ctx context.Context) (objstore.Store, error) {
	if o.bucket != "" {
		return objstore.Open(ctx, o.bucket, objstore.Options{})
	}
	s, err := objstore.Open(ctx, "file://"+filepath.Join(o.dir, "bucket"), objstore.Options{})
	if err != nil {
		return nil, err
	}
	s = fault.New(s, 1, fault.Rule{Name: "first byte", Effect: fault.Nothing, Delay: o.firstByte})
	if o.bandwidth > 0 {
		s = &link{Store: s, bytesPerSecond: float64(o.bandwidth) * 1e6}
	}
	return s, nil
}

// ready is what a broker says once it serves.
type ready struct{ Kafka, Admin string }

func runBroker(ctx context.Context, o *options) error {
	store, err := o.store(ctx)
	if err != nil {
		return err
	}
	set := map[string]string{
		"bucket": "file://" + filepath.Join(o.dir, "bucket"), "data": o.dir, "listen": "127.0.0.1:0", "admin": "127.0.0.1:0", "memory": o.memory,
		"wal": o.wal,
	}
	if o.bucket != "" {
		set["bucket"] = o.bucket
	}
	var values []config.Value
	for name, text := range set {
		values = append(values, config.Value{Name: name, Text: text, From: "tail"})
	}
	cfg, err := config.Resolve(values)
	if err != nil {
		return err
	}
	mem := cfg.Divide(0)
	debug.SetMemoryLimit(int64(mem.Total))
	reg := prometheus.NewRegistry()
	reg.MustRegister(collectors.NewGoCollector(collectors.WithGoCollectorRuntimeMetrics(collectors.MetricsScheduler)))
	n, err := node.Start(ctx, node.Options{Config: cfg, Memory: mem, Store: store, Hostname: "localhost", Registry: reg,
		Logger: slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))})
	if err != nil {
		return err
	}
	if err := answer(ready{n.Info().Kafka, n.Info().Admin}); err != nil {
		return err
	}
	select {
	case <-ctx.Done():
	case <-n.Failed():
		return n.Err()
	}
	end, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	return n.Shutdown(end)
}

// load are the options of package bench for a workload.
func (o *options) load(topic string, partitions int) bench.Options {
	return bench.Options{Bootstrap: []string{o.addr}, Topic: topic, Topics: 1, Partitions: partitions, Keep: true, RecordSize: o.record, Client: "kgo", Acks: "all",
		Compression: "none", BatchBytes: 256 << 10, Linger: o.linger}
}

// runFill produces what is to be cold.
func runFill(ctx context.Context, o *options) error {
	want, err := o.coldBytes()
	if err != nil {
		return err
	}
	opt := o.load(coldTopic, o.consumers)
	opt.Client, opt.Producers, opt.Rate, opt.Duration = "raw", 2, 0, time.Second
	for produced := int64(0); produced < want; {
		res, err := bench.Run(ctx, opt, io.Discard)
		if err != nil {
			return err
		}
		produced += res.Produce.Records * int64(o.record)
		fmt.Fprintf(os.Stderr, "filling: %6d MB\n", produced/1e6)
	}
	return answer(want)
}

func runTail(ctx context.Context, o *options) error {
	debug.SetGCPercent(1000) // its own collector is not what is measured
	opt := o.load(tailTopic, 4)
	opt.Producers, opt.Consumers, opt.Rate = 1, 1, o.rate*1e6/o.record
	opt.Warmup, opt.Duration = 5*time.Second, time.Duration(o.seconds)*time.Second
	res, err := bench.Run(ctx, opt, io.Discard)
	if err != nil {
		return err
	}
	return answer(res)
}

// progress is what has been read so far.
type progress struct {
	At    time.Time
	Bytes int64
	Whole bool // everything has been read once
}

// runCatchUp reads everything again and again and says twenty times a second how much.
func runCatchUp(ctx context.Context, o *options) error {
	var bytes atomic.Int64
	var through atomic.Int32
	var wg sync.WaitGroup
	errs := make(chan error, o.consumers)
	for i := range o.consumers {
		wg.Go(func() {
			if err := catchUp(ctx, o, int32(i), &bytes, func() { through.Add(1) }); err != nil && ctx.Err() == nil {
				errs <- fmt.Errorf("consumer %d: %w", i, err)
			}
		})
	}
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case now := <-tick.C:
			if err := answer(progress{now, bytes.Load(), int(through.Load()) >= o.consumers}); err != nil {
				return err
			}
		case err := <-errs:
			return err
		case <-ctx.Done():
			wg.Wait()
			return nil
		}
	}
}

// plainRate is what plain GETs of one size reach.
type plainRate struct {
	Size       int64
	MBPerS     float64
	CPUPerGB   float64
	Goroutines int
}

// runPlain reads the objects of the bucket by range GETs.
func runPlain(ctx context.Context, o *options) error {
	store, objects, err := o.objects(ctx)
	if err != nil {
		return err
	}
	var rates []plainRate
	for _, size := range []int64{1 << 20, 4 << 20, 8 << 20, 16 << 20} {
		before, began := cpu(os.Getpid()), time.Now()
		bytes, err := plainGets(ctx, store, objects, size, plainLasts)
		if err != nil {
			return err
		}
		gb := float64(bytes) / 1e9
		rates = append(rates, plainRate{size, 1000 * gb / time.Since(began).Seconds(), (cpu(os.Getpid()) - before) / gb, gets})
	}
	return answer(rates)
}

// runBystander reads the bucket as runPlain does, until ctx ends, and says how many MB/s that were.
func runBystander(ctx context.Context, o *options) error {
	store, objects, err := o.objects(ctx)
	if err != nil {
		return err
	}
	began := time.Now()
	bytes, err := plainGets(ctx, store, objects, 4<<20, time.Hour)
	if err != nil && ctx.Err() == nil {
		return err
	}
	return answer(float64(bytes) / 1e6 / time.Since(began).Seconds())
}

// objects lists what is to be read of the bucket.
func (o *options) objects(ctx context.Context) (objstore.Store, []objstore.Info, error) {
	store, err := o.store(ctx)
	if err != nil {
		return nil, nil, err
	}
	var objects []objstore.Info
	for info, err := range store.List(ctx, "", "") {
		if err != nil {
			return nil, nil, err
		}
		if info.Size >= 4<<20 && !strings.Contains(info.Key, "wal") {
			objects = append(objects, info)
		}
	}
	if len(objects) == 0 {
		return nil, nil, base.Errorf(base.NotFound, "there is no object of 4 MiB in the bucket")
	}
	return store, objects, nil
}

// plainGets reads ranges of a size, object by object, with all goroutines, for so long.
func plainGets(ctx context.Context, store objstore.Store, objects []objstore.Info, size int64, lasts time.Duration) (int64, error) {
	var mu sync.Mutex
	object, off := 0, int64(0)
	next := func() (key string, at, n int64) {
		mu.Lock()
		defer mu.Unlock()
		if off >= objects[object].Size {
			object, off = (object+1)%len(objects), 0
		}
		key, at, n = objects[object].Key, off, min(size, objects[object].Size-off)
		off += n
		return key, at, n
	}
	end := time.Now().Add(lasts)
	var total atomic.Int64
	var wg sync.WaitGroup
	errs := make(chan error, gets)
	for range gets {
		wg.Go(func() {
			buf := make([]byte, size+4096)
			buf = buf[(4096-int(addressOf(buf))%4096)%4096:]
			for time.Now().Before(end) && ctx.Err() == nil {
				key, at, n := next()
				b, err := store.Get(ctx, key, at, n, buf[:0])
				if err != nil {
					errs <- err
					return
				}
				total.Add(int64(len(b)))
			}
		})
	}
	wg.Wait()
	select {
	case err := <-errs:
		return total.Load(), err
	default:
		return total.Load(), nil
	}
}
