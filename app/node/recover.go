package node

import (
	"context"
	"fmt"

	"sluice/cluster/control"
	"sluice/cluster/rescue"
)

// recover begins to rescue what is granted to this node, and brings back what former epochs of it left in a WAL of its own, which nobody else
// can. What others have to do, or other WALs, does not hold the start up.
func (n *Node) recover(ctx context.Context) error {
	n.rescues.Store(rescue.Start(rescue.Options{
		Self: n.self, Client: n.member, Store: n.store, WAL: n.walOptions, SOBytes: int64(n.opt.Config.StreamObjectBytes), Memory: int64(n.opt.Memory.Upload),
		Logger: n.log, Registerer: n.opt.Registry,
	}))
	if err := n.rescues.Load().WaitOwn(ctx); err != nil {
		return fmt.Errorf("recover: %w", err)
	}
	return nil
}

// failingRescues tells the controller which rescues this node cannot carry out.
func (n *Node) failingRescues() (out []control.RescueFailure) {
	w := n.rescues.Load()
	if w == nil {
		return nil
	}
	for _, f := range w.Failing() {
		out = append(out, control.RescueFailure{Victim: f.Victim, Grant: f.Grant})
	}
	return out
}
