package node

import (
	"slices"
	"strings"
	"testing"
	"time"

	"sluice/base/config"
	"sluice/cluster/meta"
	"sluice/edge/admin"
	"sluice/storage/objstore/ledger"
)

// costOf waits until the cluster's cost is as wanted, and returns it.
func costOf(t *testing.T, n *Node, what string, ok func(*admin.CostView) bool) *admin.CostView {
	t.Helper()
	deadline := time.Now().Add(30 * time.Second)
	for {
		v, err := n.cost(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if ok(v) {
			return v
		}
		if time.Now().After(deadline) {
			t.Fatalf("never: %s; it is %+v", what, v.Total)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

func rowsWhere(p ledger.Period, ok func(ledger.Row) bool) (n float64) {
	for _, r := range p.Rows {
		if ok(r) {
			n += r.Requests
		}
	}
	return n
}

// TestCostOfACluster: every broker can tell what all have asked for, each request says what for, and topics pay for what they wrote and read, also when
// a broker was lost and others have read its WAL.
func TestCostOfACluster(t *testing.T) {
	t.Parallel()
	c := newCluster(t, clusterSettings(t, "s3")...)
	a := c.start()
	b := c.another()
	c.createTopic("orders", 4)
	cl := c.client()
	c.produce(cl, "orders", 0, 500)
	v := costOf(t, a, "all is uploaded", func(v *admin.CostView) bool { return v.Total.Period.Ingested["orders"] > 500*10 })
	wal := func(r ledger.Row) bool { return r.Topic == "orders" && r.Purpose == "wal" && r.Kind == "put" }
	upload := func(r ledger.Row) bool { return r.Topic == "orders" && r.Purpose == "upload" && r.Kind == "put" }
	if rowsWhere(v.Total.Period, wal) <= 0 || rowsWhere(v.Total.Period, upload) <= 0 {
		t.Errorf("the topic does not pay for its WAL and its uploads: %+v", v.Total.Period.Rows)
	}
	if len(v.Nodes) != 2 || v.Nodes[0].Error+v.Nodes[1].Error != "" || v.Total.Stored <= 0 {
		t.Errorf("%+v", v.Nodes)
	}
	one := a.ledger.Report().Total
	if all := v.Total.Period; rowsWhere(all, func(ledger.Row) bool { return true }) <= rowsWhere(one, func(ledger.Row) bool { return true }) {
		t.Error("the other broker's requests are not in the sum")
	}
	crash(b)
	until(t, a, "all partitions served by the one that is left", func(img *meta.Image) bool {
		topic, _ := img.TopicByName("orders")
		for p := range img.PartitionsOf(topic.ID) {
			if p.Leader != a.self.ID || p.State != meta.Serving {
				return false
			}
		}
		return img.RescueCount() == 0
	})
	c.stop()
	a = c.start() // with empty caches
	c.wantEach(c.consume(c.client(reader("orders")...), 500), 0, 500)
	v = costOf(t, a, "the reads are counted", func(v *admin.CostView) bool {
		return rowsWhere(v.Total.Period, func(r ledger.Row) bool { return r.Topic == "orders" && strings.HasPrefix(r.Purpose, "read") }) > 0
	})
	for _, p := range []ledger.Period{v.Total.Period, b.ledger.Report().Total} {
		if n := rowsWhere(p, func(r ledger.Row) bool { return r.Purpose == "other" }); n > 0 {
			t.Errorf("%v requests of which nobody said what for: %+v", n, p.Rows)
		}
	}
}

func TestCostSettings(t *testing.T) {
	c := newCluster(t)
	for _, bad := range []config.Value{{Name: "cost-prices", Text: "/nowhere/prices.json"}, {Name: "cost-table", Text: "bazaar"}} {
		was := c.set
		c.set = append(slices.Clone(c.set), bad)
		if n, err := c.open(); err == nil || !strings.Contains(err.Error(), "setting "+bad.Name) {
			t.Errorf("%s = %s: %v, %v", bad.Name, bad.Text, n, err)
		}
		c.set = was
	}
	c.set = append(c.set, config.Value{Name: "cost-table", Text: "cloudflare-r2"})
	if v, err := c.start().cost(t.Context()); err != nil || v.Bill.Tables["bucket"] != "cloudflare-r2" {
		t.Errorf("%v, %v", v, err)
	}
}
