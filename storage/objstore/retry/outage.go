package retry

import (
	"sync"
	"time"
)

// watch is an outage that goroutines share.
type watch struct {
	mu struct {
		sync.Mutex
		outage
		over chan struct{} // closed when an outage ends; made when somebody waits for it
	}
}

func (w *watch) failed(now time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.mu.failed(now)
}

// succeeded wakes those who wait, if there was an outage.
func (w *watch) succeeded(now time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.mu.succeeded(now) && w.mu.over != nil {
		close(w.mu.over)
		w.mu.over = nil
	}
}

// wait returns what to wait for beside a pause, and whether the caller is the scout, who must resign.
func (w *watch) wait(now time.Time) (over <-chan struct{}, scout bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.mu.over == nil {
		w.mu.over = make(chan struct{})
	}
	return w.mu.over, w.mu.becomeScout(now)
}

func (w *watch) resign() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.mu.resign()
}
