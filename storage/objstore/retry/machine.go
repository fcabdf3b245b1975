package retry

import "time"

const (
	// outageMin is how long all requests of a kind must have failed before that counts as an outage. What fails for shorter, or while others
	// succeed, is throttling, and then everybody keeps his own pauses.
	outageMin = time.Second
	// scoutPause bounds the pause of the one request that finds out whether an outage is over.
	scoutPause = 500 * time.Millisecond
)

// outage knows whether requests of one kind fail without exception. While they do, one of those who wait, the scout, comes back soon; when a
// request succeeds, all others need not sit out their pauses.
type outage struct {
	since time.Time // of the first failure after the last success; zero: the last request succeeded
	scout bool      // somebody is the scout
}

// failed notes a failure.
func (o *outage) failed(now time.Time) {
	if o.since.IsZero() {
		o.since = now
	}
}

// succeeded notes a success and reports whether it ended an outage.
func (o *outage) succeeded(now time.Time) (ended bool) {
	ended = o.lasts(now)
	o.since = time.Time{}
	return ended
}

// lasts reports whether there is an outage.
func (o *outage) lasts(now time.Time) bool { return !o.since.IsZero() && now.Sub(o.since) >= outageMin }

// becomeScout makes the caller the scout if there is need of one. A scout resigns before his attempt, so that one whose attempt hangs is
// replaced.
func (o *outage) becomeScout(now time.Time) bool {
	if o.scout || !o.lasts(now) {
		return false
	}
	o.scout = true
	return true
}

func (o *outage) resign() { o.scout = false }
