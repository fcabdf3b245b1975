package stream

import (
	"context"
	"maps"
	"slices"
	"sync"

	"golang.org/x/sync/errgroup"

	"sluice/base"
)

// Set is the engines of a broker, one for each of its volumes, by the epochs that name these. It sends each stream's work to the engine that
// the stream is attached to. All methods are safe for concurrent use.
type Set struct {
	mu struct {
		sync.RWMutex
		engines map[base.NodeEpoch]*Engine
	}
}

// NewSet returns a set of the engines given.
func NewSet(engines ...*Engine) *Set {
	s := &Set{}
	s.mu.engines = map[base.NodeEpoch]*Engine{}
	for _, e := range engines {
		s.Add(e)
	}
	return s
}

// Add adds an engine that was started.
func (s *Set) Add(e *Engine) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mu.engines[e.opt.Node.Epoch] = e
}

// Remove takes out the engine of a volume, and returns it; nil if there is none.
func (s *Set) Remove(volume base.NodeEpoch) *Engine {
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.mu.engines[volume]
	delete(s.mu.engines, volume)
	return e
}

// Engine returns the engine of a volume, nil if there is none.
func (s *Set) Engine(volume base.NodeEpoch) *Engine {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.mu.engines[volume]
}

// Engines returns all engines, in the order of the epochs that name their volumes.
func (s *Set) Engines() []*Engine {
	s.mu.RLock()
	defer s.mu.RUnlock()
	all := make([]*Engine, 0, len(s.mu.engines))
	for _, epoch := range slices.Sorted(maps.Keys(s.mu.engines)) {
		all = append(all, s.mu.engines[epoch])
	}
	return all
}

// Attach begins to serve a stream on the volume that it was opened on. A stream on a volume that is not there any more is attached nowhere:
// it refuses everything, as after Detach.
func (s *Set) Attach(st StreamState) *Stream {
	if e := s.Engine(st.Volume); e != nil {
		return e.Attach(st)
	}
	gone := s.Engines()[0].newStream(st)
	gone.detach(base.Errorf(base.Fenced, "stream %d was opened on volume %d, which is not there", st.ID, st.Volume))
	return gone
}

// grouped calls do with the streams of each engine, all at the same time, and returns when all have returned; at are their indexes in ss.
func grouped(ss []*Stream, do func(e *Engine, group []*Stream, at []int)) {
	type group struct {
		ss []*Stream
		at []int
	}
	groups := map[*Engine]*group{}
	for i, st := range ss {
		g := groups[st.e]
		if g == nil {
			g = &group{}
			groups[st.e] = g
		}
		g.ss, g.at = append(g.ss, st), append(g.at, i)
	}
	var wg sync.WaitGroup
	for e, g := range groups {
		wg.Go(func() { do(e, g.ss, g.at) })
	}
	wg.Wait()
}

// CloseStreams is that of each engine, for its streams.
func (s *Set) CloseStreams(ctx context.Context, ss []*Stream) []error {
	errs := make([]error, len(ss))
	grouped(ss, func(e *Engine, group []*Stream, at []int) {
		for k, err := range e.CloseStreams(ctx, group) {
			errs[at[k]] = err
		}
	})
	return errs
}

// FlushStreams is that of each engine, for its streams. The error is that of one which failed.
func (s *Set) FlushStreams(ctx context.Context, ss []*Stream) error {
	var mu sync.Mutex
	var failed error
	grouped(ss, func(e *Engine, group []*Stream, _ []int) {
		if err := e.FlushStreams(ctx, group); err != nil {
			mu.Lock()
			defer mu.Unlock()
			failed = err
		}
	})
	return failed
}

// Warm is that of any engine: they share what it fills.
func (s *Set) Warm(ctx context.Context, ss []*Stream) { s.Engines()[0].Warm(ctx, ss) }

// ReserveObjects is that of any engine: they share the reserve.
func (s *Set) ReserveObjects(ctx context.Context) error { return s.Engines()[0].ReserveObjects(ctx) }

// Detach forgets a stream that this node no longer owns.
func (s *Set) Detach(st *Stream) { st.e.Detach(st) }

// each runs f for every engine at the same time, and returns the first error.
func (s *Set) each(f func(*Engine) error) error {
	var g errgroup.Group
	for _, e := range s.Engines() {
		g.Go(func() error { return f(e) })
	}
	return g.Wait()
}

// Busy reports whether somebody waits for the bucket, at any engine.
func (s *Set) Busy() bool { return slices.ContainsFunc(s.Engines(), (*Engine).Busy) }

// Uploaded is how many bytes of objects the broker has uploaded and committed.
func (s *Set) Uploaded() int64 { return s.Engines()[0].metrics.uploaded.Load() }

// CloseAll closes the streams of all engines.
func (s *Set) CloseAll(ctx context.Context) error {
	return s.each(func(e *Engine) error { return e.CloseAll(ctx) })
}

// Close closes all engines.
func (s *Set) Close(ctx context.Context) error {
	return s.each(func(e *Engine) error { return e.Close(ctx) })
}

// Abandon ends all engines at once.
func (s *Set) Abandon() {
	s.each(func(e *Engine) error { e.Abandon(); return nil })
}
