package control

import (
	"maps"
	"time"

	"sluice/cluster/meta"
)

// sessions decides which nodes are to be fenced because they were not heard of. Times are arguments.
//
// A node whose process is gone (its address refuses connections, or somebody else answers there) is given up soon; one that is only
// silent, when its session is over. When the controller itself did not run for a while, or has just taken over, everybody gets that time.
// When more than half of the others fall silent together, the fault is more likely here, so they get a session more.
type sessions struct {
	timeout time.Duration // a session
	gone    time.Duration // how long a process must be gone, and unheard of
	nodes   map[meta.NodeRef]*session
	massed  time.Time // since when more than half are silent; zero: they are not
}

type session struct {
	heard time.Time
	gone  time.Time // since when its process is gone; zero: it is not
}

func newSessions(timeout, gone time.Duration) *sessions {
	return &sessions{timeout: timeout, gone: gone, nodes: map[meta.NodeRef]*session{}}
}

// observe takes the nodes that live according to the image; new ones begin their session.
func (s *sessions) observe(live []meta.NodeRef, now time.Time) {
	keep := make(map[meta.NodeRef]bool, len(live))
	for _, ref := range live {
		keep[ref] = true
		if s.nodes[ref] == nil {
			s.nodes[ref] = &session{heard: now}
		}
	}
	maps.DeleteFunc(s.nodes, func(ref meta.NodeRef, _ *session) bool { return !keep[ref] })
}

// heard says that a node was heard of.
func (s *sessions) heard(ref meta.NodeRef, now time.Time) {
	if n := s.nodes[ref]; n != nil {
		n.heard, n.gone = now, time.Time{}
	}
}

// probed takes what came of looking for a silent node's process.
func (s *sessions) probed(ref meta.NodeRef, gone bool, now time.Time) {
	switch n := s.nodes[ref]; {
	case n == nil:
	case !gone:
		n.gone = time.Time{}
	case n.gone.IsZero():
		n.gone = now
	}
}

// forgive makes up for a time in which this process did not run.
func (s *sessions) forgive(d time.Duration) {
	for _, n := range s.nodes {
		n.heard = n.heard.Add(d)
		if !n.gone.IsZero() {
			n.gone = n.gone.Add(d)
		}
	}
	if !s.massed.IsZero() {
		s.massed = s.massed.Add(d)
	}
}

// silent returns the nodes that were not heard of for so long.
func (s *sessions) silent(d time.Duration, now time.Time) (refs []meta.NodeRef) {
	for ref, n := range s.nodes {
		if now.Sub(n.heard) >= d {
			refs = append(refs, ref)
		}
	}
	return refs
}

// over returns the nodes to be fenced, each with the reason.
func (s *sessions) over(now time.Time) map[meta.NodeRef]string {
	out := map[meta.NodeRef]string{}
	var late []meta.NodeRef
	for ref, n := range s.nodes {
		switch {
		case !n.gone.IsZero() && now.Sub(n.gone) >= s.gone && now.Sub(n.heard) >= 2*s.gone:
			out[ref] = "its process is gone"
		case now.Sub(n.heard) >= s.timeout:
			late = append(late, ref)
		}
	}
	if len(late) < 2 || 2*len(late) <= len(s.nodes) {
		s.massed = time.Time{}
	} else if s.massed.IsZero() {
		s.massed = now
	}
	if s.massed.IsZero() || now.Sub(s.massed) >= s.timeout {
		for _, ref := range late {
			out[ref] = "it was not heard of for a session"
		}
	}
	return out
}
