package world

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"sluice/test/clients"
)

// GroupOf is a group of consumers whose members come and go.
type GroupOf struct {
	Kind    string // one of [clients.GroupKinds]
	Members int
	Life    Span // of a member, or up to three times as long
}

func (g GroupOf) String() string { return fmt.Sprintf("%d×%s", g.Members, g.Kind) }

func (g GroupOf) check() error {
	if !slices.Contains(clients.GroupKinds, g.Kind) || g.Members < 1 || g.Life <= 0 {
		return fmt.Errorf("there is no group of kind %q with %d members that live for %v", g.Kind, g.Members, g.Life)
	}
	return nil
}

// groups draws none, one or two groups of different kinds.
func groups(rnd *rand.Rand) (all []GroupOf) {
	kinds := rnd.Perm(len(clients.GroupKinds))
	for _, i := range kinds[:max(0, rnd.IntN(4)-1)] {
		all = append(all, GroupOf{Kind: clients.GroupKinds[i], Members: 1 + rnd.IntN(3), Life: between(rnd, 3*time.Second, 30*time.Second)})
	}
	return all
}

// startGroups starts the groups of the scenario.
func (w *world) startGroups() {
	ctx, cancel := context.WithTimeout(context.Background(), servedWithin)
	defer cancel()
	for i, g := range w.Groups {
		trace := func(format string, args ...any) { w.trace.Event("%s", fmt.Sprintf(format, args...)) }
		started, err := w.set.StartGroup(ctx, g.Kind, g.Members, time.Duration(g.Life), w.source("group", i).Uint64(), trace)
		if err != nil {
			w.complainf("liveness: %v", err)
			continue
		}
		w.groups = append(w.groups, started)
	}
}

// finishGroups has the groups read everything.
func (w *world) finishGroups() {
	for _, g := range w.groups {
		if err := g.Finish(readWithin); err != nil {
			w.complainf("liveness: %v", err)
		}
	}
}
