package retry

import (
	"context"
	"iter"
	"log/slog"
	"math/rand/v2"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"sluice/base"
	"sluice/storage/objstore/driver"
)

// Options set up a Store. The zero value works.
type Options struct {
	// Min and Max bound the pause between attempts. 0: 50 ms, 10 s.
	Min, Max   time.Duration
	Name       string                // of the store in log lines; "bucket"
	Metrics    string                // how the names of the metrics begin; "sluice_objstore"
	Logger     *slog.Logger          // nil: none
	Registerer prometheus.Registerer // nil: no metrics
}

// Store repeats requests to the store inside.
type Store struct {
	inner   driver.Store
	opt     Options
	metrics *metrics
	reads   watch // of gets, stats and listings
	writes  watch // of puts and deletes
}

// watchOf returns what knows of outages of such requests: a store may take the one kind and refuse the other.
func (s *Store) watchOf(op op) *watch {
	if op == opPut || op == opDelete {
		return &s.writes
	}
	return &s.reads
}

var _ driver.Store = (*Store)(nil)

// New returns a store that repeats requests to inner.
func New(inner driver.Store, opt Options) *Store {
	if opt.Min <= 0 {
		opt.Min = 50 * time.Millisecond
	}
	if opt.Max <= 0 {
		opt.Max = 10 * time.Second
	}
	if opt.Name == "" {
		opt.Name = "bucket"
	}
	if opt.Metrics == "" {
		opt.Metrics = "sluice_objstore"
	}
	if opt.Logger == nil {
		opt.Logger = slog.New(slog.DiscardHandler)
	}
	return &Store{inner: inner, opt: opt, metrics: newMetrics(opt)}
}

// Unwrap returns the store inside.
func (s *Store) Unwrap() driver.Store { return s.inner }

func (s *Store) String() string { return s.inner.String() }

// Put implements driver.Store.
func (s *Store) Put(ctx context.Context, key string, body [][]byte, opt driver.PutOptions) error {
	size := driver.BodySize(body)
	return s.try(ctx, opPut, key, !opt.IfAbsent, func() (int64, error) {
		return size, s.inner.Put(ctx, key, body, opt)
	})
}

// Get implements driver.Store.
func (s *Store) Get(ctx context.Context, key string, off, n int64, dst []byte) ([]byte, error) {
	out := dst
	err := s.try(ctx, opGet, key, true, func() (int64, error) {
		var err error
		out, err = s.inner.Get(ctx, key, off, n, dst)
		return int64(len(out) - len(dst)), err
	})
	return out, err
}

// Stat implements driver.Store.
func (s *Store) Stat(ctx context.Context, key string) (driver.Info, error) {
	var info driver.Info
	err := s.try(ctx, opStat, key, true, func() (n int64, err error) {
		info, err = s.inner.Stat(ctx, key)
		return 0, err
	})
	return info, err
}

// Delete implements driver.Store.
func (s *Store) Delete(ctx context.Context, keys ...string) error {
	if len(keys) == 0 {
		return nil
	}
	return s.try(ctx, opDelete, keys[0], true, func() (int64, error) { return 0, s.inner.Delete(ctx, keys...) })
}

// List implements driver.Store. A request of a listing is counted once per attempt, however many pages it has.
func (s *Store) List(ctx context.Context, prefix, after string) iter.Seq2[driver.Info, error] {
	return func(yield func(driver.Info, error) bool) {
		stopped := false
		err := s.try(ctx, opList, prefix, true, func() (int64, error) {
			for info, err := range s.inner.List(ctx, prefix, after) {
				if err != nil {
					return 0, err
				}
				after = info.Key
				if !yield(info, nil) {
					stopped = true
					return 0, nil
				}
			}
			return 0, nil
		})
		if err != nil && !stopped {
			yield(driver.Info{}, err)
		}
	}
}

// try calls attempt until it succeeds, fails for good, or ctx ends. attempt returns how many bytes it moved.
func (s *Store) try(ctx context.Context, op op, key string, repeatable bool, attempt func() (int64, error)) error {
	w := s.watchOf(op)
	for n := 1; ; n++ {
		begun := time.Now()
		bytes, err := attempt()
		s.metrics.count(op, err, bytes, time.Since(begun))
		kind := base.KindOf(err)
		if err == nil || kind != base.Unavailable && kind != base.Undetermined {
			w.succeeded(time.Now()) // the store answered
			return err
		}
		if ctx.Err() != nil {
			return err // perhaps that is why
		}
		w.failed(time.Now())
		if kind == base.Undetermined && !repeatable {
			return err
		}
		s.opt.Logger.Log(ctx, level(n), s.opt.Name+": trying again", "op", op.String(), "key", key, "attempt", n, "error", err)
		if !s.pause(ctx, w, n) {
			return err
		}
	}
}

// level makes a single failure a matter of record and a lasting one a warning.
func level(attempt int) slog.Level {
	if attempt < 3 {
		return slog.LevelInfo
	}
	return slog.LevelWarn
}

// pause waits before the attempt after the nth and reports whether there is to be one. The end of an outage ends it, and so does becoming
// the scout, soon.
func (s *Store) pause(ctx context.Context, w *watch, n int) bool {
	d := s.opt.Min << min(n-1, 20)
	if d <= 0 || d > s.opt.Max {
		d = s.opt.Max
	}
	end := time.Now().Add(1 + rand.N(d))
	for {
		now := time.Now()
		rest, look := end.Sub(now), true
		over, scout := w.wait(now)
		if scout {
			rest, look = min(rest, rand.N(scoutPause)), false
		} else if look = rest > scoutPause; look {
			rest = scoutPause
		}
		ended, err := sleep(ctx, rest, over)
		if scout {
			w.resign()
		}
		if err != nil || ended || !look {
			return err == nil
		}
	}
}

// sleep sleeps, unless over is closed first: then it reports that.
func sleep(ctx context.Context, d time.Duration, over <-chan struct{}) (ended bool, err error) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return false, nil
	case <-over:
		return true, nil
	case <-ctx.Done():
		return false, ctx.Err()
	}
}
