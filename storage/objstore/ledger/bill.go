package ledger

import (
	"cmp"
	"maps"
	"slices"

	"sluice/storage/objstore/driver"
)

// HoursPerMonth is how long a month is for prices: 730 hours.
const HoursPerMonth = 730

// Usage is what a bill is made of.
type Usage struct {
	Period Period            `json:"period"`
	Stores map[string]string `json:"stores"`             // URLs by name
	Stored int64             `json:"stored_bytes"`       // in the bucket
	Topics map[string]int64  `json:"topic_stored_bytes"` // record bytes of each topic in the bucket
}

// Line is a part of a bill. Parts of one bill add up to it.
type Line struct {
	Name      string  `json:"name"`
	Requests  float64 `json:"requests"` // in the period
	PerMinute float64 `json:"requests_per_minute"`
	Sent      int64   `json:"sent_bytes"`
	Received  int64   `json:"received_bytes"`
	PerGiB    float64 `json:"dollars_per_gib_ingested"` // of requests and transfer; 0 when nothing was ingested
	Month     float64 `json:"dollars_per_month"`        // of requests and transfer, if it goes on like this
	Storage   float64 `json:"storage_dollars_per_month"`

	dollars float64 // in the period
}

// Bill is what a usage costs by price tables.
type Bill struct {
	Seconds  float64           `json:"seconds"`
	Tables   map[string]string `json:"tables"` // by store
	Ingested int64             `json:"ingested_bytes"`
	Rate     float64           `json:"ingested_gib_per_month"`
	Stored   int64             `json:"stored_bytes"`
	Total    Line              `json:"total"`
	Stores   []Line            `json:"by_store"`
	Purposes []Line            `json:"by_purpose"`
	Kinds    []Line            `json:"by_kind"`
	Topics   []Line            `json:"by_topic"`
}

// MonthAll is what a month costs, storage included.
func (l *Line) MonthAll() float64 { return l.Month + l.Storage }

// Price makes a bill of a usage, with a table for each of its stores. Storage is priced at what is there now.
func Price(u Usage, tables map[string]*Table) Bill {
	b := Bill{Seconds: u.Period.Seconds, Tables: map[string]string{}, Stored: u.Stored, Total: Line{Name: "total"}}
	for name, t := range tables {
		b.Tables[name] = t.Name
	}
	for _, n := range u.Period.Ingested {
		b.Ingested += n
	}
	stores, purposes, kinds, topics := lines{}, lines{}, lines{}, lines{}
	for _, r := range u.Period.Rows {
		t := tables[r.Store]
		if t == nil {
			continue
		}
		for _, l := range []*Line{&b.Total, stores.of(r.Store), purposes.of(r.Purpose), kinds.of(r.Kind), topics.of(r.Topic)} {
			l.Requests += r.Requests
			l.Sent += r.Sent
			l.Received += r.Received
			l.dollars += t.Dollars(r)
		}
	}
	if t := tables["bucket"]; t != nil {
		b.Total.Storage = float64(u.Stored) / gib * t.Storage
		stores.of("bucket").Storage = b.Total.Storage
		for name, n := range u.Topics {
			topics.of(name).Storage = float64(n) / gib * t.Storage
		}
	}
	if b.Seconds > 0 {
		b.Rate = float64(b.Ingested) / gib / b.Seconds * HoursPerMonth * 3600
	}
	b.Stores, b.Purposes, b.Kinds, b.Topics = stores.finish(&b), purposes.finish(&b), kinds.finish(&b), topics.finish(&b)
	b.Total.finish(&b)
	return b
}

// At prices the usage as if all its stores, those aside that nobody bills, were of one table.
func At(u Usage, t *Table, tables map[string]*Table) Bill {
	all := maps.Clone(tables)
	for name, was := range all {
		if was.Name != "free" {
			all[name] = t
		}
	}
	return Price(u, all)
}

type lines map[string]*Line

func (m lines) of(name string) *Line {
	l := m[name]
	if l == nil {
		l = &Line{Name: name}
		m[name] = l
	}
	return l
}

// finish returns the lines, the dearest first.
func (m lines) finish(b *Bill) []Line {
	out := []Line{}
	for _, l := range m {
		l.finish(b)
		out = append(out, *l)
	}
	slices.SortFunc(out, func(x, y Line) int {
		return cmp.Or(cmp.Compare(y.MonthAll(), x.MonthAll()), cmp.Compare(y.Requests, x.Requests), cmp.Compare(x.Name, y.Name))
	})
	return out
}

func (l *Line) finish(b *Bill) {
	if b.Seconds > 0 {
		l.PerMinute = l.Requests / b.Seconds * 60
		l.Month = l.dollars / b.Seconds * HoursPerMonth * 3600
	}
	if b.Ingested > 0 {
		l.PerGiB = l.dollars / (float64(b.Ingested) / gib)
	}
}

// Dollars returns what the requests of a period cost with one table for all its stores.
func (p Period) Dollars(t *Table) (sum float64) {
	for _, r := range p.Rows {
		sum += t.Dollars(r)
	}
	return sum
}

// Requests returns how many requests of the given kinds were made for the given purposes; none given means all.
func (p Period) Requests(purposes []driver.Purpose, kinds ...driver.Op) (n float64) {
	for _, r := range p.Rows {
		purpose := len(purposes) == 0 || slices.ContainsFunc(purposes, func(x driver.Purpose) bool { return x.String() == r.Purpose })
		if purpose && (len(kinds) == 0 || slices.ContainsFunc(kinds, func(x driver.Op) bool { return x.String() == r.Kind })) {
			n += r.Requests
		}
	}
	return n
}
