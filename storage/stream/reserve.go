package stream

import (
	"context"
	"sync"
	"time"

	"sluice/base"
)

// A reserve holds object ids that were prepared ahead, for an upload that somebody waits for: it then begins with its puts.
//
// Preparing costs a slot of the metadata log, as much as the upload itself. So uploads that follow each other closely share one: each time ids run
// out soon, twice as many are prepared ahead.
type reserve struct {
	mu    sync.Mutex
	ids   []base.ObjectID
	at    time.Time // when they were prepared
	ahead int       // how many more than needed are prepared next
}

const (
	reserveIDs = 2                // ids prepared ahead: one for the set, one for a stream that is large
	reserveAge = 10 * time.Minute // after which they are not used any more; prepared ids expire
	reserveMax = 32               // ids prepared ahead of uploads that follow each other closely
)

// ReserveObjects makes sure that the next small upload needs not ask the catalog for ids. Ids that are not used expire.
func (e *Engine) ReserveObjects(ctx context.Context) error {
	if e.reserve.full() {
		return nil
	}
	ids, err := e.opt.Catalog.PrepareObjects(ctx, reserveIDs)
	if err == nil {
		e.reserve.put(ids)
	}
	return err
}

func (r *reserve) full() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.ids) > 0 && time.Since(r.at) < reserveAge
}

func (r *reserve) put(ids []base.ObjectID) {
	if r == nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.ids, r.at = ids, time.Now()
}

// drop forgets all ids: when one has expired the others have, whatever our clock says.
func (r *reserve) drop() {
	if r == nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.ids = nil
}

// more returns how many ids are to be prepared beyond those that are needed now and not there.
func (r *reserve) more() int {
	if r == nil {
		return 0
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	switch since := time.Since(r.at); {
	case since < reserveAge/2:
		r.ahead = min(max(2*r.ahead, 1), reserveMax)
	case since >= reserveAge:
		r.ahead /= 2
	}
	return r.ahead
}

// take returns n ids, nil if there are not so many. A nil reserve is empty.
func (r *reserve) take(n int) (ids []base.ObjectID) {
	if r == nil {
		return nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.ids) < n || time.Since(r.at) >= reserveAge {
		return nil
	}
	ids, r.ids = r.ids[:n:n], r.ids[n:]
	return ids
}
