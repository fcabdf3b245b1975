package control

import (
	"sync"

	"sluice/cluster/meta"
)

// notifier calls subscribers with images, in order, on its one goroutine. Images that wait while subscribers are slow are bounded:
// past pendingMax the newest two become one whose delta covers both.
type notifier struct {
	mu struct {
		sync.Mutex
		last    *meta.Image // newest that was delivered, or is being delivered
		pending []*meta.Image
		subs    []*subscriber
		changed chan struct{} // closed at the next publish
		closed  bool
	}
	wake chan struct{}
}

type subscriber struct {
	mu   sync.Mutex // held while fn runs
	fn   func(old, new *meta.Image)
	gone bool
}

func newNotifier(img *meta.Image) *notifier {
	n := &notifier{wake: make(chan struct{}, 1)}
	n.mu.last, n.mu.changed = img, make(chan struct{})
	return n
}

func (n *notifier) poke() {
	select {
	case n.wake <- struct{}{}:
	default:
	}
}

func (n *notifier) publish(img *meta.Image) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if k := len(n.mu.pending); k >= pendingMax {
		n.mu.pending[k-1] = img.MergedWith(n.mu.pending[k-1])
	} else {
		n.mu.pending = append(n.mu.pending, img)
	}
	close(n.mu.changed)
	n.mu.changed = make(chan struct{})
	n.poke()
}

// changed returns a channel that is closed at the next publish.
func (n *notifier) changed() <-chan struct{} {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.mu.changed
}

func (n *notifier) subscribe(fn func(old, new *meta.Image)) (cancel func()) {
	s := &subscriber{fn: fn}
	n.mu.Lock()
	n.mu.subs = append(n.mu.subs[:len(n.mu.subs):len(n.mu.subs)], s)
	n.mu.Unlock()
	return func() {
		s.mu.Lock()
		s.gone = true
		s.mu.Unlock()
		n.mu.Lock()
		defer n.mu.Unlock()
		var left []*subscriber
		for _, o := range n.mu.subs {
			if o != s {
				left = append(left, o)
			}
		}
		n.mu.subs = left
	}
}

// take returns the next delivery; ok is false when there is none.
func (n *notifier) take() (old, img *meta.Image, subs []*subscriber, ok, closed bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if len(n.mu.pending) == 0 || n.mu.closed {
		return nil, nil, nil, false, n.mu.closed
	}
	old, img = n.mu.last, n.mu.pending[0]
	n.mu.last, n.mu.pending = img, n.mu.pending[1:]
	return old, img, n.mu.subs, true, false
}

func (n *notifier) run() {
	for {
		old, img, subs, ok, closed := n.take()
		if closed {
			return
		}
		if !ok {
			<-n.wake
			continue
		}
		for _, s := range subs {
			s.call(old, img)
		}
	}
}

func (s *subscriber) call(old, img *meta.Image) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.gone {
		s.fn(old, img)
	}
}

func (n *notifier) close() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.mu.closed = true
	n.poke()
}
