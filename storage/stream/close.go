package stream

import (
	"cmp"
	"context"
	"math/rand/v2"
	"slices"
	"time"

	"sluice/base"
	"sluice/base/seeded"
)

// Close ends the stream for good: it takes no more appends, whatever comes of the rest; what it holds is uploaded and committed; then it
// is closed in the catalog at its end. Closing bypasses every limit. After an error (ctx ended, no controller) Close may be called again.
// Fenced: this node lost the stream or its epoch, and whoever fenced it closes the stream.
func (s *Stream) Close(ctx context.Context) error {
	return s.e.CloseStreams(ctx, []*Stream{s})[0]
}

// CloseAll closes all streams with few requests.
func (e *Engine) CloseAll(ctx context.Context) error {
	e.streams.RLock()
	all := make([]*Stream, 0, len(e.streams.byID))
	for _, s := range e.streams.byID {
		all = append(all, s)
	}
	e.streams.RUnlock()
	slices.SortFunc(all, func(a, b *Stream) int {
		if a.id < b.id {
			return -1
		}
		return 1
	})
	errs := e.CloseStreams(ctx, all)
	if i := slices.IndexFunc(errs, func(err error) bool { return err != nil }); i >= 0 {
		return errs[i]
	}
	return nil
}

// CloseStreams closes streams together: one upload, and one call of the catalog for thousands. It returns one error per stream.
func (e *Engine) CloseStreams(ctx context.Context, ss []*Stream) []error {
	errs := make([]error, len(ss))
	for _, s := range ss {
		s.refuse(base.Errorf(base.Closed, "stream %d is closed", s.id))
	}
	for i, s := range ss {
		select {
		case <-s.drain():
		case <-ctx.Done():
			errs[i] = base.Errorf(base.Unavailable, "stream %d: appends are under way: %w", s.id, ctx.Err())
		}
	}
	if slices.ContainsFunc(ss, func(s *Stream) bool { return s.committed.Load() < s.durable.Load() }) {
		if err := e.Flush(ctx); err != nil {
			fill(errs, err)
		}
	}
	for i, s := range ss {
		if end := s.end(); errs[i] == nil && s.Committed() != end {
			errs[i] = base.Errorf(base.Fenced, "stream %d cannot be closed at %d: the commits of this node end at %d", s.id, end, s.Committed())
		}
	}
	e.closeCommitted(ctx, ss, errs)
	return errs
}

// closeCommitted closes the streams without an error in the catalog, and forgets them.
func (e *Engine) closeCommitted(ctx context.Context, ss []*Stream, errs []error) {
	var at []int // positions in ss
	for i := range ss {
		if errs[i] == nil {
			at = append(at, i)
		}
	}
	for batch := range slices.Chunk(at, closeBatch) {
		closes := make([]StreamClose, len(batch))
		for k, i := range batch {
			closes[k] = StreamClose{ss[i].id, ss[i].epoch, ss[i].Committed()}
		}
		results := itemErrors(e.retryCall(ctx, func() error { return e.opt.Catalog.CloseStreams(ctx, e.opt.Node, closes) }), len(batch))
		for k, i := range batch {
			if errs[i] = results[k]; errs[i] == nil {
				e.forget(ss[i])
			}
		}
	}
}

// FlushStreams uploads what is durable of the streams, which go on taking appends, and returns when it is committed. It does nothing if it is
// committed already.
func (e *Engine) FlushStreams(ctx context.Context, ss []*Stream) error {
	if slices.ContainsFunc(ss, func(s *Stream) bool { return s.committed.Load() < s.durable.Load() }) {
		return e.Flush(ctx)
	}
	return nil
}

