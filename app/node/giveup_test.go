package node

import (
	"slices"
	"testing"

	"sluice/base"
	"sluice/base/config"
	"sluice/storage/wal"
)

// TestGivenUpBeforeTheWALBegan: a broker whose node epoch was fenced and rescued while it was still starting, because its bucket was slow, is fenced: it joins again under
// another epoch, as one that is given up later does, and does not end.
func TestGivenUpBeforeTheWALBegan(t *testing.T) {
	t.Parallel()
	for _, class := range []string{"file", "s3"} {
		t.Run(class, func(t *testing.T) {
			c := newCluster(t)
			if class == "s3" {
				i := slices.IndexFunc(c.set, func(v config.Value) bool { return v.Name == "wal" })
				c.set[i].Text = class
			}
			n := c.start()
			self, url, opt := n.self, n.places.wals[0], n.walOptions()
			const rescued = 3
			for i := range rescued {
				victim := wal.Victim{Node: self.ID, Epoch: self.Epoch + 1 + base.NodeEpoch(i)}
				if class == "s3" { // it has nothing that would say who it was
					victim.Node += base.NodeID(1 + i)
				}
				if _, err := wal.Seal(t.Context(), url, opt, victim, 0, "another"); err != nil {
					t.Fatal(err)
				}
			}
			c.stop()
			for i := range rescued {
				if n, err := c.open(); !base.IsKind(err, base.Fenced) {
					t.Fatalf("start %d: %v; started: %v", i, err, n != nil)
				}
			}
			if n := c.start(); n.self.Epoch != self.Epoch+1+rescued {
				t.Errorf("epoch %v after %v", n.self.Epoch, self.Epoch)
			}
		})
	}
}
