//go:build unix

package etcd_test

import (
	"fmt"
	"sync/atomic"
	"testing"

	"sluice/storage/objstore"
	"sluice/storage/objstore/conform"
	"sluice/storage/objstore/driver"
	"sluice/storage/objstore/etcd"
	"sluice/storage/objstore/retry"
	"sluice/test/etcdtest"
)

// opener returns a function that opens one empty prefix after the other.
func opener(servers ...*etcdtest.Server) func(t *testing.T) driver.Store {
	var n atomic.Int32
	return func(t *testing.T) driver.Store {
		t.Helper()
		s, err := etcd.Open(etcdtest.URL(fmt.Sprintf("conform-%d", n.Add(1)), servers...))
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
}

func TestConform(t *testing.T) {
	conform.RunWith(t, conform.Options{BigBytes: 12 << 20}, opener(etcdtest.Start(t)))
}

// The retry store in front is what the metadata log uses.
func TestProbe(t *testing.T) {
	if err := objstore.Probe(t.Context(), retry.New(opener(etcdtest.Start(t))(t), retry.Options{})); err != nil {
		t.Fatal(err)
	}
}
