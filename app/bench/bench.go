package bench

import (
	"context"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"sluice/base"
)

// drainMax bounds the wait for the last acknowledgements and records after the measured part.
const drainMax = 30 * time.Second

// run is one run of the tool.
type run struct {
	opt    Options
	topics []string
	acked  *track
	read   *track

	// window is the measured part. It is set before any producer or consumer starts.
	window struct{ start, end time.Time }
}

// Run carries out one run and prints a progress line each second to progress. The topics are created where they do not exist,
// and deleted at the end if they were created here and Keep is not set.
func Run(ctx context.Context, opt Options, progress io.Writer) (*Result, error) {
	if err := opt.Validate(); err != nil {
		return nil, err
	}
	if opt.CatchUp {
		opt.Warmup = 0 // what is there to catch up with is read once
	}
	r := &run{opt: opt, acked: newTrack(), read: newTrack()}
	cl, err := kgo.NewClient(opt.connect()...)
	if err != nil {
		return nil, base.Errorf(base.Invalid, "--bootstrap-server: %w", err)
	}
	defer cl.Close()
	adm := kadm.NewClient(cl)
	created, err := r.createTopics(ctx, adm)
	if err != nil {
		return nil, err
	}
	if !opt.Keep && len(created) > 0 {
		defer func() {
			cleanup, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
			defer cancel()
			if _, err := adm.DeleteTopics(cleanup, created...); err != nil {
				fmt.Fprintf(progress, "could not delete the topics: %v\n", err)
			}
		}()
	}
	if opt.CatchUp {
		if err := r.fill(ctx, progress); err != nil {
			return nil, err
		}
	}
	return r.measure(ctx, progress)
}

func (r *run) createTopics(ctx context.Context, adm *kadm.Client) (created []string, err error) {
	for i := range r.opt.Topics {
		name := r.opt.Topic
		if r.opt.Topics > 1 {
			name = fmt.Sprintf("%s-%d", r.opt.Topic, i)
		}
		r.topics = append(r.topics, name)
	}
	res, err := adm.CreateTopics(ctx, int32(r.opt.Partitions), -1, nil, r.topics...)
	if err != nil {
		return nil, base.Errorf(base.Unavailable, "create topics at %v: %w", r.opt.Bootstrap, err)
	}
	for _, t := range res.Sorted() {
		switch t.Err {
		case nil:
			created = append(created, t.Topic)
		case kerr.TopicAlreadyExists:
		default:
			return created, base.Errorf(base.Unavailable, "create topic %s: %w: %s", t.Topic, t.Err, t.ErrMessage)
		}
	}
	return created, r.awaitLeaders(ctx, adm)
}

