//go:build !wasip1

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"sluice/base/seeded"
	"sluice/test/history"
	"sluice/test/sim/world"
)

// hunt turns seeded bugs on, one after the other, and looks for a world in which each is found. The guest is built with the tag seededbugs.
func (o options) hunt(ctx context.Context, s *simulator, out io.Writer) error {
	for name := range strings.SplitSeq(o.bugs, ",") {
		s.bug = seeded.Name(name)
		if _, ok := seeded.Find(s.bug); !ok {
			return fmt.Errorf("there is no seeded bug called %q", name)
		}
		text, err := json.Marshal(o.huntOne(ctx, s))
		if err != nil {
			return err
		}
		fmt.Fprintf(out, "%s%s\n", world.HuntPrefix, text)
	}
	return nil
}

// huntOne runs seeds until one fails that passes without the bug. A run that is unknown finds nothing: its faults never came, or nothing was acknowledged.
func (o options) huntOne(ctx context.Context, s *simulator) world.Hunt {
	began := time.Now()
	h := world.Hunt{Bug: s.bug}
	var mu sync.Mutex
	var wg sync.WaitGroup
	next := make(chan uint64)
	for range o.workers {
		wg.Go(func() {
			for seed := range next {
				e := o.runSeed(ctx, s, seed)
				why := wrong(e.r, e.err)
				if why != "" {
					plain := *s
					plain.bug = ""
					if c := o.runSeed(ctx, &plain, seed); wrong(c.r, c.err) != "" {
						why = "" // the bug is not to blame
					}
				}
				mu.Lock()
				h.Seeds++
				if why != "" && !h.Found {
					h.Found, h.Why = true, fmt.Sprintf("seed %d: %s", seed, why)
				}
				mu.Unlock()
			}
		})
	}
	for i := range o.seeds {
		mu.Lock()
		over := h.Found
		mu.Unlock()
		if over {
			break
		}
		next <- o.first + uint64(i)
	}
	close(next)
	wg.Wait()
	h.Seconds = time.Since(began).Seconds()
	return h
}

// wrong says why a world failed, "" if it did not, or proves nothing.
func wrong(r world.Result, err error) string {
	switch {
	case err != nil:
		text, _, _ := strings.Cut(err.Error(), "\n")
		return text
	case len(r.Wrong) > 0:
		return r.Wrong[0]
	case r.Verdict == history.FailVerdict:
		return strings.Join(r.Kinds, ", ")
	}
	return ""
}
