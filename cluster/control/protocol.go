package control

import (
	"time"

	"sluice/base"
	"sluice/cluster/balance"
	"sluice/cluster/meta"
	"sluice/cluster/metalog"
	"sluice/cluster/peer"
	"sluice/wire/kbin"
)

// What members ask of each other.
const (
	// methodPing asks who is there.
	methodPing peer.Method = 1 + iota
	// methodHeartbeat tells the controller that a node lives, and the node that the controller does.
	methodHeartbeat
	// methodFollow asks the controller for the slots after a position, and waits for some.
	methodFollow
	// methodSubmit has the controller decide a command.
	methodSubmit
	// methodContact asks a member how long ago it had contact with the controller.
	methodContact
	// methodAnnounce tells a member that there is a new controller.
	methodAnnounce
	// methodTakeOver asks a member to become the controller.
	methodTakeOver
	// methodLedger asks a member what it has counted of its requests to the stores.
	methodLedger
)

// FreeMethod is the first of the methods that other layers may give a meaning ([MemberOptions.Services]).
const FreeMethod peer.Method = 64

// Service answers a method of another layer.
type Service struct {
	Name   string // for metrics
	Handle peer.Handler
}

// methodName names a method for metrics.
func (o MemberOptions) methodName(m peer.Method) string {
	if s, ok := o.Services[m]; ok {
		return s.Name
	}
	return MethodName(m)
}

// MethodName names a method of this package.
func MethodName(m peer.Method) string {
	names := [...]string{methodPing: "ping", methodHeartbeat: "heartbeat", methodFollow: "follow", methodSubmit: "submit",
		methodContact: "contact", methodAnnounce: "announce", methodTakeOver: "take-over", methodLedger: "ledger"}
	if int(m) < len(names) {
		return names[m]
	}
	return "unknown"
}

// status is the first byte of an answer.
type status uint8

const (
	statusOK status = iota
	statusNotController
	statusFenced   // the node epoch is over
	statusBehind   // the slots asked for are not kept any more
	statusRejected // the command was
)

func appendRef(dst []byte, ref meta.NodeRef) []byte {
	return kbin.AppendInt64(kbin.AppendInt32(dst, int32(ref.ID)), int64(ref.Epoch))
}

func readRef(r *kbin.Reader) meta.NodeRef {
	return meta.NodeRef{ID: base.NodeID(r.Int32()), Epoch: base.NodeEpoch(r.Int64())}
}

// RescueFailure is a rescue that was granted to a node which cannot carry it out, because the WAL is out of its reach.
type RescueFailure struct {
	Victim meta.NodeRef
	Grant  uint64
}

// heartbeat is what a node tells about itself.
type heartbeat struct {
	node    meta.NodeRef
	pos     base.MetaPos
	failing []RescueFailure
	load    balance.NodeLoad
}

func (h heartbeat) append(dst []byte) []byte {
	dst = appendRef(dst, h.node)
	dst = kbin.AppendInt64(dst, int64(h.pos))
	dst = kbin.AppendArrayLen(dst, true, len(h.failing))
	for _, f := range h.failing {
		dst = kbin.AppendInt64(appendRef(dst, f.Victim), int64(f.Grant))
	}
	return balance.AppendLoad(dst, h.load)
}

func readHeartbeat(b []byte) (h heartbeat, err error) {
	r := kbin.NewReader(b)
	h.node, h.pos = readRef(&r), base.MetaPos(r.Int64())
	for range r.ArrayLen(true, 20) {
		h.failing = append(h.failing, RescueFailure{readRef(&r), uint64(r.Int64())})
	}
	if err := r.Err(); err != nil {
		return h, base.Wrap(base.Invalid, err)
	}
	h.load, err = balance.DecodeLoad(r.Rest())
	return h, err
}

// heard is the answer to a heartbeat. age says how long ago the controller began to prove that nobody had taken over.
type heard struct {
	status status
	age    time.Duration
	epoch  uint64
}

func (h heard) append(dst []byte) []byte {
	return kbin.AppendInt64(kbin.AppendInt64(append(dst, byte(h.status)), int64(h.age)), int64(h.epoch))
}

func readHeard(b []byte) (h heard, err error) {
	r := kbin.NewReader(b)
	h.status, h.age, h.epoch = status(r.Int8()), time.Duration(r.Int64()), uint64(r.Int64())
	return h, base.Wrap(base.Invalid, r.Err())
}

// appendSlots encodes the answer to methodFollow.
func appendSlots(dst []byte, entries []metalog.Entry) []byte {
	dst = kbin.AppendArrayLen(append(dst, byte(statusOK)), true, len(entries))
	for _, e := range entries {
		dst = kbin.AppendInt64(kbin.AppendInt32(dst, int32(e.Records)), int64(e.From))
		dst = kbin.AppendInt64(kbin.AppendInt64(dst, int64(e.Next.Epoch)), int64(e.Next.Slot))
		dst = kbin.AppendBytes(dst, true, e.Body)
	}
	return dst
}

func readSlots(b []byte) (s status, entries []metalog.Entry, err error) {
	r := kbin.NewReader(b)
	if s = status(r.Int8()); s != statusOK {
		return s, nil, base.Wrap(base.Invalid, r.Err())
	}
	for range r.ArrayLen(true, 29) {
		e := metalog.Entry{Records: int(r.Int32()), From: base.MetaPos(r.Int64())}
		e.Next = metalog.Position{Epoch: uint64(r.Int64()), Slot: uint64(r.Int64())}
		e.Body = r.Bytes(true)
		entries = append(entries, e)
	}
	return s, entries, base.Wrap(base.Invalid, r.Err())
}
