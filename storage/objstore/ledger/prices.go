package ledger

import (
	"bytes"
	_ "embed"
	"encoding/json"
	"maps"
	"net/url"
	"slices"
	"strings"

	"sluice/base"
	"sluice/storage/objstore/driver"
)

//go:embed prices.json
var pricesFile []byte

// Table is what one provider charges for one storage class, in US dollars, list prices without free tiers and discounts.
type Table struct {
	Name  string `json:"name"`
	Title string `json:"title"`
	// PerMillion is the price of a million requests by kind, as [driver.Op] names them. All kinds must be there.
	PerMillion map[string]float64 `json:"dollars_per_million_requests"`
	Storage    float64            `json:"dollars_per_gib_month"`              // of what is stored
	Sent       float64            `json:"dollars_per_gib_sent,omitempty"`     // to the store
	Received   float64            `json:"dollars_per_gib_received,omitempty"` // from it, within the region
	Source     string             `json:"source"`                             // where the prices were read
	Date       string             `json:"date"`                               // when: YYYY-MM
	Note       string             `json:"note,omitempty"`
}

// Prices are the tables that are known.
type Prices struct {
	Tables []*Table `json:"tables"`
	Bucket string   `json:"-"` // the table of the bucket, and of what lies in it; empty: by its URL
}

const (
	gib      = 1 << 30
	fallback = "aws-s3-standard" // what stores are priced by that nobody bills
)

// Dollars is what the requests of a row cost, with the transfer of their bytes.
func (t *Table) Dollars(r Row) float64 {
	return r.Requests*t.PerMillion[r.Kind]/1e6 + float64(r.Sent)*t.Sent/gib + float64(r.Received)*t.Received/gib
}

// DefaultPrices returns the tables that Sluice comes with.
func DefaultPrices() *Prices {
	p, err := ParsePrices(pricesFile)
	if err != nil {
		panic("BUG: ledger: prices.json: " + err.Error())
	}
	return p
}

// ParsePrices reads tables. Errors are Invalid and say which table lacks what.
func ParsePrices(b []byte) (*Prices, error) {
	p := new(Prices)
	dec := json.NewDecoder(bytes.NewReader(b))
	dec.DisallowUnknownFields()
	if err := dec.Decode(p); err != nil {
		return nil, base.Errorf(base.Invalid, "price tables: %v; want {\"tables\": [{\"name\": …}]} as `sluice cost --print-prices` shows", err)
	}
	seen := map[string]bool{}
	for _, t := range p.Tables {
		if t == nil || t.Name == "" || seen[t.Name] {
			return nil, base.Errorf(base.Invalid, "price tables: a table has no name, or one that is taken")
		}
		seen[t.Name] = true
		if err := t.check(); err != nil {
			return nil, err
		}
	}
	return p, nil
}

func (t *Table) check() error {
	for op := range driver.OpEnd {
		if v, ok := t.PerMillion[op.String()]; !ok || v < 0 {
			return base.Errorf(base.Invalid, "price table %q: dollars_per_million_requests needs a price of 0 or more for %q", t.Name, op)
		}
	}
	for _, kind := range slices.Sorted(maps.Keys(t.PerMillion)) {
		if _, ok := driver.ParseOp(kind); !ok {
			return base.Errorf(base.Invalid, "price table %q: %q is no kind of request", t.Name, kind)
		}
	}
	if t.Storage < 0 || t.Sent < 0 || t.Received < 0 {
		return base.Errorf(base.Invalid, "price table %q: a price is negative", t.Name)
	}
	if t.Source == "" || t.Date == "" {
		return base.Errorf(base.Invalid, "price table %q: say where the prices come from (source) and when they were read (date)", t.Name)
	}
	return nil
}

// With returns the tables with those of o added; one of the same name replaces the one that was there.
func (p *Prices) With(o *Prices) *Prices {
	out := &Prices{Tables: slices.Clone(p.Tables), Bucket: p.Bucket}
	for _, t := range o.Tables {
		if i := slices.IndexFunc(out.Tables, func(x *Table) bool { return x.Name == t.Name }); i >= 0 {
			out.Tables[i] = t
		} else {
			out.Tables = append(out.Tables, t)
		}
	}
	return out
}

// Table returns the table of that name; nil if there is none.
func (p *Prices) Table(name string) *Table {
	for _, t := range p.Tables {
		if t.Name == name {
			return t
		}
	}
	return nil
}

// Names lists the tables.
func (p *Prices) Names() (names []string) {
	for _, t := range p.Tables {
		names = append(names, t.Name)
	}
	return names
}

// For returns the table of each store by its URL. What nobody bills (a directory, memory, a store of one's own) is priced as S3 would
// be, which is what the numbers are for there.
func (p *Prices) For(stores map[string]string) map[string]*Table {
	out := make(map[string]*Table, len(stores))
	for name, u := range stores {
		t := p.Table(tableOf(u))
		if name == "bucket" && p.Bucket != "" {
			t = p.Table(p.Bucket)
		}
		if t == nil {
			t = p.Table(fallback)
		}
		if t == nil {
			t = &Table{Name: "none", Title: "no prices"}
		}
		out[name] = t
	}
	return out
}

// tableOf guesses the table of a store from its URL.
func tableOf(raw string) string {
	u, err := url.Parse(raw)
	if err != nil {
		return fallback
	}
	at := u.Query().Get("endpoint")
	switch {
	case u.Scheme == "gs" || strings.Contains(at, "storage.googleapis.com"):
		return "gcs-standard"
	case u.Scheme == "azure" || u.Scheme == "az":
		return "azure-blob-hot"
	case strings.Contains(at, ".r2.cloudflarestorage.com"):
		return "cloudflare-r2"
	case u.Scheme == "s3" && strings.HasSuffix(u.Host, "--x-s3"):
		return "aws-s3-express"
	case u.Scheme == "etcd":
		return "free"
	}
	return fallback
}
