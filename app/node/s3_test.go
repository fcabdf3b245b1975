package node

import (
	"testing"

	"sluice/base"
	"sluice/base/config"
	"sluice/storage/objstore"
	"sluice/test/s3test"
)

// Brokers hold no state that matters: with bucket and WAL in S3, a broker that starts with an empty data directory has everything.
func TestEverythingIsInTheBucket(t *testing.T) {
	url := s3test.Start(t)
	store, err := objstore.Open(t.Context(), url, objstore.Options{})
	if err != nil {
		t.Fatal(err)
	}
	c := newCluster(t, "bucket="+url, "wal=s3", "wal-puts-per-second=200", "data="+t.TempDir())
	c.store = store
	first := c.start().Info().Node
	c.createTopic("kept", 3)
	for round, end := range []func(){c.crash, c.stop, c.crash} {
		c.produce(c.client(), "kept", round*200, 200)
		end()
		c.set = append(c.set, config.Value{Name: "data", Text: t.TempDir(), From: "test"})
		if id := c.start().Info().Node; id == first || id == base.NoNode {
			t.Fatalf("a broker without a past is node %v", id)
		}
		c.wantEach(c.consume(c.client(reader("kept")...), (round+1)*200), 0, (round+1)*200)
	}
}
