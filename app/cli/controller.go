package cli

import (
	"context"
	"fmt"
	"net/http"

	"sluice/base"
	"sluice/edge/admin"
)

type controllerCmd struct {
	Transfer controllerTransferCmd `cmd:"" help:"Make another node the controller."`
}

type controllerTransferCmd struct {
	adminFlags
	waitFlags
	To string `placeholder:"NODE" help:"Id or name of the node that is to be it (default: any other)."`
}

func (c *controllerTransferCmd) Run(ctx context.Context, p *Process) error {
	before, err := c.cluster(ctx)
	if err != nil {
		return err
	}
	var req admin.TransferRequest
	if c.To != "" {
		n, err := c.node(ctx, c.To)
		if err != nil {
			return err
		}
		req.To = &n.ID
	}
	now := before.Controller
	if err := c.call(ctx, http.MethodPost, "/v1/controller/transfer", req, &now); err != nil {
		return err
	}
	if c.Wait {
		err := c.until(ctx, p, &c.adminFlags, func(ctx context.Context) (string, bool, error) {
			v, err := c.cluster(ctx)
			if err != nil {
				return "", false, err
			}
			now = v.Controller
			arrived := now.Node != base.NoNode && now.Epoch > before.Controller.Epoch
			if req.To != nil {
				arrived = now.Node == *req.To
			}
			return "The controller is " + controllerName(now) + ".", arrived, nil
		})
		if err != nil || !c.JSON {
			return err
		}
	}
	if c.JSON {
		return c.print(p, now)
	}
	fmt.Fprintf(p.Stdout, "The controller is %s, epoch %d.\n", controllerName(now), now.Epoch)
	return nil
}
