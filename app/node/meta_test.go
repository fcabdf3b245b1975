package node

import (
	"strings"
	"testing"

	"sluice/base"
	"sluice/base/config"
	"sluice/storage/objstore"
)

// keysOf lists a store below a prefix.
func keysOf(t *testing.T, store objstore.Store, prefix string) (keys []string) {
	t.Helper()
	for info, err := range store.List(t.Context(), prefix, "") {
		if err != nil {
			t.Fatal(err)
		}
		keys = append(keys, info.Key)
	}
	return keys
}

// The metadata log has a directory of its own: its slots are there and only there, and what is written survives every kind of end.
func TestMetadataHasItsOwnPlace(t *testing.T) {
	dir := "file://" + t.TempDir()
	testMetaPlace(t, dir)
	slots, err := objstore.Open(t.Context(), dir, objstore.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if keys := keysOf(t, slots, "objects/"); len(keys) > 0 {
		t.Errorf("data in the place of the metadata log: %q", keys)
	}
}

// counter returns the sum of a counter of a broker over all labels.
func counter(t *testing.T, n *Node, name string) (sum float64) {
	t.Helper()
	families, err := n.opt.Registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			if f.GetName() == name {
				sum += m.GetCounter().GetValue()
			}
		}
	}
	return sum
}

// testMetaPlace runs a cluster through its ends with the metadata log in the place that url names.
func testMetaPlace(t *testing.T, url string) {
	c := newCluster(t, "meta="+url, "data="+t.TempDir())
	if info := c.start().Info(); info.Meta != url || info.Bucket == info.Meta {
		t.Fatalf("%+v", info)
	}
	c.createTopic("kept", 3)
	if n := counter(t, c.node, "sluice_metastore_requests_total"); n == 0 {
		t.Error("no requests to the place of the metadata log are counted")
	}
	for round, end := range []func(){c.crash, c.stop, c.crash} {
		c.produce(c.client(), "kept", round*200, 200)
		end()
		c.start()
		c.wantEach(c.consume(c.client(reader("kept")...), (round+1)*200), 0, (round+1)*200)
	}
	for _, key := range keysOf(t, c.store, "meta/") {
		if strings.HasPrefix(key, "meta/0") {
			t.Errorf("slot %s is in the bucket", key)
		}
	}
	slots, err := objstore.Open(t.Context(), url, objstore.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if keys := keysOf(t, slots, "meta/0"); len(keys) < 5 {
		t.Errorf("only %q in %s", keys, slots)
	}
}

// Whoever gives another place for the metadata than the one the cluster was created with gets an error and no second cluster.
func TestTheMetadataPlaceMustNotChange(t *testing.T) {
	for name, c := range map[string]struct{ created, later string }{
		"from the bucket": {"", "file://" + t.TempDir()},
		"to the bucket":   {"file://" + t.TempDir(), ""},
		"elsewhere":       {"file://" + t.TempDir(), "file://" + t.TempDir()},
	} {
		t.Run(name, func(t *testing.T) {
			cl := newCluster(t, "meta="+c.created)
			cl.start()
			cl.stop()
			cl.set = append(cl.set, config.Value{Name: "meta", Text: c.later, From: "test"}, config.Value{Name: "data", Text: t.TempDir(), From: "test"})
			n, err := cl.open()
			if err == nil {
				cl.node = n
			}
			if !base.IsKind(err, base.Invalid) || !strings.Contains(err.Error(), "meta") {
				t.Fatalf("got %v", err)
			}
		})
	}
}
