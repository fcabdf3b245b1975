package world

import (
	"context"
	"time"
)

// startKeeping begins to write to what is cleaned.
func (w *world) startKeeping() {
	if !w.Keeping {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), servedWithin)
	defer cancel()
	k, err := w.set.StartKeeping(ctx, 2*time.Duration(w.Pause), time.Duration(w.Retention), w.source("keeping", 0).Uint64())
	if err != nil {
		w.complainf("liveness: %v", err)
	}
	w.keeping = k
}

// finishKeeping has what is there compared with what has to be.
func (w *world) finishKeeping() {
	if w.keeping == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), readWithin)
	defer cancel()
	sent, gone, err := w.keeping.Finish(ctx)
	w.trace.Event("clients %d of %d records were cleaned away", gone, sent)
	if err != nil {
		w.complainf("cleaning: %v", err)
	}
}
