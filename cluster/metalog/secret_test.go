package metalog

import (
	"testing"

	"sluice/base"
	"sluice/cluster/meta"
	"sluice/storage/objstore/mem"
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
