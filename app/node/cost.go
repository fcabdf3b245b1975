package node

import (
	"context"
	"encoding/json"
	"os"

	"sluice/base"
	"sluice/cluster/meta"
	"sluice/edge/admin"
	"sluice/storage/objstore/ledger"
)

// openLedger starts to count requests, by the price tables of the settings.
func (n *Node) openLedger() error {
	prices := ledger.DefaultPrices()
	if name := n.opt.Config.CostPrices; name != "" {
		b, err := os.ReadFile(name)
		if err != nil {
			return base.Errorf(base.Invalid, "setting cost-prices = %q: %w", name, err)
		}
		own, err := ledger.ParsePrices(b)
		if err != nil {
			return base.Errorf(base.Invalid, "setting cost-prices = %q: %w", name, err)
		}
		prices = prices.With(own)
	}
	if table := n.opt.Config.CostTable; table != "" {
		if prices.Table(table) == nil {
			return base.Errorf(base.Invalid, "setting cost-table = %q: there is no such table; there are %v", table, prices.Names())
		}
		prices.Bucket = table
	}
	n.prices = prices
	n.ledger = ledger.New(ledger.Options{TopicOf: n.topicOf, Prices: prices, Registerer: n.opt.Registry})
	return nil
}

// Ledger is where this broker counts what it asks its stores for.
func (n *Node) Ledger() *ledger.Ledger { return n.ledger }

// topicOf returns the name of the topic that a stream belongs to, empty if this node does not know it. Only requests that serve streams ask, and there
// are none before the node is a member.
func (n *Node) topicOf(id base.StreamID) string {
	img := n.member.Image()
	s, ok := img.Stream(id)
	if !ok {
		return ""
	}
	t, _ := img.TopicByID(s.Topic)
	return t.Name
}

// ledgerBody is what other nodes are told.
func (n *Node) ledgerBody() []byte {
	b, err := json.Marshal(n.ledger.Report())
	if err != nil {
		panic("BUG: node: " + err.Error())
	}
	return b
}

// cost sums up what all live nodes have counted, and prices it.
func (n *Node) cost(ctx context.Context) (*admin.CostView, error) {
	v := &admin.CostView{AnsweredBy: n.self.ID, Nodes: []admin.NodeCostView{}, Prices: n.prices.Tables}
	stores := map[string]string{}
	var recent, total []ledger.Period
	for _, l := range n.member.Ledgers(ctx) {
		var r ledger.Report
		err := l.Err
		if err == nil {
			err = json.Unmarshal(l.Body, &r)
		}
		node := admin.NodeCostView{ID: l.Node.ID, Name: l.Name}
		if err != nil {
			node.Error = err.Error()
		} else {
			node.Bill = ledger.Price(ledger.Usage{Period: r.Recent, Stores: r.Stores}, n.prices.For(r.Stores))
			for name, url := range r.Stores {
				if _, known := stores[name]; !known || l.Node.ID == n.self.ID {
					stores[name] = url
				}
			}
			recent, total = append(recent, r.Recent), append(total, r.Total)
		}
		v.Nodes = append(v.Nodes, node)
	}
	stored, topics := storedIn(n.member.Image())
	v.Recent = ledger.Usage{Period: ledger.Merge(recent...), Stores: stores, Stored: stored, Topics: topics}
	v.Total = ledger.Usage{Period: ledger.Merge(total...), Stores: stores, Stored: stored, Topics: topics}
	tables := n.prices.For(stores)
	v.Bill, v.TotalBill = ledger.Price(v.Recent, tables), ledger.Price(v.Total, tables)
	return v, nil
}

// storedIn returns how many bytes of objects are in the bucket, those to be deleted included, and how many record bytes of them each topic has.
func storedIn(img *meta.Image) (all int64, topics map[string]int64) {
	for o := range img.Objects() {
		all += o.Size
	}
	topics = map[string]int64{}
	for t := range img.Topics() {
		for p := range img.PartitionsOf(t.ID) {
			for _, id := range []base.StreamID{p.Data, p.Meta} {
				if s, ok := img.Stream(id); ok {
					topics[t.Name] += s.Bytes
				}
			}
		}
	}
	return all, topics
}
