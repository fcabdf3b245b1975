package world

import (
	"context"
	"fmt"
	"math"
	"time"

	"sluice/broker/partition"
	"sluice/cluster/audit"
	"sluice/cluster/metalog"
)

// ahead is by how much the clock of the last broker is off: all graces are over by it.
const ahead = 3 * time.Hour

// In the end what is left over gets less. A sweep asks the bucket for each small slot, one after the other, and removes when it has looked at a page of so many keys: a long
// world leaves more than a page, because the slots of a controller's epoch stay while it lasts. So the time until nothing is left has no bound that would hold for
// every bucket; the time without any progress has.
const (
	pageOfSweep = 1000
	restWithin  = time.Minute // for the rest: to start, to take over, to list
	lookEvery   = 5 * time.Second
	lookRarely  = 30 * time.Second
)

// audit compares what the metadata say with what is in the bucket, when all brokers have stopped: nothing is missing, damaged or there twice (G6, G10). In a world
// that comes to rest nothing is left over, either (G11).
func (w *world) audit() {
	if !w.Rest {
		w.complainOf(w.verify(0, audit.Error))
		return
	}
	last := w.brokers[0]
	last.skew.Store(int64(ahead))
	w.ending = true
	last.launch()
	wrong := w.tidied(func() []string { return w.verify(ahead, audit.Warning) })
	last.stop()
	w.complainOf(wrong)
	if err := last.life.err; err != nil {
		w.complainf("the last broker: %v", err)
	}
}

// tidied waits until nothing is left over, or until that gets no less.
func (w *world) tidied(left func() []string) (wrong []string) {
	request := w.Latency.Max + Span(w.Latency.Slowly*float64(w.Latency.Slow)) // takes no longer, on average
	patience := restWithin + pageOfSweep*time.Duration(request)
	least, until := math.MaxInt, time.Time{}
	for pause := lookEvery; ; pause = min(pause+pause/4, lookRarely) {
		time.Sleep(pause)
		if wrong = left(); len(wrong) < least {
			least, until = len(wrong), time.Now().Add(patience)
		}
		if len(wrong) == 0 || time.Now().After(until) {
			return wrong
		}
	}
}

// awaitRescued waits until all that was left by brokers that are gone is rescued and removed (G13): everything else goes on without that, so nobody else would miss it.
func (w *world) awaitRescued() {
	ctx, cancel := context.WithTimeout(context.Background(), wholeWithin)
	defer cancel()
	for {
		log, err := metalog.OpenReader(ctx, metalog.Options{Store: w.bucket, Name: "meta"})
		var left []string
		if err == nil {
			for r := range log.Image().Rescues() {
				left = append(left, fmt.Sprintf("of node %v, epoch %v, %v", r.Victim.ID, r.Victim.Epoch, r.State))
			}
			if len(left) == 0 {
				return
			}
		}
		select {
		case <-time.After(lookEvery):
		case <-ctx.Done():
			w.complainf("liveness: rescues that do not end: %v; %v", left, err)
			return
		}
	}
}

func (w *world) complainOf(wrong []string) {
	for _, text := range wrong {
		w.complainf("the bucket: %s", text)
	}
}

// verify returns what is at least so bad.
func (w *world) verify(ahead time.Duration, least audit.Severity) (wrong []string) {
	ctx, cancel := context.WithTimeout(context.Background(), readWithin)
	defer cancel()
	report, err := audit.Verify(ctx, audit.Options{Bucket: w.bucket, Files: w.sharedFiles(), Deep: true, CheckMeta: partition.CheckSnapshotParts,
		Now: func() time.Time { return time.Now().Add(ahead) }})
	if err != nil {
		return []string{err.Error()}
	}
	w.trace.Event("audit %d objects, %d batches, %d slots, %d keys: %d errors, %d warnings", report.Objects, report.Batches, report.Slots, report.Keys, report.Errors, report.Warnings)
	for _, f := range report.Findings {
		if f.Severity == audit.Error || f.Severity == least {
			wrong = append(wrong, f.String())
		}
	}
	return wrong
}
