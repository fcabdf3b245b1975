package mem_test

import (
	"testing"

	"sluice/storage/objstore/conform"
	"sluice/storage/objstore/driver"
	"sluice/storage/objstore/mem"
)

func TestConform(t *testing.T) {
	conform.RunWith(t, conform.Options{Many: 5000}, func(*testing.T) driver.Store { return mem.New() })
}

func TestNamedIsShared(t *testing.T) {
	a, b := mem.Named("x"), mem.Named("x")
	if a != b || a == mem.Named("y") {
		t.Fatal("a name is one store")
	}
	if err := a.Put(t.Context(), "k", [][]byte{[]byte("abc")}, driver.PutOptions{}); err != nil {
		t.Fatal(err)
	}
	if a.Bytes() != 3 || a.Len() != 1 {
		t.Fatalf("%d bytes in %d objects", a.Bytes(), a.Len())
	}
}
