//go:build unix

package metalog

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"sluice/storage/objstore"
	"sluice/test/etcdtest"
	"sluice/test/s3test"
)

// BenchmarkCommand measures one command after the other, each waited for, with the slots in each of the places that there are. The
// numbers of docs/operations.md come from it: go test -run '^$' -bench Command -benchtime 500x ./cluster/metalog
func BenchmarkCommand(b *testing.B) {
	places := []struct {
		name string
		url  func(b *testing.B) string
	}{
		{"mem", func(*testing.B) string { return "mem://" + fmt.Sprint(time.Now().UnixNano()) }},
		{"file", func(b *testing.B) string { return "file://" + b.TempDir() }},
		{"s3", func(b *testing.B) string { return s3test.Start(b) }},
		{"etcd", func(b *testing.B) string { return etcdtest.URL("bench", etcdtest.Start(b)) }},
		{"etcd of three", func(b *testing.B) string { return etcdtest.URL("bench", etcdtest.StartThree(b)...) }},
	}
	for _, p := range places {
		b.Run(p.name, func(b *testing.B) {
			store, err := objstore.Open(b.Context(), p.url(b), objstore.Options{})
			if err != nil {
				b.Fatal(err)
			}
			log, img, err := Open(b.Context(), Options{Store: store})
			if err != nil {
				b.Fatal(err)
			}
			defer log.Close()
			h := &holder{log: log, img: img}
			var took []time.Duration
			for i := 0; b.Loop(); i++ {
				began := time.Now()
				if _, err := h.submit(config(i)); err != nil {
					b.Fatal(err)
				}
				took = append(took, time.Since(began))
			}
			slices.Sort(took)
			ms := func(q float64) float64 { return took[int(q*float64(len(took)-1))].Seconds() * 1000 }
			b.ReportMetric(ms(0.5), "p50-ms")
			b.ReportMetric(ms(0.99), "p99-ms")
		})
	}
}

// BenchmarkLargeCommand is the same with a slot of 4 MiB, the most a batch of commands makes.
func BenchmarkLargeCommand(b *testing.B) {
	for _, p := range []struct {
		name string
		url  func(b *testing.B) string
	}{
		{"file", func(b *testing.B) string { return "file://" + b.TempDir() }},
		{"etcd", func(b *testing.B) string { return etcdtest.URL("bench", etcdtest.Start(b)) }},
	} {
		b.Run(p.name, func(b *testing.B) {
			store, err := objstore.Open(b.Context(), p.url(b), objstore.Options{})
			if err != nil {
				b.Fatal(err)
			}
			log, _, err := Open(b.Context(), Options{Store: store})
			if err != nil {
				b.Fatal(err)
			}
			defer log.Close()
			body := make([]byte, 4<<20)
			for b.Loop() {
				done := make(chan error, 1)
				log.Append(body, 1, func(err error) { done <- err })
				if err := <-done; err != nil {
					b.Fatal(err)
				}
				log.Acknowledged()
			}
		})
	}
}
