package control

import (
	"context"
	"sync"
	"time"

	"sluice/base"
	"sluice/cluster/meta"
	"sluice/cluster/peer"
)

// askTimeout bounds how long one node is waited for.
const askTimeout = 5 * time.Second

// Ask asks a live node something of another layer. Errors are those of [peer.Client.Call]; kind Unavailable means that nothing was done.
func (m *Member) Ask(ctx context.Context, node base.NodeID, method peer.Method, body []byte) ([]byte, error) {
	addr, ok := peerAddr(m.Image(), node)
	if !ok {
		return nil, base.Errorf(base.Unavailable, "node %d has no address", node)
	}
	return m.client.Call(ctx, addr, method, body)
}

// Ledger is what a node has counted of its requests, or why it cannot be had.
type Ledger struct {
	Node meta.NodeRef
	Name string
	Body []byte // as MemberOptions.Ledger of that node gave it
	Err  error
}

// Ledgers asks every live node, this one included, what it has counted, side by side. The answers are ascending by node.
func (m *Member) Ledgers(ctx context.Context) []Ledger {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	img := m.Image()
	var out []Ledger
	for n := range img.Nodes() {
		if !n.Fenced {
			out = append(out, Ledger{Node: n.Ref(), Name: n.Name})
		}
	}
	var wg sync.WaitGroup
	for i := range out {
		wg.Go(func() {
			l := &out[i]
			if self := m.self.Load(); self != nil && self.ID == l.Node.ID {
				l.Body, l.Err = m.serveLedger(ctx, nil)
				return
			}
			addr, ok := peerAddr(img, l.Node.ID)
			if !ok {
				l.Err = base.Errorf(base.Unavailable, "node %d has no address", l.Node.ID)
				return
			}
			l.Body, l.Err = m.client.Call(ctx, addr, methodLedger, nil)
		})
	}
	wg.Wait()
	return out
}

func (m *Member) serveLedger(context.Context, []byte) ([]byte, error) {
	if m.opt.Ledger == nil {
		return nil, base.Errorf(base.Invalid, "this node counts no requests")
	}
	return m.opt.Ledger(), nil
}
