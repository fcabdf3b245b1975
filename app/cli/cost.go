package cli

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"

	"sluice/base"
	"sluice/edge/admin"
	"sluice/storage/objstore/ledger"
)

type costCmd struct {
	adminFlags
	Start       bool   `name:"since-start" help:"Of all that was counted since the brokers started, instead of the last ten minutes."`
	Prices      string `placeholder:"FILE" help:"Also the price tables in this JSON file; one with the name of another replaces it."`
	Table       string `placeholder:"NAME" help:"Price the bucket, and what lies in it, by this table."`
	Top         int    `default:"10" help:"Show so many topics (default: 10)."`
	PrintPrices bool   `name:"print-prices" help:"Print the price tables as JSON, a form for a file of one's own, and ask nobody."`
}

// CostAnswer is what sluice cost --json prints.
type CostAnswer struct {
	Usage     ledger.Usage         `json:"usage"`
	Bill      ledger.Bill          `json:"bill"`
	Elsewhere []Elsewhere          `json:"elsewhere"` // the same usage by other tables
	Nodes     []admin.NodeCostView `json:"nodes"`
}

// Elsewhere is what a usage would cost by one table.
type Elsewhere struct {
	Table    string  `json:"table"`
	Title    string  `json:"title"`
	PerGiB   float64 `json:"dollars_per_gib_ingested"`
	Requests float64 `json:"dollars_per_month"`
	Storage  float64 `json:"storage_dollars_per_month"`
	Source   string  `json:"source"`
	Date     string  `json:"date"`
}

func (c *costCmd) Run(ctx context.Context, p *Process) error {
	if c.Top < 0 {
		return base.Errorf(base.Invalid, "--top %d: want 0 or more", c.Top)
	}
	own, err := c.ownPrices()
	if err != nil {
		return err
	}
	if c.PrintPrices {
		return c.print(p, ledger.DefaultPrices().With(own))
	}
	v := new(admin.CostView)
	if err := c.call(ctx, http.MethodGet, "/v1/cost", nil, v); err != nil {
		return err
	}
	prices := (&ledger.Prices{Tables: v.Prices}).With(own)
	a, err := c.answer(v, prices)
	if err != nil {
		return err
	}
	if c.JSON {
		return c.print(p, a)
	}
	return c.show(p, a)
}

func (c *costCmd) ownPrices() (*ledger.Prices, error) {
	if c.Prices == "" {
		return &ledger.Prices{}, nil
	}
	b, err := os.ReadFile(c.Prices)
	if err != nil {
		return nil, base.Errorf(base.Invalid, "--prices: %w", err)
	}
	own, err := ledger.ParsePrices(b)
	if err != nil {
		return nil, base.Errorf(base.Invalid, "--prices %s: %w", c.Prices, err)
	}
	return own, nil
}

// answer prices what the brokers have counted.
func (c *costCmd) answer(v *admin.CostView, prices *ledger.Prices) (*CostAnswer, error) {
	a := &CostAnswer{Usage: v.Recent, Bill: v.Bill, Nodes: v.Nodes, Elsewhere: []Elsewhere{}}
	if c.Start {
		a.Usage, a.Bill = v.Total, v.TotalBill
	}
	tables := map[string]*ledger.Table{}
	for store, name := range a.Bill.Tables {
		if tables[store] = prices.Table(name); tables[store] == nil {
			tables[store] = &ledger.Table{Name: name}
		}
	}
	if c.Table != "" {
		t := prices.Table(c.Table)
		if t == nil {
			return nil, base.Errorf(base.Invalid, "--table %s: there is no such table; there are %s", c.Table, strings.Join(prices.Names(), ", "))
		}
		tables["bucket"] = t
	}
	if c.Table != "" || c.Prices != "" {
		a.Bill = ledger.Price(a.Usage, tables)
	}
	for _, t := range prices.Tables {
		b := ledger.At(a.Usage, t, tables)
		a.Elsewhere = append(a.Elsewhere, Elsewhere{t.Name, t.Title, b.Total.PerGiB, b.Total.Month, b.Total.Storage, t.Source, t.Date})
	}
	return a, nil
}

// steady is from how many seconds on a rate says something about a month.
const steady = 120

