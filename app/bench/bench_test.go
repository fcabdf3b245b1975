package bench

import (
	"context"
	"testing"
	"time"

	"sluice/base"
)

func valid() Options {
	return Options{Bootstrap: []string{"127.0.0.1:1"}, Topic: "t", Topics: 1, Partitions: 4, Producers: 1, Consumers: 1, RecordSize: 100, Duration: time.Second,
		Client: "kgo", Acks: "all", Compression: "none", BatchBytes: 1 << 16}
}

func TestWrongOptionsAreInvalid(t *testing.T) {
	if o := valid(); o.Validate() != nil {
		t.Fatal(o.Validate())
	}
	for name, spoil := range map[string]func(*Options){
		"bootstrap": func(o *Options) { o.Bootstrap = nil }, "partitions": func(o *Options) { o.Partitions = 0 }, "size": func(o *Options) { o.RecordSize = 15 },
		"rate": func(o *Options) { o.Rate = -1 }, "duration": func(o *Options) { o.Duration = 0 }, "batch": func(o *Options) { o.BatchBytes = 99 },
		"client": func(o *Options) { o.Client = "java" }, "codec": func(o *Options) { o.Compression = "rar" }, "acks": func(o *Options) { o.Acks = "2" },
		"raw codec": func(o *Options) { o.Client, o.Compression = "raw", "zstd" }, "nobody": func(o *Options) { o.Producers, o.Consumers = 0, 0 },
		"idempotent": func(o *Options) { o.Idempotent, o.Acks = true, "1" }, "catch up": func(o *Options) { o.CatchUp = true },
	} {
		o := valid()
		spoil(&o)
		if err := o.Validate(); !base.IsKind(err, base.Invalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestPacerKeepsTheSchedule: intended times depend on the rate alone, also for a producer that comes late.
func TestPacerKeepsTheSchedule(t *testing.T) {
	start := time.Now().Add(-time.Second)
	p := newPacer(start, 1000, 0)
	for k := range 1000 {
		due, ok := p.take(context.Background())
		if want := start.Add(time.Duration(k) * time.Millisecond); !ok || !due.Equal(want) {
			t.Fatalf("record %d is due at %v, want %v", k, due.Sub(start), want.Sub(start))
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, ok := p.take(ctx); ok {
		t.Fatal("the pacer goes on after its context has ended")
	}
}

func TestDealCoversEveryPartition(t *testing.T) {
	r := &run{topics: []string{"a", "b"}, opt: Options{Partitions: 5}}
	all := r.partitions()
	for n := 1; n < 15; n++ {
		seen := map[target]bool{}
		for i := range n {
			mine := deal(all, i, n)
			if len(mine) == 0 {
				t.Fatalf("%d of %d has nothing to do", i, n)
			}
			for _, p := range mine {
				seen[p] = true
			}
		}
		if len(seen) != len(all) {
			t.Fatalf("%d takers cover %d of %d partitions", n, len(seen), len(all))
		}
	}
}

func TestGoalIsReachedOnce(t *testing.T) {
	tr := newTrack()
	tr.setGoal(10)
	tr.add(sample{time.Millisecond, 9, 900, true})
	select {
	case <-tr.reached:
		t.Fatal("reached with 9 of 10")
	default:
	}
	tr.add(sample{time.Millisecond, 5, 500, true})
	<-tr.reached
	tr.add(sample{time.Millisecond, 5, 500, true})
	var bytes int64
	if f := tr.flow(2, &bytes); f.Records != 19 || bytes != 1900 || f.RecordsPerSecond != 9.5 || f.LatencyMS.P50 < 0.99 || f.LatencyMS.P50 > 1.01 {
		t.Fatalf("%+v, %d bytes", f, bytes)
	}
}

func TestStampComesBack(t *testing.T) {
	value := make([]byte, minRecord)
	now := time.Now()
	stamp(value, now, 7)
	if got := intendedOf(value); !got.Equal(now) {
		t.Fatalf("%v, want %v", got, now)
	}
}
