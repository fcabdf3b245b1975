package node

import (
	"net/url"
	"strings"
	"testing"

	"sluice/base"
	"sluice/base/config"
	"sluice/storage/objstore"
	"sluice/storage/objstore/az"
	"sluice/test/aztest"
	"sluice/test/gcstest"
	"sluice/test/s3test"
)

// Brokers hold no state that matters: with bucket and WAL in S3, a broker that starts with an empty data directory has everything.
func TestEverythingIsInTheBucket(t *testing.T) {
	testEverythingIsIn(t, s3test.Start(t), nil, (*cluster).crash, (*cluster).stop, (*cluster).crash)
}

// The same in Google Cloud Storage and in Azure Blob Storage, as far as emulators are like them.
func TestEverythingIsInAnotherCloud(t *testing.T) {
	t.Run("gs", func(t *testing.T) { testEverythingIsIn(t, gcstest.Start(t), nil, (*cluster).crash) })
	t.Run("az", func(t *testing.T) {
		url := aztest.URL(aztest.Start(t), "test")
		getenv := func(name string) string { return map[string]string{"AZURE_STORAGE_KEY": aztest.Key}[name] }
		store, err := az.Open(t.Context(), url, getenv)
		if err != nil {
			t.Fatal(err)
		}
		if err := store.CreateContainer(t.Context()); err != nil {
			t.Fatal(err)
		}
		testEverythingIsIn(t, url, getenv, (*cluster).crash)
	})
}

func testEverythingIsIn(t *testing.T, bucket string, getenv func(string) string, ends ...func(*cluster)) {
	store, err := objstore.Open(t.Context(), bucket, objstore.Options{Getenv: getenv})
	if err != nil {
		t.Fatal(err)
	}
	c := newCluster(t, "bucket="+bucket, "wal=s3", "wal-s3-puts-per-second=200", "data="+t.TempDir())
	c.store = store
	first := c.start().Info().Node
	c.createTopic("kept", 3)
	for round, end := range ends {
		c.produce(c.client(), "kept", round*200, 200)
		end(c)
		c.set = append(c.set, config.Value{Name: "data", Text: t.TempDir(), From: "test"})
		if id := c.start().Info().Node; id == first || id == base.NoNode {
			t.Fatalf("a broker without a past is node %v", id)
		}
		c.wantEach(c.consume(c.client(reader("kept")...), (round+1)*200), 0, (round+1)*200)
	}
}

// The WAL has a store of its own, as with an express-class bucket: slots are there and only there, and another node, which knows the place
// from the metadata alone and keeps its own WAL in the bucket, rescues it.
func TestWALHasItsOwnBucket(t *testing.T) {
	whole, err := url.Parse(s3test.Start(t))
	if err != nil {
		t.Fatal(err)
	}
	data, express := *whole, *whole
	data.Path, express.Path = "/data", "/express/wal"
	stores := map[string]objstore.Store{}
	for _, u := range []string{data.String(), express.String()} {
		if stores[u], err = objstore.Open(t.Context(), u, objstore.Options{}); err != nil {
			t.Fatal(err)
		}
	}
	c := newCluster(t, "bucket="+data.String(), "wal="+express.String(), "wal-s3-puts-per-second=200", "upload-interval=1h", "data="+t.TempDir())
	c.store = stores[data.String()]
	first := c.start().Info()
	if !strings.HasPrefix(first.WAL, express.String()) {
		t.Fatalf("the WAL is at %s, want %s", first.WAL, express.String())
	}
	c.createTopic("kept", 3)
	c.produce(c.client(), "kept", 0, 300)
	if n := counter(t, c.node, "sluice_walstore_requests_total"); n == 0 {
		t.Error("no requests to the store of the WAL are counted")
	}
	if slots := keysOf(t, stores[express.String()], "wal/"); len(slots) == 0 {
		t.Error("no slot in the store of the WAL")
	}
	c.crash()
	if all := keysOf(t, stores[data.String()], "wal/"); len(all) > 0 {
		t.Errorf("slots in the bucket: %q", all)
	}
	if all := keysOf(t, stores[express.String()], ""); len(all) != len(keysOf(t, stores[express.String()], "wal/")) {
		t.Errorf("something else than slots in the store of the WAL: %q", all)
	}
	c.set = append(c.set, config.Value{Name: "data", Text: t.TempDir(), From: "test"}, config.Value{Name: "wal", Text: "s3", From: "test"})
	if id := c.start().Info().Node; id == first.Node {
		t.Fatalf("a broker without a past is node %v", id)
	}
	c.wantEach(c.consume(c.client(reader("kept")...), 300), 0, 300)
}