func (c *costCmd) show(p *Process, a *CostAnswer) error {
	b := &a.Bill
	missing := 0
	for _, n := range a.Nodes {
		if n.Error != "" {
			missing++
			fmt.Fprintf(p.Stderr, "node %d (%s) is missing in all sums: %s\n", n.ID, orDash(n.Name), n.Error)
		}
	}
	out := p.Stdout
	fmt.Fprintf(out, "%s of requests by %s", period(b.Seconds), count(len(a.Nodes)-missing, "broker"))
	for _, store := range b.Stores {
		fmt.Fprintf(out, "; %s %s at %s prices", store.Name, a.Usage.Stores[store.Name], b.Tables[store.Name])
	}
	fmt.Fprintf(out, ".\n\n")
	if b.Seconds < steady {
		fmt.Fprintf(out, "That is too short to tell a month: starts are in it, which cost more than the same time later. Ask again after some minutes.\n\n")
	}
	fmt.Fprintf(out, "Ingested       %s, %s a month at this rate\n", size(float64(b.Ingested)), size(b.Rate*(1<<30)))
	fmt.Fprintf(out, "Requests       %.1f a minute\n", b.Total.PerMinute)
	if b.Ingested > 0 {
		fmt.Fprintf(out, "Per GiB        %s for requests and transfer\n", dollars(b.Total.PerGiB))
	}
	fmt.Fprintf(out, "Per month      %s for requests and transfer, %s for the %s that are stored now\n\n", dollars(b.Total.Month), dollars(b.Total.Storage), size(float64(b.Stored)))
	for _, part := range []struct {
		title string
		lines []ledger.Line
	}{{"PURPOSE", b.Purposes}, {"KIND", b.Kinds}, {"STORE", b.Stores}, {"TOPIC", b.Topics}} {
		if err := c.lines(out, part.title, part.lines, b); err != nil {
			return err
		}
	}
	if err := c.brokers(out, a.Nodes); err != nil {
		return err
	}
	fmt.Fprintln(out, "The same elsewhere, with list prices:")
	return table(out, "TABLE $/GIB $/MONTH STORAGE$/MONTH AS_OF", func(row func(...any)) {
		for _, e := range a.Elsewhere {
			row(e.Table, perGiB(e.PerGiB, b), dollars(e.Requests), dollars(e.Storage), e.Date)
		}
	})
}

// lines prints one way of dividing the bill.
func (c *costCmd) lines(out io.Writer, title string, lines []ledger.Line, b *ledger.Bill) error {
	if len(lines) == 0 {
		return nil
	}
	more := 0
	if title == "TOPIC" && len(lines) > c.Top {
		more, lines = len(lines)-c.Top, lines[:c.Top]
	}
	err := table(out, title+" REQUESTS/MIN SENT RECEIVED $/GIB $/MONTH SHARE STORAGE$/MONTH", func(row func(...any)) {
		for _, l := range lines {
			name, share, storage := l.Name, "-", "-"
			if name == "" {
				name = "(no topic)"
			}
			if b.Total.Month > 0 {
				share = fmt.Sprintf("%.1f%%", 100*l.Month/b.Total.Month)
			}
			if l.Storage > 0 {
				storage = dollars(l.Storage)
			}
			row(name, fmt.Sprintf("%.1f", l.PerMinute), size(float64(l.Sent)), size(float64(l.Received)), perGiB(l.PerGiB, b), dollars(l.Month), share, storage)
		}
	})
	if more > 0 {
		fmt.Fprintf(out, "… and %s; --top %d shows all\n", count(more, "topic"), more+len(lines))
	}
	fmt.Fprintln(out)
	return err
}

func (c *costCmd) brokers(out io.Writer, nodes []admin.NodeCostView) error {
	if len(nodes) < 2 {
		return nil
	}
	err := table(out, "NODE NAME INGESTED REQUESTS/MIN $/GIB $/MONTH", func(row func(...any)) {
		for _, n := range nodes {
			if n.Error == "" {
				row(n.ID, orDash(n.Name), size(float64(n.Bill.Ingested)), fmt.Sprintf("%.1f", n.Bill.Total.PerMinute), perGiB(n.Bill.Total.PerGiB, &n.Bill), dollars(n.Bill.Total.Month))
			}
		}
	})
	fmt.Fprintln(out, "(the last ten minutes)")
	fmt.Fprintln(out)
	return err
}

func perGiB(v float64, b *ledger.Bill) string {
	if b.Ingested == 0 {
		return "-"
	}
	return dollars(v)
}

// dollars shows money with as many digits as say something.
func dollars(v float64) string {
	switch {
	case v == 0:
		return "$0"
	case v < 0.1:
		return fmt.Sprintf("$%.6f", v)
	}
	return fmt.Sprintf("$%.2f", v)
}

// size shows bytes.
func size(n float64) string {
	units := []string{"B", "KiB", "MiB", "GiB", "TiB", "PiB"}
	i := 0
	for n >= 1024 && i < len(units)-1 {
		n, i = n/1024, i+1
	}
	if i == 0 {
		return fmt.Sprintf("%.0f B", n)
	}
	return fmt.Sprintf("%.1f %s", n, units[i])
}

func period(seconds float64) string {
	if seconds < 90 {
		return fmt.Sprintf("%.0f s", seconds)
	}
	return fmt.Sprintf("%.1f min", seconds/60)
}
