package cli

import (
	"context"
	"encoding/json"

	"sluice/base"
	"sluice/broker/partition"
	"sluice/cluster/audit"
	"sluice/storage/objstore"
)

type inspectCmd struct {
	placeFlags
	What string `arg:"" name:"what" help:"What to show: object:ID, topic:NAME/PARTITION[@OFFSET], wal:NODE/EPOCH, slot[:EPOCH/SLOT], snapshot[:EPOCH/SLOT], latest, a local file or directory of a WAL, or a key of the bucket."`
	Deep bool   `help:"Also read the blocks of an object, check them, and list the record batches in them."`
	All  bool   `help:"Whole tables instead of their first 50 rows."`
	JSON bool   `name:"json" help:"Print the answer as JSON."`
}

// Help implements kong.HelpProvider.
func (c *inspectCmd) Help() string {
	return `It needs no broker and changes nothing. Damaged input is shown as far as it can be read, and DAMAGE says at which bytes it cannot.

Examples:
  sluice inspect latest                      the cluster, as the metadata log in ./data says
  sluice inspect topic:orders/3@1500000      in which object, block and record batch an offset lies
  sluice inspect object:00000000000001a4 --deep
  sluice inspect wal:2/17                    the log of node 2 under epoch 17
  sluice inspect slot                        the newest slot of the metadata log, record by record
  sluice inspect data/wal/1-4                the files of a log, and
  sluice inspect data/wal/1-4/00000000.seg   what is in one of them
  sluice inspect --json snapshot --bucket s3://events

Exit codes: 0 shown, 1 shown with damage, or it could not be read, 2 wrong use.`
}

func (c *inspectCmd) Run(ctx context.Context, p *Process) error {
	var s *stores
	open := func(ctx context.Context) (bucket, meta objstore.Store, err error) {
		if s, err = c.open(ctx, p); err != nil {
			return nil, nil, err
		}
		return s.bucket, s.meta, nil
	}
	page, err := audit.Inspect(ctx, c.What, audit.InspectOptions{
		Open: open, All: c.All, Deep: c.Deep, ShowMeta: partition.DescribeSnapshotParts,
		OpenStore: func(ctx context.Context, url string) (objstore.Store, error) { return c.store(ctx, p, url, s.log) },
	})
	if base.IsKind(err, base.NotFound) {
		return base.Wrap(base.Invalid, err)
	}
	if err != nil {
		return err
	}
	if c.JSON {
		enc := json.NewEncoder(p.Stdout)
		enc.SetIndent("", "  ")
		err = enc.Encode(page)
	} else {
		err = page.WriteText(p.Stdout)
	}
	if err == nil && len(page.Damage) > 0 {
		return &codeError{code: exitFailed}
	}
	return err
}
