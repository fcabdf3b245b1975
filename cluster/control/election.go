package control

import "time"

// election decides when a member has waited long enough for the controller and asks the others whether to take over. It is about when, never
// about whether that is safe: the log decides. Times are arguments.
type election struct {
	silence  time.Duration // without a sign of the controller
	refusal  time.Duration // while its address refuses connections: its process is gone
	missing  time.Time     // since when the controller is missed; zero: it is not
	refused  time.Time     // since when its address refuses; zero: it does not
	hold     time.Time     // others say that it lives: do not ask again before
	unheeded int           // leaderships of this member, one after the other, in which it heard nobody and lost the role
	rival    bool          // somebody else took over while this member looked, and was not heard of yet: it lives, whatever the image says of it
}

// unheededMax bounds how often the silence is doubled: to 16 sessions, as it is half a session.
const unheededMax = 5

// heard says that the controller answered.
func (e *election) heard() {
	e.missing, e.refused, e.unheeded, e.rival = time.Time{}, time.Time{}, 0, false
}

// changed says that there is another controller, which gets its time.
func (e *election) changed() {
	*e = election{silence: e.silence, refusal: e.refusal, unheeded: e.unheeded, rival: true}
}

// won says that this member is the controller.
func (e *election) won() {
	e.changed()
	e.rival = false
}

// alone reports whether there is nobody to wait for, where the image has no node that lives but this one. A rival may be one that was fenced, and
// has not registered again: the image has no address of it, or nobody at all as the controller.
func (e *election) alone(noneLives bool) bool { return noneLives && !e.rival }

// gone reports whether a controller without an address is one whose process is gone.
func (e *election) gone() bool { return !e.rival }

// deposed says that this member was the controller and another one is now, and whether anybody had heeded it. Where nobody does, this member
// is the one that is cut off, though it reaches the log: each time it waits twice as long before it disturbs the others again.
func (e *election) deposed(heeded bool) {
	e.changed()
	if e.unheeded++; heeded {
		e.unheeded = 0
	}
}

// missed says that the controller did not answer, and whether its address refused the connection.
func (e *election) missed(now time.Time, refused bool) {
	if e.missing.IsZero() {
		e.missing = now
	}
	switch {
	case !refused:
		e.refused = time.Time{}
	case e.refused.IsZero():
		e.refused = now
	}
}

// wait says that the others were asked and told to wait.
func (e *election) wait(now time.Time, d time.Duration) { e.hold = now.Add(d) }

// due reports whether it is time to ask the others. rank is how many members are to try before this one.
func (e *election) due(now time.Time, rank int) bool {
	later := time.Duration(min(rank, 3)) * e.refusal / 2
	switch {
	case e.missing.IsZero() || now.Before(e.hold):
		return false
	case !e.refused.IsZero() && now.Sub(e.refused) >= e.refusal+later:
		return true
	}
	return now.Sub(e.missing) >= e.silence<<min(e.unheeded, unheededMax)+later
}
