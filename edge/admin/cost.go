package admin

import (
	"net/http"

	"sluice/base"
	"sluice/storage/objstore/ledger"
)

// CostView is what GET /v1/cost answers: what all live brokers have asked the stores for, and what that costs by the price tables of the broker
// that answers. Bytes are bytes, money US dollars.
type CostView struct {
	AnsweredBy base.NodeID     `json:"answered_by"`
	Nodes      []NodeCostView  `json:"nodes"`
	Recent     ledger.Usage    `json:"recent"`       // of all nodes, the last ten minutes
	Total      ledger.Usage    `json:"total"`        // of all nodes, since each started
	Bill       ledger.Bill     `json:"bill"`         // for Recent
	TotalBill  ledger.Bill     `json:"total_bill"`   // for Total
	Prices     []*ledger.Table `json:"price_tables"` // those that this broker knows
}

// NodeCostView is what one broker has counted.
type NodeCostView struct {
	ID    base.NodeID `json:"id"`
	Name  string      `json:"name"`
	Error string      `json:"error,omitempty"` // why it is missing in the sums; empty if it is not
	Bill  ledger.Bill `json:"bill"`            // of the last ten minutes, without storage
}

func getCost(c *Cluster, r *http.Request) (any, error) {
	if c.Cost == nil {
		return nil, base.Errorf(base.Unavailable, "this broker does not count its requests")
	}
	return c.Cost(r.Context())
}