// awaitLeaders waits until every partition has a leader, so that the warm-up does not pay for the creation.
func (r *run) awaitLeaders(ctx context.Context, adm *kadm.Client) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	for {
		listed, err := adm.ListTopics(ctx, r.topics...)
		ready := err == nil
		for _, t := range listed {
			ready = ready && t.Err == nil && len(t.Partitions) > 0
			for _, p := range t.Partitions {
				ready = ready && p.Err == nil && p.Leader >= 0
			}
		}
		if ready {
			return nil
		}
		select {
		case <-ctx.Done():
			return base.Errorf(base.Unavailable, "the topics got no leaders within a minute: %v", err)
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// fill produces CatchUpBytes before the consumers start. The measured part then ends when all of it has been read.
func (r *run) fill(ctx context.Context, progress io.Writer) error {
	fmt.Fprintf(progress, "filling with %d MiB\n", r.opt.CatchUpBytes>>20)
	filler := &run{opt: r.opt, topics: r.topics, acked: newTrack(), read: newTrack()}
	filler.opt.Rate, filler.opt.Consumers, filler.opt.Producers = 0, 0, max(r.opt.Producers, 1)
	filler.window.start, filler.window.end = time.Now(), time.Now().Add(time.Hour)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- filler.produceAll(ctx, filler.window.start) }()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for second := 0; ; second++ {
		select {
		case err := <-done:
			if err == nil {
				err = ctx.Err()
			}
			return err
		case <-tick.C:
		}
		filler.acked.mu.Lock()
		have := filler.acked.mu.bytes
		filler.acked.mu.Unlock()
		if second%10 == 9 {
			fmt.Fprintf(progress, "filled %6d MiB\n", have>>20)
		}
		if have >= r.opt.CatchUpBytes {
			cancel()
			if err := <-done; err != nil {
				return err
			}
			filler.acked.mu.Lock()
			r.read.setGoal(filler.acked.mu.records)
			filler.acked.mu.Unlock()
			return nil
		}
	}
}

func (r *run) measure(ctx context.Context, progress io.Writer) (*Result, error) {
	start := time.Now()
	r.window.start = start.Add(r.opt.Warmup)
	r.window.end = r.window.start.Add(r.opt.Duration)

	produceCtx, stopProducing := context.WithDeadline(ctx, r.window.end)
	defer stopProducing()
	consumeCtx, stopConsuming := context.WithCancel(ctx)
	defer stopConsuming()

	var wg sync.WaitGroup
	errs := make(chan error, 2)
	if r.opt.Consumers > 0 {
		consumers, err := r.openConsumers(consumeCtx)
		if err != nil {
			return nil, err
		}
		wg.Go(func() { errs <- r.consumeAll(consumeCtx, consumers) })
	}
	produced := make(chan struct{})
	if r.opt.Producers > 0 && !r.opt.CatchUp {
		wg.Go(func() { defer close(produced); errs <- r.produceAll(produceCtx, start) })
	} else {
		wg.Go(func() { defer close(produced); <-produceCtx.Done() })
	}
	cpu := r.watch(ctx, progress, start)
	stopProducing()
	<-produced
	r.drain(ctx)
	stopConsuming()
	wg.Wait()
	close(errs)
	for err := range errs {
		if err != nil && ctx.Err() == nil {
			return nil, err
		}
	}
	return r.result(cpu), ctx.Err()
}

// drain waits until the consumers have read what was acknowledged, within bounds.
func (r *run) drain(ctx context.Context) {
	if r.opt.Consumers == 0 || r.opt.CatchUp || r.opt.Rate == 0 {
		return
	}
	deadline := time.Now().Add(drainMax)
	for time.Now().Before(deadline) && ctx.Err() == nil {
		r.acked.mu.Lock()
		acked := r.acked.mu.records
		r.acked.mu.Unlock()
		r.read.mu.Lock()
		read := r.read.mu.records
		r.read.mu.Unlock()
		if read >= acked {
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// measured reports whether a record with this intended time, which ended now, belongs to the measured part: by its intended time
// where there is a rate (a late record counts), by its end where there is none (the throughput of the window).
func (r *run) measured(intended, now time.Time) bool {
	t := now
	if r.opt.Rate > 0 && !r.opt.CatchUp {
		t = intended
	}
	return !t.Before(r.window.start) && t.Before(r.window.end)
}

// processUsage is what the broker used in the measured part, and how long that was.
type processUsage struct {
	seconds    float64 // how long the measured part was: less than asked for if all was caught up with before
	cpuSeconds float64
	rssMax     int64
	known      bool
}

// watch prints the progress until the window ends and measures the broker's process.
func (r *run) watch(ctx context.Context, progress io.Writer, start time.Time) processUsage {
	used := processUsage{seconds: r.opt.Duration.Seconds()}
	var atStart usage
	reached := r.read.reached
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	startTimer, endTimer := time.NewTimer(time.Until(r.window.start)), time.NewTimer(time.Until(r.window.end))
	defer startTimer.Stop()
	defer endTimer.Stop()
	look := func() (usage, bool) {
		if r.opt.Pid == 0 {
			return usage{}, false
		}
		u, err := readUsage(r.opt.Pid)
		if err != nil {
			fmt.Fprintln(progress, err)
			return usage{}, false
		}
		used.rssMax = max(used.rssMax, u.rssBytes)
		return u, true
	}
	for {
		select {
		case <-ctx.Done():
			return used
		case <-startTimer.C:
			atStart, used.known = look()
		case <-reached:
			reached = nil
			used.seconds = r.read.reachedAt.Sub(r.window.start).Seconds()
			endTimer.Reset(0)
		case <-endTimer.C:
			end, ok := look()
			used.known = used.known && ok
			used.cpuSeconds = end.cpuSeconds - atStart.cpuSeconds
			return used
		case now := <-tick.C:
			look()
			printProgress(progress, now.Sub(start), now.Before(r.window.start), r.acked.takeSecond(), r.read.takeSecond())
		}
	}
}
