package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"

	"sluice/base"
	"sluice/edge/admin"
)

// adminFlags say which broker's admin listener a command speaks to; any of the cluster will do.
type adminFlags struct {
	AdminServer string        `name:"admin-server" short:"a" env:"SLUICE_ADMIN_SERVER" default:"127.0.0.1:9644" placeholder:"HOST:PORT" help:"Admin listener of any broker of the cluster (default: 127.0.0.1:9644)."`
	Timeout     time.Duration `default:"15s" help:"Give up when the broker has not answered for so long (default: 15s)."`
	JSON        bool          `name:"json" help:"Print the answer as JSON."`
}

// waitFlags are of commands whose effect takes a while.
type waitFlags struct {
	Wait    bool          `help:"Wait until it is done, and say how far it is."`
	WaitMax time.Duration `name:"wait-max" default:"10m" help:"Wait at most for so long (default: 10m)."`
}

const (
	waitEvery = 500 * time.Millisecond // between two looks at how far it is
	answerMax = 64 << 20               // bytes of an answer: all partitions of a large cluster
)

// call sends a request, with in as its body unless that is nil, and decodes the answer into out.
func (f *adminFlags) call(ctx context.Context, method, path string, in, out any) error {
	ctx, cancel := context.WithTimeout(ctx, f.Timeout)
	defer cancel()
	var body io.Reader
	if in != nil {
		b, err := json.Marshal(in)
		if err != nil {
			panic("BUG: cli: " + err.Error())
		}
		body = bytes.NewReader(b)
	}
	req, err := http.NewRequestWithContext(ctx, method, "http://"+f.AdminServer+path, body)
	if err != nil {
		return base.Errorf(base.Invalid, "--admin-server %s: want HOST:PORT", f.AdminServer)
	}
	req.Header.Set("Content-Type", "application/json")
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	res, err := client.Do(req)
	if err != nil {
		return base.Errorf(base.Unavailable, "no broker answers at %s: %w; give its admin listener with --admin-server", f.AdminServer, innermost(err))
	}
	defer res.Body.Close()
	b, err := io.ReadAll(io.LimitReader(res.Body, answerMax))
	if err != nil {
		return base.Errorf(base.Unavailable, "the answer of %s broke off: %w", f.AdminServer, err)
	}
	if res.StatusCode != http.StatusOK {
		var e admin.ErrorAnswer
		if json.Unmarshal(b, &e) != nil || e.Error == "" {
			return base.Errorf(base.Failed, "%s answers %s; is it a broker's admin listener?", f.AdminServer, res.Status)
		}
		return errors.New(e.Error)
	}
	if err := json.Unmarshal(b, out); err != nil {
		return base.Errorf(base.Failed, "%s answers something else than a broker: %w", f.AdminServer, err)
	}
	return nil
}

func (f *adminFlags) cluster(ctx context.Context) (*admin.ClusterView, error) {
	v := new(admin.ClusterView)
	return v, f.call(ctx, http.MethodGet, "/v1/cluster", nil, v)
}

// print prints an answer as JSON.
func (f *adminFlags) print(p *Process, v any) error {
	enc := json.NewEncoder(p.Stdout)
	enc.SetIndent("", "  ")
	return enc.Encode(v)
}

// node finds a node by its id or its name.
func (f *adminFlags) node(ctx context.Context, which string) (admin.NodeView, error) {
	v, err := f.cluster(ctx)
	if err != nil {
		return admin.NodeView{}, err
	}
	var found []admin.NodeView
	for _, n := range v.Nodes {
		if strconv.Itoa(int(n.ID)) == which {
			return n, nil
		}
		if n.Name == which {
			found = append(found, n)
		}
	}
	switch len(found) {
	case 0:
		return admin.NodeView{}, base.Errorf(base.Invalid, "there is no node %s; sluice cluster describe lists them", which)
	case 1:
		return found[0], nil
	}
	return admin.NodeView{}, base.Errorf(base.Invalid, "%d nodes are called %s: give the id, sluice cluster describe lists them", len(found), which)
}

// until looks at the cluster until done says so; done returns how far it is, which is printed when it has changed.
func (f *waitFlags) until(ctx context.Context, p *Process, a *adminFlags, done func(context.Context) (progress string, ok bool, err error)) error {
	ctx, cancel := context.WithTimeout(ctx, f.WaitMax)
	defer cancel()
	said := ""
	for {
		progress, ok, err := done(ctx)
		if err != nil && ctx.Err() == nil {
			return err
		}
		if err == nil && progress != said && !a.JSON {
			said = progress
			fmt.Fprintln(p.Stdout, progress)
		}
		if ok && err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			if errors.Is(ctx.Err(), context.DeadlineExceeded) {
				return base.Errorf(base.Unavailable, "not done after %v; it goes on. %s", f.WaitMax, said)
			}
			return ctx.Err()
		case <-time.After(waitEvery):
		}
	}
}
