package metalog

import (
	"slices"
	"testing"

	"sluice/base"
	"sluice/cluster/meta"
	"sluice/storage/objstore/mem"
	"sluice/storage/slotlog"
)

// A cluster has a secret from its first record on, another one than every other cluster, and keeps it.
func TestSecret(t *testing.T) {
	store := mem.New()
	a := open(t, store, Options{Who: "a"})
	secret := a.img.Secret()
	if secret == [32]byte{} {
		t.Fatal("the secret is zero")
	}
	if other := open(t, mem.New(), Options{}).img.Secret(); other == secret {
		t.Fatal("two clusters have one secret")
	}
	if b := open(t, store, Options{Who: "b"}); b.img.Secret() != secret {
		t.Fatal("a take-over changed the secret")
	}
	if read(t, store).Image().Secret() != secret {
		t.Fatal("a reader finds another secret")
	}
}

// A cluster that was created before there were secrets is given one by the next take-over.
func TestSecretOfAnOldCluster(t *testing.T) {
	store := mem.New()
	id := base.NewUUID()
	// Slot 0 as version 1 wrote it: clusterCreated at time 0, controllerChanged to epoch 0 by nobody.
	body := slices.Concat(slotHead{starts: true}.append(nil), []byte{1, 1, 17}, id[:], []byte{0}, []byte{2, 1, 2, 0, 0})
	log := slotlog.Log{Store: store, Cluster: id, Name: "meta"}
	w := log.NewWriter(0, 0, slotlog.WriterOptions{InFlight: 1})
	done := make(chan error, 1)
	w.Append([][]byte{body}, 2, func(_ uint64, err error) { done <- err })
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	w.Close()
	if img := read(t, store).Image(); img.Secret() != [32]byte{} || img.ClusterID() != id {
		t.Fatalf("cluster %s has a secret already", img.ClusterID())
	}
	secret := open(t, store, Options{}).img.Secret()
	if secret == [32]byte{} || read(t, store).Image().Secret() != secret {
		t.Fatal("no secret was drawn")
	}
	if open(t, store, Options{}).img.Secret() != secret {
		t.Fatal("it was drawn again")
	}
}

// A controller whose process is a node already is named with its take-over.
func TestControllerIsNamed(t *testing.T) {
	store := mem.New()
	a := open(t, store, Options{Who: "a"})
	node := a.mustSubmit(t, &meta.Register{Incarnation: base.UUID{1}, Reclaim: base.NoNode}).(*meta.Registered).Node
	if c := a.img.Controller(); c.Node != base.NoNode {
		t.Fatalf("%+v", c)
	}
	if c := open(t, store, Options{Who: "b", Node: node.ID}).img.Controller(); c.Node != node.ID {
		t.Fatalf("%+v, want node %d", c, node.ID)
	}
	if c := open(t, store, Options{Who: "c"}).img.Controller(); c.Node != base.NoNode {
		t.Fatalf("%+v", c)
	}
}
