package control

import (
	"context"

	"sluice/base"
	"sluice/cluster/meta"
)

// Client is how the rest of a broker talks to the cluster's metadata: the controller in this process now, a remote one later.
// All methods are safe for concurrent use.
type Client interface {
	// Submit has the controller decide a command and returns its result, a pointer to the type that the command's documentation
	// names, when its records are durable and applied to Image. The command must not be changed any more.
	//
	// Errors: a *meta.Rejection if the command was refused; Undetermined if ctx ended while the command was on its way, so that it
	// may yet take effect; Unavailable if it had no effect and may be tried again; Fenced if the controller lost its role and this
	// process has no other; Closed.
	Submit(ctx context.Context, c meta.Command) (meta.Result, error)
	// Image returns the newest image: everything in it is durable.
	Image() *meta.Image
	// Subscribe has fn called for every new image, in order, on one goroutine for all subscribers. Images may be skipped when
	// subscribers are slow, never reordered; new.DeltaFrom(old) says what changed. fn must not block and must not call Submit on
	// that goroutine. Submit may return before fn has been called with its effect. cancel returns when fn is not running and will not be called again; fn must not call it.
	Subscribe(fn func(old, new *meta.Image)) (cancel func())
	// WaitFor waits until Image has reached pos.
	WaitFor(ctx context.Context, pos base.MetaPos) error
}

// Do submits a command and returns its result as its type, R being what the command's documentation names.
func Do[R any](ctx context.Context, c Client, cmd meta.Command) (*R, error) {
	res, err := c.Submit(ctx, cmd)
	if err != nil {
		return nil, err
	}
	r, ok := any(res).(*R)
	if !ok {
		panic("BUG: control: result of " + meta.CommandName(cmd) + " is of another type")
	}
	return r, nil
}
