package node

import (
	"context"
	"strings"
	"testing"

	"sluice/base"
	"sluice/storage/objstore"
)

// weak is a store without put-if-absent: it ignores the condition, or refuses it.
type weak struct {
	objstore.Store
	refuses bool
}

func (w weak) Put(ctx context.Context, key string, body [][]byte, opt objstore.PutOptions) error {
	if opt.IfAbsent && w.refuses {
		return base.Errorf(base.Invalid, "put %s: 501 NotImplemented", key)
	}
	return w.Store.Put(ctx, key, body, objstore.PutOptions{})
}

// TestBucketWithoutPutIfAbsent: it is refused, with the reason and the way out, unless it holds nothing that needs it. Then everything works.
func TestBucketWithoutPutIfAbsent(t *testing.T) {
	t.Parallel()
	for _, refuses := range []bool{false, true} {
		elsewhere := "file://" + t.TempDir()
		for settings, mention := range map[string]string{
			"wal=s3":                    "--meta and for the WAL with --wal",
			"wal=file://" + t.TempDir(): "the metadata log with --meta",
			"wal=s3 meta=" + elsewhere:  "the WAL with --wal",
		} {
			c := newCluster(t, append(strings.Fields(settings), "data="+t.TempDir())...)
			c.store = weak{c.store, refuses}
			_, err := c.open()
			if !base.IsKind(err, base.Invalid) || !strings.Contains(err.Error(), "put-if-absent (If-None-Match: *)") || !strings.Contains(err.Error(), mention) {
				t.Errorf("%s: %v; want an error that says what is missing and mentions %q", settings, err, mention)
			}
		}
		c := newCluster(t, "wal=file://"+t.TempDir()+"/wal", "meta=file://"+t.TempDir()+"/meta", "data="+t.TempDir())
		c.store = weak{c.store, refuses}
		c.start()
		c.createTopic("kept", 3)
		for round, end := range []func(){c.crash, c.stop} {
			c.produce(c.client(), "kept", round*200, 200)
			end()
			c.start()
			c.wantEach(c.consume(c.client(reader("kept")...), (round+1)*200), 0, (round+1)*200)
		}
		if len(keysOf(t, c.store, "")) == 0 {
			t.Error("nothing is in the bucket")
		}
		c.stop()
	}
}
