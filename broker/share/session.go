package share

import (
	"context"
	"math"

	"sluice/base"
	"sluice/wire/kerr"
)

// sessionKey names a session: a member has one on every node that leads partitions it reads.
type sessionKey struct{ group, member string }

// place is a partition in a session.
type place struct {
	topic base.UUID
	index int32
}

// session is what a node remembers of a member between its requests. It is guarded by the manager's lock.
type session struct {
	key    sessionKey
	epoch  int32 // that the next request must have
	places []place
	stop   func() bool // ends the watch of the connection
}

// The epochs that begin and end a session.
const (
	epochFinal   int32 = -1
	epochInitial int32 = 0
)

func nextEpoch(e int32) int32 {
	if e == math.MaxInt32 {
		return 1
	}
	return e + 1
}

// open begins a session. It ends when ctx does, which is that of the client's connection.
func (m *Manager) open(ctx context.Context, k sessionKey) (*session, *kerr.Error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	old := m.mu.sessions[k]
	switch {
	case m.mu.closed:
		return nil, errClosed
	case old == nil && len(m.mu.sessions) >= m.opt.Sessions:
		return nil, kerr.Errorf(kerr.ShareSessionLimitReached, "there are %d share sessions, the limit", len(m.mu.sessions))
	case old != nil:
		old.stop() // what the member holds it goes on holding
	default:
		m.mu.groups[k.group]++
	}
	s := &session{key: k, epoch: 1}
	s.stop = context.AfterFunc(ctx, func() { m.close(s) })
	m.mu.sessions[k] = s
	return s, nil
}

// find finds the session of a request that is neither the first nor needs one to be made, and checks the epoch.
func (m *Manager) find(k sessionKey, epoch int32) (*session, *kerr.Error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	s := m.mu.sessions[k]
	switch {
	case s == nil:
		return nil, kerr.Errorf(kerr.ShareSessionNotFound, "there is no share session of member %s in group %s", k.member, k.group)
	case epoch == epochFinal:
	case epoch != s.epoch:
		return nil, kerr.Errorf(kerr.InvalidShareSessionEpoch, "the share session is at epoch %d, not %d", s.epoch, epoch)
	default:
		s.epoch = nextEpoch(s.epoch)
	}
	return s, nil
}

// update adds and removes partitions and returns those of the session. They take turns being the first.
func (m *Manager) update(s *session, add, remove []place) []place {
	m.mu.Lock()
	defer m.mu.Unlock()
	gone := map[place]bool{}
	for _, p := range remove {
		gone[p] = true
	}
	kept := make([]place, 0, len(s.places)+len(add))
	have := map[place]bool{}
	for _, p := range append(s.places, add...) {
		if !gone[p] && !have[p] {
			have[p] = true
			kept = append(kept, p)
		}
	}
	s.places = kept
	if len(kept) == 0 {
		return nil
	}
	m.mu.turn++
	first := m.mu.turn % len(kept)
	return append(append(make([]place, 0, len(kept)), kept[first:]...), kept[:first]...)
}

// close ends a session: what its member holds is given back, and with the last session of a group its share partitions are forgotten.
func (m *Manager) close(s *session) {
	m.mu.Lock()
	if m.mu.sessions[s.key] != s {
		m.mu.Unlock()
		return
	}
	s.stop()
	delete(m.mu.sessions, s.key)
	m.mu.groups[s.key.group]--
	last := m.mu.groups[s.key.group] == 0
	if last {
		delete(m.mu.groups, s.key.group)
	}
	var parts []*part
	for k, sp := range m.mu.parts {
		if k.Group == s.key.group {
			parts = append(parts, sp)
		}
	}
	m.mu.Unlock()
	for _, sp := range parts {
		sp.release(s.key.member)
		if last && sp.retire(true) {
			m.forget(sp)
		}
	}
}
