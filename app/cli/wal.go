package cli

import (
	"context"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"sluice/base"
	"sluice/edge/admin"
)

type walCmd struct {
	List    walListCmd    `cmd:"" help:"Show the WALs of the broker that is asked: class, state, how full, how far the bucket is behind."`
	Add     walAddCmd     `cmd:"" help:"Give the broker that is asked another WAL while it runs."`
	Drain   walDrainCmd   `cmd:"" help:"Move everything off a WAL of a broker and give it up."`
	Undrain walUndrainCmd `cmd:"" help:"Call the drain of a WAL off, as long as something is on it."`
}

type walListCmd struct{ adminFlags }

func (c *walListCmd) Run(ctx context.Context, p *Process) error {
	v, err := c.wals(ctx)
	if err != nil {
		return err
	}
	if c.JSON {
		return c.print(p, v)
	}
	fmt.Fprintf(p.Stdout, "Node %d: %s\n", v.Node, count(len(v.WALs), "WAL"))
	return table(p.Stdout, "VOLUME CLASS STATE STREAMS CAPACITY USED NOT-UPLOADED LAG WAL", func(row func(...any)) {
		for _, w := range v.WALs {
			capacity := "-"
			if w.Capacity > 0 {
				capacity = size(float64(w.Capacity))
			}
			state := w.State
			if w.Failed != "" {
				state = "failed"
			}
			row(w.Volume, w.Class, state, w.Open, capacity, size(float64(w.Used)), size(float64(w.Unuploaded)), (time.Duration(w.LagMS) * time.Millisecond).Round(time.Millisecond), w.URL)
		}
	})
}

func (f *adminFlags) wals(ctx context.Context) (*admin.WALsAnswer, error) {
	v := new(admin.WALsAnswer)
	return v, f.call(ctx, http.MethodGet, "/v1/wal", nil, v)
}

type walAddCmd struct {
	adminFlags
	URL string `arg:"" name:"url" help:"The WAL, as for the setting wal. The broker uses it after its next start only if that setting names it too."`
}

func (c *walAddCmd) Run(ctx context.Context, p *Process) error {
	var v admin.WALView
	if err := c.call(ctx, http.MethodPost, "/v1/wal/add", admin.AddWALRequest{URL: c.URL}, &v); err != nil {
		return err
	}
	if c.JSON {
		return c.print(p, v)
	}
	fmt.Fprintf(p.Stdout, "Volume %d at %s is %s. Add it to the setting wal, or it is not used after the next start.\n", v.Volume, v.URL, v.State)
	return nil
}

type walDrainCmd struct {
	adminFlags
	waitFlags
	WAL string `arg:"" name:"wal" help:"Number of the volume, or its URL, of the broker that is asked."`
}

func (c *walDrainCmd) Run(ctx context.Context, p *Process) error {
	node, v, err := c.drainWAL(ctx, c.WAL, true)
	if err != nil {
		return err
	}
	if c.Wait {
		err = c.until(ctx, p, &c.adminFlags, func(ctx context.Context) (string, bool, error) {
			all, err := c.wals(ctx)
			if err != nil {
				return "", false, err
			}
			for _, w := range all.WALs {
				if all.Node == node && w.Volume == v.Volume {
					if v = w.WALView; v.State == "active" {
						return "", false, base.Errorf(base.Failed, "somebody has called the drain of volume %d off", v.Volume)
					}
					return fmt.Sprintf("Volume %d has %s.", v.Volume, count(v.Open, "open stream")), false, nil
				}
			}
			return fmt.Sprintf("Volume %d is gone.", v.Volume), true, nil
		})
		if err != nil || !c.JSON {
			return err
		}
	}
	return c.saidWAL(p, v)
}

// drainWAL asks for the drain of a WAL of the broker that is asked, or the end of it.
func (f *adminFlags) drainWAL(ctx context.Context, which string, drain bool) (node base.NodeID, v admin.WALView, err error) {
	all, err := f.wals(ctx)
	if err != nil {
		return 0, v, err
	}
	for _, w := range all.WALs {
		at, _, _ := strings.Cut(w.URL, "?")
		if which == strconv.FormatInt(int64(w.Volume), 10) || which == w.URL || which == at {
			path := fmt.Sprintf("/v1/nodes/%d/wal/%d/drain", all.Node, w.Volume)
			err = f.call(ctx, http.MethodPost, path, admin.DrainWALRequest{Drain: drain}, &v)
			return all.Node, v, err
		}
	}
	return 0, v, base.Errorf(base.Invalid, "node %d has no WAL %s; sluice wal list shows them", all.Node, which)
}

func (f *adminFlags) saidWAL(p *Process, v admin.WALView) error {
	if f.JSON {
		return f.print(p, v)
	}
	fmt.Fprintf(p.Stdout, "Volume %d is %s and has %s.\n", v.Volume, v.State, count(v.Open, "open stream"))
	return nil
}

type walUndrainCmd struct {
	adminFlags
	WAL string `arg:"" name:"wal" help:"Number of the volume, or its URL, of the broker that is asked."`
}

func (c *walUndrainCmd) Run(ctx context.Context, p *Process) error {
	_, v, err := c.drainWAL(ctx, c.WAL, false)
	if err != nil {
		return err
	}
	return c.saidWAL(p, v)
}
