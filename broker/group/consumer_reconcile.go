package group

import (
	"slices"

	"sluice/base/seeded"
)

// Reconciliation takes a member from what it holds to its target. Input: the member, its target, what it says it owns (nil: it did not
// say), who holds what. Output: the member as it is to be.

type reconciler struct {
	cg          *consumerGroup
	topics      Topics
	targetEpoch int32
	target      []partitionID
	owned       []partitionID
	ownedKnown  bool
	// unsubscribed says that the member has changed its subscription: what it does not subscribe to any more goes at once.
	unsubscribed bool
}

func (r *reconciler) reconcile(c *consumer) *consumer {
	switch {
	case c.state == memberStable && c.epoch == r.targetEpoch, c.state == memberUnrevoked && r.owns(c.revoking):
		if r.unsubscribed {
			return r.shrink(c)
		}
		return c
	}
	return r.next(c)
}

// owns reports whether the member may still own any of these. Who does not say what it owns is taken to own all.
func (r *reconciler) owns(h holding) bool {
	return len(h) > 0 && (!r.ownedKnown || slices.ContainsFunc(r.owned, h.has))
}

// subscribed returns the part of the target that the member subscribes to, and a test for topics.
func (r *reconciler) subscribed(c *consumer) func(p partitionID) bool {
	names := r.cg.topicsOf(c)
	return func(p partitionID) bool {
		name, ok := r.topics.ByID(p.Topic)
		if !ok {
			return false
		}
		_, ok = slices.BinarySearch(names, name)
		return ok
	}
}

// shrink takes away what the member does not subscribe to, and leaves the rest for the next target.
func (r *reconciler) shrink(c *consumer) *consumer {
	wanted := r.subscribed(c)
	var keep, lose holding
	for _, h := range c.assigned {
		if wanted(h.partitionID) {
			keep = append(keep, h)
		} else {
			lose = append(lose, h)
		}
	}
	if len(lose) == 0 {
		return c
	}
	n := *c
	n.assigned = keep
	if revoking := append(slices.Clone(c.revoking), lose...).sort(); r.owns(revoking) {
		n.state, n.revoking = memberUnrevoked, revoking
	}
	return &n
}

// next goes as far towards the target as others allow.
func (r *reconciler) next(c *consumer) *consumer {
	wanted := r.subscribed(c)
	var keep, lose, get holding
	unreleased := false
	for _, p := range r.target {
		if !wanted(p) {
			continue
		}
		h, has := c.assigned.find(p)
		switch {
		case has:
			keep = append(keep, h)
		case r.cg.free(p, c.id) || seeded.Bug(seeded.TwoOwners): // also what the member itself has just given up
			get = append(get, held{p, r.targetEpoch})
		default:
			unreleased = true
		}
	}
	for _, h := range c.assigned {
		if !keep.has(h.partitionID) {
			lose = append(lose, h)
		}
	}
	n := *c
	if r.owns(lose) {
		n.state, n.assigned, n.revoking = memberUnrevoked, keep, lose
		return &n
	}
	n.state, n.assigned, n.revoking = memberStable, append(slices.Clone(keep), get...).sort(), nil
	if unreleased {
		n.state = memberUnreleased
	}
	n.advance(r.targetEpoch)
	return &n
}

// advance sets a member's epoch and remembers the one before, for an answer that tells the member may be lost.
func (c *consumer) advance(epoch int32) {
	if epoch != c.epoch {
		c.previousEpoch, c.epoch = c.epoch, epoch
	}
}
