package control

import (
	"context"
	"errors"
	"time"

	"sluice/base"
	"sluice/cluster/meta"
	"sluice/cluster/peer"
	"sluice/wire/kbin"
)

// handlers answer other members.
func (m *Member) handlers() map[peer.Method]peer.Handler {
	all := map[peer.Method]peer.Handler{
		methodPing: m.servePing, methodHeartbeat: m.serveHeartbeat, methodFollow: m.serveFollow, methodSubmit: m.serveSubmit,
		methodContact: m.serveContact, methodAnnounce: m.serveAnnounce, methodTakeOver: m.serveTakeOver, methodLedger: m.serveLedger,
	}
	for method, s := range m.opt.Services {
		if method < FreeMethod {
			panic("BUG: the method " + s.Name + " is not free")
		}
		all[method] = s.Handle
	}
	return all
}

func (m *Member) servePing(context.Context, []byte) ([]byte, error) {
	ref := meta.NodeRef{ID: base.NoNode}
	if self := m.self.Load(); self != nil {
		ref = *self
	}
	return appendRef(nil, ref), nil
}

func (m *Member) serveHeartbeat(_ context.Context, b []byte) ([]byte, error) {
	h, err := readHeartbeat(b)
	if err != nil {
		return nil, err
	}
	l := m.leading()
	if l == nil {
		return heard{status: statusNotController}.append(nil), nil
	}
	s := statusOK
	if n, ok := l.ctl.Image().Node(h.node.ID); !ok || n.Epoch < h.node.Epoch {
		s = statusNotController // it has registered with a controller this one does not know of
		l.ctl.suspect()
	} else if n.Epoch > h.node.Epoch || n.Fenced {
		s = statusFenced
	} else {
		l.heard(h)
	}
	return heard{s, time.Since(l.ctl.verifiedAt()), l.ctl.epoch.Load()}.append(nil), nil
}

func (m *Member) serveFollow(ctx context.Context, b []byte) ([]byte, error) {
	r := kbin.NewReader(b)
	pos := base.MetaPos(r.Int64())
	if err := r.Err(); err != nil {
		return nil, base.Wrap(base.Invalid, err)
	}
	l := m.leading()
	if l == nil {
		return []byte{byte(statusNotController)}, nil
	}
	ctx, cancel := context.WithTimeout(ctx, followWait)
	defer cancel()
	if l.ctl.Image().Pos() < pos {
		l.ctl.suspect() // the asker has seen more than we have written
		return []byte{byte(statusNotController)}, nil
	}
	// Whoever waits in vain gets no slots, which tells him that the controller lives.
	l.ctl.WaitFor(ctx, pos+1)
	entries, ok := l.ctl.recent.from(pos, followBytes)
	if l.ctl.life.Err() != nil {
		return []byte{byte(statusNotController)}, nil
	}
	if !ok {
		return []byte{byte(statusBehind)}, nil
	}
	return appendSlots(nil, entries), nil
}

// appendSubmit encodes a command with the time that its sender waits.
func appendSubmit(dst []byte, ctx context.Context, cmd meta.Command) []byte {
	wait := time.Minute
	if t, ok := ctx.Deadline(); ok {
		wait = time.Until(t)
	}
	return meta.AppendCommand(kbin.AppendInt64(dst, int64(wait)), cmd)
}

func (m *Member) serveSubmit(ctx context.Context, b []byte) ([]byte, error) {
	r := kbin.NewReader(b)
	wait := time.Duration(r.Int64())
	if err := r.Err(); err != nil {
		return nil, base.Wrap(base.Invalid, err)
	}
	cmd, _, err := meta.DecodeCommand(r.Rest())
	if err != nil {
		return nil, err
	}
	l := m.leading()
	if l == nil {
		return []byte{byte(statusNotController)}, nil
	}
	ctx, cancel := context.WithTimeout(ctx, min(max(wait, 0), time.Minute))
	defer cancel()
	res, err := l.ctl.Submit(ctx, cmd)
	var rej *meta.Rejection
	switch pos := kbin.AppendInt64(nil, int64(l.ctl.Image().Pos())); {
	case err == nil:
		return meta.AppendResult(append(pos, byte(statusOK)), res), nil
	case errors.As(err, &rej):
		return meta.AppendRejection(append(pos, byte(statusRejected)), rej), nil
	case base.IsKind(err, base.Unavailable):
		return nil, err
	default: // the role was lost; what was in flight may yet be there
		return nil, base.Wrap(base.Undetermined, err)
	}
}

// readSubmitted decodes an answer to methodSubmit: the position at which the image holds what the command did, the result, or why not.
func readSubmitted(b []byte) (base.MetaPos, meta.Result, error) {
	if len(b) == 1 && status(b[0]) == statusNotController {
		return 0, nil, base.Errorf(base.Unavailable, "the node asked is not the controller")
	}
	r := kbin.NewReader(b)
	pos, s := base.MetaPos(r.Int64()), status(r.Int8())
	if err := r.Err(); err != nil {
		return 0, nil, base.Wrap(base.Undetermined, err)
	}
	if s == statusRejected {
		rej, err := meta.DecodeRejection(r.Rest())
		if err != nil {
			return 0, nil, base.Wrap(base.Undetermined, err)
		}
		return pos, nil, rej
	}
	res, err := meta.DecodeResult(r.Rest())
	if err != nil {
		return 0, nil, base.Wrap(base.Undetermined, err)
	}
	return pos, res, nil
}

// serveContact says which controller this member knows and how long ago it had contact with it; -1 for never.
func (m *Member) serveContact(context.Context, []byte) ([]byte, error) {
	age := time.Duration(-1)
	switch l, at := m.leading(), m.contact.Load(); {
	case l != nil:
		age = time.Since(l.ctl.verifiedAt())
	case at >= 0:
		age = time.Since(m.began) - time.Duration(at)
	}
	return kbin.AppendInt64(kbin.AppendInt64(nil, int64(m.Image().Controller().Epoch)), int64(age)), nil
}

// serveAnnounce hears of a new controller. It is a hint: the log says who it is.
func (m *Member) serveAnnounce(_ context.Context, b []byte) ([]byte, error) {
	r := kbin.NewReader(b)
	epoch := uint64(r.Int64())
	if r.Err() != nil || epoch <= m.Image().Controller().Epoch {
		return nil, base.Wrap(base.Invalid, r.Err())
	}
	if l := m.leading(); l != nil {
		l.ctl.suspect()
	}
	m.interrupt()
	return nil, nil
}

func (m *Member) serveTakeOver(ctx context.Context, _ []byte) ([]byte, error) {
	if m.self.Load() == nil {
		return nil, base.Errorf(base.Unavailable, "this process is not a node yet")
	}
	return nil, m.becomeController(ctx)
}