// Retire makes streams refuse appends for good if everything in all of them is committed, and returns their ends: there they may be closed,
// or handed over, by a command of the caller's. It waits for completions that are under way. With an error, Unavailable, nothing has
// changed: something is not committed, or ctx ended.
func Retire(ctx context.Context, ss ...*Stream) (ends []base.Offset, err error) {
	for _, s := range ss {
		select {
		case <-s.drain():
		case <-ctx.Done():
			return nil, base.Errorf(base.Unavailable, "stream %d: appends are under way: %w", s.id, ctx.Err())
		}
	}
	inOrder := slices.SortedFunc(slices.Values(ss), func(a, b *Stream) int { return cmp.Compare(a.id, b.id) })
	for _, s := range inOrder {
		s.mu.Lock()
		defer s.mu.Unlock()
	}
	for _, s := range ss {
		if end := s.end(); s.mu.pending.len() > 0 || s.Committed() != end {
			return nil, base.Errorf(base.Unavailable, "stream %d ends at %d, and is committed up to %d", s.id, end, s.Committed())
		}
	}
	for _, s := range ss {
		if s.mu.refusal == nil {
			s.mu.refusal = base.Errorf(base.Closed, "stream %d was given up", s.id)
		}
		ends = append(ends, s.Committed())
	}
	return ends, nil
}

func (e *Engine) forget(s *Stream) {
	e.streams.Lock()
	if e.streams.byID[s.id] == s {
		delete(e.streams.byID, s.id)
	}
	e.streams.Unlock()
	s.detach(base.Errorf(base.Closed, "stream %d is closed", s.id))
}

// Detach forgets a stream that this node no longer owns, without closing it: it was fenced or deleted.
func (e *Engine) Detach(s *Stream) { e.forget(s) }

// Trim is one item of TrimStreams.
type Trim struct {
	Stream *Stream
	Start  base.Offset
}

// Trim moves the start of the stream, up to Durable. A start beyond the committed end is uploaded and committed first.
func (s *Stream) Trim(ctx context.Context, start base.Offset) error {
	return s.e.TrimStreams(ctx, []Trim{{s, start}})[0]
}

// TrimStreams trims streams together and returns one error per item. A start at or below the present one changes nothing.
func (e *Engine) TrimStreams(ctx context.Context, trims []Trim) []error {
	errs := make([]error, len(trims))
	var at []int
	flush := false
	for i, t := range trims {
		switch {
		case t.Start > t.Stream.Durable():
			errs[i] = base.Errorf(base.OutOfRange, "stream %d: trim to %d, its durable end is %d", t.Stream.id, t.Start, t.Stream.Durable())
		case t.Start > t.Stream.Start():
			at = append(at, i)
			flush = flush || t.Start > t.Stream.Committed()
		}
	}
	if flush {
		if err := e.Flush(ctx); err != nil {
			for _, i := range at {
				errs[i] = err
			}
			return errs
		}
	}
	for batch := range slices.Chunk(at, closeBatch) {
		items := make([]StreamTrim, len(batch))
		for k, i := range batch {
			items[k] = StreamTrim{trims[i].Stream.id, trims[i].Stream.epoch, trims[i].Start}
		}
		results := make([]error, len(batch))
		if !seeded.Bug(seeded.TrimForgotten) {
			results = itemErrors(e.retryCall(ctx, func() error { return e.opt.Catalog.TrimStreams(ctx, e.opt.Node, items) }), len(batch))
		}
		for k, i := range batch {
			if errs[i] = results[k]; errs[i] == nil {
				raise(&trims[i].Stream.start, trims[i].Start)
			}
		}
	}
	return errs
}

// retryCall repeats an idempotent call of the catalog while it is unavailable, until ctx ends.
func (e *Engine) retryCall(ctx context.Context, call func() error) error {
	pause := e.opt.pauseMin
	for {
		err := call()
		if _, items := err.(*ItemErrors); items || err == nil || !base.IsKind(err, base.Unavailable) && !base.IsKind(err, base.Undetermined) {
			return err
		}
		select {
		case <-time.After(pause/2 + rand.N(pause)):
		case <-ctx.Done():
			return err
		}
		pause = min(2*pause, retryMax)
	}
}

func fill(errs []error, err error) {
	for i := range errs {
		if errs[i] == nil {
			errs[i] = err
		}
	}
}
