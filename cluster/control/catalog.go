package control

import (
	"context"

	"sluice/base"
	"sluice/cluster/meta"
	"sluice/storage/stream"
)

// catalog is what the storage engine sees of the cluster.
type catalog struct {
	client Client
	self   meta.NodeRef
}

// NewCatalog returns the catalog of the node. Objects are prepared in its name, so under its epoch.
func NewCatalog(c Client, self stream.NodeRef) stream.Catalog {
	return &catalog{client: c, self: meta.NodeRef(self)}
}

// PrepareObjects implements stream.Catalog.
func (c *catalog) PrepareObjects(ctx context.Context, n int) ([]base.ObjectID, error) {
	if n < 1 || n > meta.MaxPrepare {
		return nil, base.Errorf(base.Invalid, "%d objects to prepare, possible are 1 to %d", n, meta.MaxPrepare)
	}
	res, err := Do[meta.ObjectsPrepared](ctx, c.client, &meta.PrepareObjects{Node: c.self, Count: int32(n)})
	if err != nil {
		return nil, retriable(err)
	}
	ids := make([]base.ObjectID, res.Count)
	for i := range ids {
		ids[i] = res.First + base.ObjectID(i)
	}
	return ids, nil
}

// CommitUpload implements stream.Catalog.
func (c *catalog) CommitUpload(ctx context.Context, u stream.UploadCommit) (stream.UploadResult, error) {
	cmd := &meta.CommitUpload{Node: meta.NodeRef(u.Node), Grant: u.Grant, Number: u.Number, Trim: u.Trim, Objects: make([]meta.UploadObject, len(u.Objects))}
	for i, o := range u.Objects {
		to := meta.UploadObject{ID: o.ID, Size: o.Size, Kind: meta.ObjectKind(o.Kind), Ranges: make([]meta.UploadRange, len(o.Ranges))}
		for k, r := range o.Ranges {
			to.Ranges[k] = meta.UploadRange(r)
		}
		cmd.Objects[i] = to
	}
	res, err := Do[meta.UploadDone](ctx, c.client, cmd)
	if err != nil {
		return stream.UploadResult{}, retriable(err)
	}
	out := stream.UploadResult{Verdicts: make([]stream.Verdict, len(res.Verdicts))}
	for i, v := range res.Verdicts {
		out.Verdicts[i] = stream.Verdict(v)
	}
	return out, nil
}

// TrimStreams implements stream.Catalog.
func (c *catalog) TrimStreams(ctx context.Context, node stream.NodeRef, trims []stream.StreamTrim) error {
	cmd := &meta.TrimStreams{Node: meta.NodeRef(node), Trims: make([]meta.StreamTrim, len(trims))}
	for i, t := range trims {
		cmd.Trims[i] = meta.StreamTrim(t)
	}
	return outcomes(Do[meta.Outcomes](ctx, c.client, cmd))
}

// CloseStreams implements stream.Catalog.
func (c *catalog) CloseStreams(ctx context.Context, node stream.NodeRef, closes []stream.StreamClose) error {
	cmd := &meta.CloseStreams{Node: meta.NodeRef(node), Closes: make([]meta.StreamClose, len(closes))}
	for i, t := range closes {
		cmd.Closes[i] = meta.StreamClose(t)
	}
	return outcomes(Do[meta.Outcomes](ctx, c.client, cmd))
}

// Locate implements stream.Catalog.
func (c *catalog) Locate(_ context.Context, id base.StreamID, from base.Offset, limit int) (stream.Location, error) {
	loc, err := c.client.Image().Locate(id, from, limit)
	if err != nil {
		return stream.Location{}, err
	}
	out := stream.Location{Start: loc.Start, CommittedEnd: loc.CommittedEnd, Bytes: loc.Bytes, Objects: make([]stream.ObjectRange, len(loc.Objects))}
	for i, o := range loc.Objects {
		out.Objects[i] = stream.ObjectRange{ID: o.Object, Size: o.Size, Range: o.OffsetRange, Bytes: o.Bytes, MaxTimestamp: o.MaxTimestamp}
	}
	return out, nil
}

// retriable makes an answer that did not come in time what the engine knows: all its calls may be repeated, for commits are
// numbered and the rest is idempotent or, like prepared ids, expires.
func retriable(err error) error {
	if base.IsKind(err, base.Undetermined) {
		return base.Wrap(base.Unavailable, err)
	}
	return err
}

// outcomes turns what became of the items of a command into the engine's form.
func outcomes(res *meta.Outcomes, err error) error {
	if err != nil {
		return retriable(err)
	}
	var items *stream.ItemErrors
	for i, rej := range res.Errs {
		if rej == nil {
			continue
		}
		if items == nil {
			items = &stream.ItemErrors{Errs: make([]error, len(res.Errs))}
		}
		items.Errs[i] = rej
	}
	if items == nil {
		return nil
	}
	return items
}
