package cost

import (
	"fmt"
	"testing"
	"time"

	"sluice/storage/objstore/ledger"
)

// dollars prices a period as AWS S3 Standard does, per GiB ingested.
func dollars(p ledger.Period) float64 {
	in := int64(0)
	for _, n := range p.Ingested {
		in += n
	}
	return p.Dollars(ledger.DefaultPrices().Table("aws-s3-standard")) / (float64(in) / (1 << 30))
}

// TestPricePerGiB: what a GiB costs at 50 MB/s by list prices, with the memory that the bound is promised for.
func TestPricePerGiB(t *testing.T) {
	cases := []struct {
		class, memory string
		most          float64 // dollars; 0: no promise
	}{{"s3", "256MiB", 0.0015}, {"file", "512MiB", 0.0003}}
	d := 20 * time.Second
	if full {
		cases = append(cases, struct {
			class, memory string
			most          float64
		}{"file", "256MiB", 0}, struct {
			class, memory string
			most          float64
		}{"s3", "512MiB", 0.0015}, struct {
			class, memory string
			most          float64
		}{"s3", "1GiB", 0.0015}, struct {
			class, memory string
			most          float64
		}{"file", "1GiB", 0.0003}, struct {
			class, memory string
			most          float64
		}{"s3", "4GiB", 0.0015}, struct {
			class, memory string
			most          float64
		}{"file", "4GiB", 0.0003})
		d = 2 * time.Minute
	}
	for _, c := range cases {
		t.Run(fmt.Sprint(c.class, " ", c.memory), func(t *testing.T) {
			p := measure(t, load{"t", 100, 65536, 50 * mb}, 5*time.Second, d, settings(t, c.class, c.memory))
			price := dollars(p)
			t.Logf("%s, memory %s: $%.6f per GiB; requests in %.0f s: %v", c.class, c.memory, price, p.Seconds, lines(p))
			if c.most > 0 && price > c.most {
				t.Errorf("a GiB costs $%.6f, more than $%v", price, c.most)
			}
		})
	}
}
