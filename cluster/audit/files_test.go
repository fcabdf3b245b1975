package audit_test

import (
	"fmt"
	"testing"

	"sluice/base"
	"sluice/base/slab"
	"sluice/cluster/audit"
	"sluice/cluster/control"
	"sluice/cluster/meta"
	"sluice/storage/wal"
	"sluice/storage/wal/disk/memdisk"
)

// TestFilesAreTheCallers: logs in files are read from the file system that is given, as the simulation gives its own.
func TestFilesAreTheCallers(t *testing.T) {
	w := filled(t, control.Options{})
	const url = "file:///wal?shared=true&segment=1MiB&capacity=4MiB"
	ref := w.do(&meta.Register{Incarnation: base.NewUUID(), Reclaim: base.NoNode, Name: "files", WAL: url}).(*meta.Registered).Node
	d := memdisk.New()
	opt := wal.Options{Cluster: w.cluster(), Node: ref.ID, Epoch: ref.Epoch, FS: d, Pool: new(slab.Pool)}
	writeFiles(t, url, opt, 3)
	before := w.verify(audit.Options{}).Slots
	r := w.verify(audit.Options{Files: d})
	if got := kinds(t, r); got != "" || r.Slots != before+3 {
		t.Errorf("%q, %d slots and blocks, %d without the files", got, r.Slots, before)
	}
	d.Corrupt(fmt.Sprintf("/wal/%d-%d/00000000.seg", ref.ID, ref.Epoch), 8192+8192+300)
	if got := kinds(t, w.verify(audit.Options{Files: d})); got != "damaged slot (error)" {
		t.Errorf("with a damaged block: %q", got)
	}
}
