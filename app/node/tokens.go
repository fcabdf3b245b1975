package node

import (
	"context"
	"time"

	"sluice/broker/auth"
	"sluice/cluster/control"
	"sluice/cluster/meta"
)

// tokenTimeout bounds the removal of delegation tokens that have ended; what fails is tried again the next time.
const tokenTimeout = 10 * time.Second

// tokensRemoved is how many delegation tokens one command removes.
const tokensRemoved = 1000

// removeTokens removes delegation tokens that have ended, while this node is the controller, until ctx ends. Which ones have ended follows from the
// image, so nothing is lost with a controller.
func (n *Node) removeTokens(ctx context.Context, every time.Duration) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if n.member.IsController() {
			n.removeExpired(ctx, time.Now())
		}
	}
}

func (n *Node) removeExpired(ctx context.Context, now time.Time) {
	ctx, cancel := context.WithTimeout(ctx, tokenTimeout)
	defer cancel()
	img := n.member.Image()
	cmd := &meta.AlterConfigs{}
	for _, t := range auth.StoredTokens(img) {
		if t.Expired(now) && len(cmd.Changes) < tokensRemoved {
			cmd.Changes = append(cmd.Changes, meta.ConfigChange{Kind: meta.TokenConfig, Name: t.ID, Since: img.Pos()})
		}
	}
	if len(cmd.Changes) == 0 {
		return
	}
	res, err := control.Do[meta.Outcomes](ctx, n.member, cmd)
	if err != nil {
		n.log.Warn("cannot remove delegation tokens that have ended", "error", err)
		return
	}
	for i, ch := range cmd.Changes {
		if res.Errs[i] == nil { // else it was renewed meanwhile
			n.log.Info("removed a delegation token that has ended", "token", ch.Name)
		}
	}
}
