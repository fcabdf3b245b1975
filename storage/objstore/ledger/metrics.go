package ledger

import "github.com/prometheus/client_golang/prometheus"

// Topics are left out of the metrics: `sluice cost` has them.
var (
	requestsDesc = prometheus.NewDesc("sluice_store_requests_total",
		"Requests as the store bills them, each attempt and each part counted, by store, kind and purpose.", []string{"store", "kind", "purpose"}, nil)
	bytesDesc = prometheus.NewDesc("sluice_store_bytes_total",
		"Bytes carried by those requests, by direction.", []string{"store", "purpose", "direction"}, nil)
	dollarsDesc = prometheus.NewDesc("sluice_store_dollars_total",
		"What those requests cost by the price table of the store, transfer included, storage not.", []string{"store", "purpose"}, nil)
)

type collector struct{ *Ledger }

func (c collector) Describe(out chan<- *prometheus.Desc) {
	out <- requestsDesc
	out <- bytesDesc
	out <- dollarsDesc
}

func (c collector) Collect(out chan<- prometheus.Metric) {
	r := c.Report()
	type key struct{ store, purpose string }
	kinds, sent, received, dollars := map[[3]string]float64{}, map[key]float64{}, map[key]float64{}, map[key]float64{}
	tables := c.opt.Prices.For(r.Stores)
	for _, row := range r.Total.Rows {
		k := key{row.Store, row.Purpose}
		kinds[[3]string{row.Store, row.Kind, row.Purpose}] += row.Requests
		sent[k] += float64(row.Sent)
		received[k] += float64(row.Received)
		dollars[k] += tables[row.Store].Dollars(row)
	}
	counter := func(d *prometheus.Desc, v float64, labels ...string) {
		out <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, v, labels...)
	}
	for k, n := range kinds {
		counter(requestsDesc, n, k[:]...)
	}
	for k := range dollars {
		counter(bytesDesc, sent[k], k.store, k.purpose, "sent")
		counter(bytesDesc, received[k], k.store, k.purpose, "received")
		counter(dollarsDesc, dollars[k], k.store, k.purpose)
	}
}
