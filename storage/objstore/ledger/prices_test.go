package ledger_test

import (
	"strings"
	"testing"

	"sluice/storage/objstore/ledger"
)

func TestStoresHaveThePricesOfTheirProvider(t *testing.T) {
	p := ledger.DefaultPrices()
	for url, want := range map[string]string{
		"s3://b": "aws-s3-standard", "s3://b--use1-az4--x-s3?region=us-east-1": "aws-s3-express",
		"s3://b?endpoint=https://id.r2.cloudflarestorage.com": "cloudflare-r2", "s3://b?endpoint=https://storage.googleapis.com": "gcs-standard",
		"gs://b": "gcs-standard", "azure://account/container": "azure-blob-hot", "etcd://h:2379/p": "free",
		"file:///data": "aws-s3-standard", "mem://x": "aws-s3-standard", "s3://b?endpoint=http://127.0.0.1:7070": "aws-s3-standard", "://": "aws-s3-standard",
	} {
		if got := p.For(map[string]string{"bucket": url})["bucket"]; got == nil || got.Name != want {
			t.Errorf("%s is priced as %v, want %s", url, got, want)
		}
	}
}

func TestPriceTablesAreChecked(t *testing.T) {
	good := `{"tables":[{"name":"x","title":"X","dollars_per_gib_month":0.01,"source":"a contract","date":"2026-02","dollars_per_million_requests":{` +
		`"put":1,"create":1,"part":1,"complete":1,"abort":0,"get":1,"stat":1,"list":1,"delete":0}}]}`
	p, err := ledger.ParsePrices([]byte(good))
	if err != nil {
		t.Fatal(err)
	}
	if d := p.Table("x").Dollars(ledger.Row{Kind: "put", Requests: 2e6}); d != 2 {
		t.Errorf("$%v", d)
	}
	if all := ledger.DefaultPrices().With(p); all.Table("x") == nil || all.Table("aws-s3-standard") == nil || len(ledger.DefaultPrices().Names()) != len(all.Names())-1 {
		t.Errorf("%v", all.Names())
	}
	for name, bad := range map[string]string{
		"put":     strings.Replace(good, `"put":1,`, ``, 1),
		"eat":     strings.Replace(good, `"put":1`, `"put":1,"eat":1`, 1),
		"date":    strings.Replace(good, `"date":"2026-02",`, ``, 1),
		"unknown": strings.Replace(good, `"title"`, `"titel"`, 1),
		"no name": strings.Replace(good, `"name":"x"`, `"name":""`, 1),
		"negativ": strings.Replace(good, `0.01`, `-1`, 1),
		"price":   `{`,
	} {
		if _, err := ledger.ParsePrices([]byte(bad)); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
