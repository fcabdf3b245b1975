package group

import (
	"slices"

	"sluice/broker/group/task"
)

// Reconciliation takes a member of a streams group from what it has to its target. It is that of the consumer protocol (consumer_reconcile.go) with
// three roles, where processes count, not members.

type streamsReconciler struct {
	sg          *streamsGroup
	targetEpoch int32
	target      taskSets
	owned       *taskSets // what the member says it has; nil: it did not say
}

func (r *streamsReconciler) reconcile(s *streamer) *streamer {
	switch s.state {
	case memberStable:
		if s.epoch == r.targetEpoch {
			return s
		}
		return r.next(s, s.epoch)
	case memberUnrevoked:
		if r.owns(s.revoking) {
			return s
		}
		return r.next(s, s.epoch+1)
	}
	return r.next(s, s.epoch)
}

// owns reports whether the member may still have any of these. Who does not say what it has is taken to have all.
func (r *streamsReconciler) owns(h heldTasks) bool {
	return !h.empty() && (r.owned == nil || r.owned.touches(h))
}

// next goes as far towards the target as others allow; epoch is the member's if it has to give something up first.
func (r *streamsReconciler) next(s *streamer, epoch int32) *streamer {
	var keep, lose, get heldTasks
	unreleased := false
	for role := range r.target {
		for _, h := range s.assigned[role] {
			if _, wanted := slices.BinarySearchFunc(r.target[role], h.ID, task.ID.Compare); wanted {
				keep[role] = append(keep[role], h)
			} else {
				lose[role] = append(lose[role], h)
			}
		}
		for _, id := range r.target[role] {
			switch _, has := keep.find(role, id); {
			case has:
			case r.sg.taken(role, id, s.process):
				unreleased = true
			case role == roleActive:
				get[role] = append(get[role], heldTask{id, r.targetEpoch})
			default:
				get[role] = append(get[role], heldTask{ID: id})
			}
		}
	}
	n := *s
	if r.owns(lose) {
		n.state, n.assigned, n.revoking = memberUnrevoked, keep, lose
		n.advance(epoch)
		return &n
	}
	n.state, n.revoking = memberStable, heldTasks{}
	if unreleased {
		n.state = memberUnreleased
	}
	for role := range keep {
		n.assigned[role] = append(slices.Clone(keep[role]), get[role]...)
		slices.SortFunc(n.assigned[role], func(a, b heldTask) int { return a.ID.Compare(b.ID) })
	}
	n.advance(r.targetEpoch)
	return &n
}

// advance sets a member's epoch and remembers the one before, for an answer that tells the member may be lost.
func (s *streamer) advance(epoch int32) {
	if epoch != s.epoch {
		s.previousEpoch, s.epoch = s.epoch, epoch
	}
}
