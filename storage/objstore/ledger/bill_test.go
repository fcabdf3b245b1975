package ledger_test

import (
	"math"
	"testing"

	"pgregory.net/rapid"

	"sluice/storage/objstore/driver"
	"sluice/storage/objstore/ledger"
)

// TestABillAddsUp: however it is divided, the parts of a bill are the whole, and elsewhere the same requests are counted.
func TestABillAddsUp(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		prices := ledger.DefaultPrices()
		u := ledger.Usage{Stores: map[string]string{"bucket": "s3://b", "wal": "s3://w--x-s3", "metadata": "etcd://e"}, Topics: map[string]int64{}}
		u.Period.Seconds = rapid.Float64Range(1, 1e6).Draw(t, "seconds")
		u.Period.Ingested = map[string]int64{"a": rapid.Int64Range(0, 1<<40).Draw(t, "in")}
		for range rapid.IntRange(0, 20).Draw(t, "rows") {
			u.Period.Rows = append(u.Period.Rows, ledger.Row{
				Store: rapid.SampledFrom([]string{"bucket", "wal", "metadata"}).Draw(t, "store"), Topic: rapid.SampledFrom([]string{"", "a", "b"}).Draw(t, "topic"),
				Purpose: driver.Purpose(rapid.IntRange(0, int(driver.PurposeEnd)-1).Draw(t, "purpose")).String(),
				Kind:    driver.Op(rapid.IntRange(0, int(driver.OpEnd)-1).Draw(t, "kind")).String(), Requests: rapid.Float64Range(0, 1e6).Draw(t, "requests"),
				Sent: rapid.Int64Range(0, 1<<40).Draw(t, "sent"), Received: rapid.Int64Range(0, 1<<40).Draw(t, "received"),
			})
		}
		b := ledger.Price(u, prices.For(u.Stores))
		same := func(x, y float64) bool { return math.Abs(x-y) <= 1e-9*(math.Abs(x)+math.Abs(y))+1e-9 }
		for what, lines := range map[string][]ledger.Line{"stores": b.Stores, "purposes": b.Purposes, "kinds": b.Kinds, "topics": b.Topics} {
			var sum ledger.Line
			for _, l := range lines {
				sum.Requests += l.Requests
				sum.Month += l.Month
				sum.PerGiB += l.PerGiB
			}
			if !same(sum.Requests, b.Total.Requests) || !same(sum.Month, b.Total.Month) || !same(sum.PerGiB, b.Total.PerGiB) {
				t.Fatalf("the %s add up to %+v of %+v", what, sum, b.Total)
			}
		}
		for _, table := range prices.Tables {
			if at := ledger.At(u, table, prices.For(u.Stores)); !same(at.Total.Requests, b.Total.Requests) {
				t.Fatalf("%s: %v requests of %v", table.Name, at.Total.Requests, b.Total.Requests)
			}
		}
	})
}

// TestAMonth is checked by hand: 5 puts a second for a minute at S3's prices.
func TestAMonth(t *testing.T) {
	u := ledger.Usage{Stores: map[string]string{"bucket": "s3://b"}, Stored: 10 << 30, Topics: map[string]int64{"a": 5 << 30}, Period: ledger.Period{
		Seconds: 60, Ingested: map[string]int64{"a": 3 << 30}, Rows: []ledger.Row{{Store: "bucket", Topic: "a", Purpose: "wal", Kind: "put", Requests: 300}},
	}}
	b := ledger.Price(u, ledger.DefaultPrices().For(u.Stores))
	if got, want := b.Total.Month, 5*3600*730*5e-6; math.Abs(got-want) > 1e-6 {
		t.Errorf("$%v a month, want $%v", got, want)
	}
	if got, want := b.Total.PerGiB, 300*5e-6/3; math.Abs(got-want) > 1e-9 {
		t.Errorf("$%v per GiB, want $%v", got, want)
	}
	if b.Total.PerMinute != 300 || math.Abs(b.Total.Storage-0.23) > 1e-9 || math.Abs(b.Topics[0].Storage-0.115) > 1e-9 || math.Abs(b.Rate-3*60*730) > 1e-6 {
		t.Errorf("%+v", b)
	}
}
