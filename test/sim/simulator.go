//go:build !wasip1

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"sluice/base/seeded"
	"sluice/test/sim/world"
)

// guest is a build of package guest.
type guest interface {
	// run runs a scenario, of which everything follows. The guest prints what came of it to out and its events to diag.
	run(ctx context.Context, sc world.Scenario, bug seeded.Name, wall time.Duration, out, diag io.Writer) (cost, error)
	close(ctx context.Context)
}

// cost is what a run took.
type cost struct {
	processor time.Duration
	memoryMB  int64 // at most
}

// simulator runs worlds.
type simulator struct {
	guest
	how  string        // the guest is run
	bug  seeded.Name   // that is turned on in the guest
	wall time.Duration // that a run may take
}

// natively is how the guest is run as a program of its own.
const natively = "natively"

// newSimulator builds the guest; workers help. It is a program of its own, unless inWasm asks for WebAssembly, or Go's runtime is one that [edits] do not know.
func newSimulator(ctx context.Context, dir, tags string, workers int, inWasm bool) (*simulator, error) {
	s := &simulator{bug: seeded.Name(os.Getenv(seeded.Env)), how: natively}
	if !inWasm {
		n, err := buildNative(ctx, dir, tags)
		if err == nil {
			s.guest = n
			return s, nil
		}
		if !errors.Is(err, errOtherRuntime) {
			return nil, err
		}
		s.how = fmt.Sprintf("in WebAssembly, ten times as slowly: %v", err)
	} else {
		s.how = "in WebAssembly"
	}
	w, err := buildWasm(ctx, dir, tags, workers)
	if err != nil {
		return nil, err
	}
	s.guest = w
	return s, nil
}

// run runs a scenario. events, if not nil, gets the trace. The guest prints it whether it is wanted or not: a run that is looked at must be the one that failed.
func (s *simulator) run(ctx context.Context, sc world.Scenario, events io.Writer) (world.Result, error) {
	r, _, err := s.measured(ctx, sc, events)
	return r, err
}

// measured runs a scenario and says what that took.
func (s *simulator) measured(ctx context.Context, sc world.Scenario, events io.Writer) (r world.Result, c cost, err error) {
	r.Seed = sc.Seed
	var out bytes.Buffer
	diag := &lastBytes{to: events}
	if c, err = s.guest.run(ctx, sc, s.bug, s.wall, &out, diag); err != nil {
		return r, c, fmt.Errorf("the guest ended: %w\n%s", err, diag.kept)
	}
	if err := json.Unmarshal(out.Bytes(), &r); err != nil {
		return r, c, fmt.Errorf("the guest printed %q: %w", out.String(), err)
	}
	err = keepHistory(&r)
	return r, c, err
}

// keepHistory puts the history of a run that did not pass into the directory SLUICE_HISTORY, for sluice-check, if there is one.
func keepHistory(r *world.Result) error {
	packed, dir := r.History, os.Getenv("SLUICE_HISTORY")
	r.History = nil
	if len(packed) == 0 || dir == "" {
		return nil
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, fmt.Sprintf("sim-%d.jsonl.gz", r.Seed)), packed, 0o644)
}

// again runs a scenario once more: the same must come of it.
func (s *simulator) again(ctx context.Context, sc world.Scenario, r world.Result) (cost, error) {
	second, c, err := s.measured(ctx, sc, nil)
	if err != nil {
		return c, err
	}
	if second.Hash != r.Hash || second.Events != r.Events {
		return c, fmt.Errorf("it does not replay: %d events with hash %s, then %d with %s", r.Events, r.Hash, second.Events, second.Hash)
	}
	return c, nil
}

// lastBytes keeps the end of what a guest says, for when it dies, and hands everything on. It is no file: the guest would treat one in another way.
type lastBytes struct {
	to   io.Writer // nil: nowhere
	kept []byte
}

// keptMax bounds what is kept.
const keptMax = 8 << 10

func (l *lastBytes) Write(p []byte) (int, error) {
	l.kept = append(l.kept, p...)
	if n := len(l.kept); n > 2*keptMax {
		l.kept = append(l.kept[:0], l.kept[n-keptMax:]...)
	}
	if l.to == nil {
		return len(p), nil
	}
	return l.to.Write(p)
}
