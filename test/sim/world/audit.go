package world

import (
	"context"
	"time"

	"sluice/broker/partition"
	"sluice/cluster/audit"
)

// ahead is by how much the clock of the last broker is off: all graces are over by it.
const ahead = 3 * time.Hour

// restWithin is how long the last broker may take to remove what nothing refers to.
const restWithin = time.Minute

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
	until := time.Now().Add(restWithin)
	var wrong []string
	for {
		time.Sleep(5 * time.Second)
		if wrong = w.verify(ahead, audit.Warning); len(wrong) == 0 || time.Now().After(until) {
			break
		}
	}
	last.stop()
	w.complainOf(wrong)
	if err := last.life.err; err != nil {
		w.complainf("the last broker: %v", err)
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
	report, err := audit.Verify(ctx, audit.Options{Bucket: w.bucket, Deep: true, CheckMeta: partition.CheckSnapshotParts,
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
