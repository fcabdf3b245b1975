package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"sluice/edge/admin"
	"sluice/storage/objstore/ledger"
)

// testCost is a cluster of which one broker does not answer. In ten minutes 2 GiB came in.
func testCost(context.Context) (*admin.CostView, error) {
	u := ledger.Usage{
		Stores: map[string]string{"bucket": "s3://b"}, Stored: 100 << 30, Topics: map[string]int64{"orders": 60 << 30, "clicks": 30 << 30},
		Period: ledger.Period{Seconds: 600, Ingested: map[string]int64{"orders": 1 << 30, "clicks": 1 << 30}, Rows: []ledger.Row{
			{Store: "bucket", Topic: "orders", Purpose: "wal", Kind: "put", Requests: 150.5, Sent: 1 << 30},
			{Store: "bucket", Topic: "clicks", Purpose: "wal", Kind: "put", Requests: 49.5, Sent: 1 << 30},
			{Store: "bucket", Topic: "clicks", Purpose: "read", Kind: "get", Requests: 1000, Received: 4 << 30},
			{Store: "bucket", Purpose: "metadata", Kind: "get", Requests: 300},
		}},
	}
	p := ledger.DefaultPrices()
	b := ledger.Price(u, p.For(u.Stores))
	total := u
	total.Period.Seconds = 6000
	return &admin.CostView{Recent: u, Bill: b, Total: total, TotalBill: ledger.Price(total, p.For(u.Stores)), Prices: p.Tables,
		Nodes: []admin.NodeCostView{{ID: 1, Name: "a", Bill: b}, {ID: 2, Name: "b", Error: "it sleeps"}}}, nil
}

// TestCostOfAMoment: what a broker asked for in its first seconds is no measure of a month, and that is said.
func TestCostOfAMoment(t *testing.T) {
	for seconds, warns := range map[float64]bool{5: true, steady: false} {
		v, err := testCost(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		v.Bill.Seconds = seconds
		var out, errs bytes.Buffer
		a := &CostAnswer{Bill: v.Bill, Usage: v.Recent, Nodes: v.Nodes}
		if err := new(costCmd).show(&Process{Stdout: &out, Stderr: &errs}, a); err != nil {
			t.Fatal(err)
		}
		if strings.Contains(out.String(), "too short") != warns {
			t.Errorf("after %v s:\n%s", seconds, out.String())
		}
	}
}

func TestCost(t *testing.T) {
	adminServer(t, false)
	// 200 puts at $5 and 1,300 gets at $0.4 a million are $0.00152 in ten minutes for 2 GiB, $6.66 in 730 hours.
	says(t, "cost", exitOK, "node 2 (b) is missing in all sums: it sleeps", "10.0 min of requests by 1 broker; bucket s3://b at aws-s3-standard prices",
		"Per GiB        $0.000760", "$6.66 for requests and transfer, $2.30 for the 100.0 GiB", "150.0 a minute", "(no topic)", "orders", "cloudflare-r2")
	says(t, "cost --since-start", exitOK, "100.0 min of requests", "$0.67 for requests")
	says(t, "cost --top 1", exitOK, "… and 2 topics; --top 3 shows all")
	says(t, "cost --top=-1", exitWrongInput, "--top -1")
	says(t, "cost --table free", exitOK, "bucket s3://b at free prices", "$0 for requests and transfer, $0 for the 100.0 GiB")
	says(t, "cost --table nowhere", exitWrongInput, "there is no such table; there are aws-s3-standard")
	says(t, "cost --prices /nowhere", exitWrongInput, "--prices: open /nowhere")

	code, stdout, stderr := run("", "cost", "--print-prices")
	if code != exitOK {
		t.Fatal(stderr)
	}
	file := filepath.Join(t.TempDir(), "prices.json")
	if err := os.WriteFile(file, []byte(strings.ReplaceAll(stdout, `"aws-s3-standard"`, `"ours"`)), 0o600); err != nil {
		t.Fatal(err)
	}
	says(t, "cost --prices "+file+" --table ours", exitOK, "bucket s3://b at ours prices", "$6.66 for requests")
	if err := os.WriteFile(file, []byte(`{"tables":[{"name":"x"}]}`), 0o600); err != nil {
		t.Fatal(err)
	}
	says(t, "cost --prices "+file, exitWrongInput, `price table "x": dollars_per_million_requests needs a price`)

	var a CostAnswer
	code, stdout, _ = run("", "cost", "--json")
	if err := json.Unmarshal([]byte(stdout), &a); err != nil || code != exitOK {
		t.Fatalf("%d, %v in %s", code, err, stdout)
	}
	if len(a.Elsewhere) != len(ledger.DefaultPrices().Tables) || len(a.Nodes) != 2 || a.Bill.Ingested != 2<<30 || len(a.Bill.Topics) != 3 {
		t.Errorf("%+v", a)
	}
}
