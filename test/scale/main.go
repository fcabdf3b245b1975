package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"runtime/pprof"
	"syscall"
	"time"

	"sluice/storage/objstore/mem"
)

var (
	brokers = flag.Int("brokers", 100, "brokers; each leads and uploads a thousand partitions")
	rounds  = flag.Int("rounds", 30, "uploads of every broker before the measurements")
	profile = flag.String("cpuprofile", "", "write a CPU profile to this file")
)

func main() {
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "scale:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
	if *profile != "" {
		f, err := os.Create(*profile)
		if err != nil {
			return err
		}
		defer f.Close()
		if err := pprof.StartCPUProfile(f); err != nil {
			return err
		}
		defer pprof.StopCPUProfile()
	}
	s := size{brokers: *brokers, topics: *brokers * 10, partitions: 100, ranges: 1000}
	fmt.Printf("%d brokers, %d partitions in %d topics, every upload touches %d streams; %s, %d CPUs\n\n", s.brokers, s.total(), s.topics, s.ranges, runtime.Version(), runtime.NumCPU())
	fmt.Printf("| what | measured |\n|---|--:|\n")
	before := heap()
	w, err := newWorld(ctx, mem.New(), s)
	if err != nil {
		return err
	}
	for _, measure := range []func(context.Context, *world, uint64) error{measureCreate, measureSteady, measureSnapshot, measureStart, measureFollow, measurePlan, measureFailover, measureTrim, measureCompact, measureLatency} {
		if err := measure(ctx, w, before); err != nil {
			return err
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
	return nil
}

// row prints a line of the table.
func row(what, format string, args ...any) {
	fmt.Printf("| %s | %s |\n", what, fmt.Sprintf(format, args...))
}

// heap returns the bytes of live objects.
func heap() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// timed returns how long f took.
func timed(f func() error) (time.Duration, error) {
	began := time.Now()
	err := f()
	return time.Since(began), err
}

// worked returns the CPU time that f took, the collection of its garbage included: other than the time on a clock it does not depend on
// what else the machine does.
func worked(f func() error) (time.Duration, error) {
	began := cpuTime()
	err := f()
	return cpuTime() - began, err
}

func cpuTime() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		panic(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func ms(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
func mb[N int | int64 | uint64](n N) float64 {
	return float64(n) / 1e6
}
