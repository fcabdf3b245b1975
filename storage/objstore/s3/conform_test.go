//go:build unix

package s3_test

import (
	"fmt"
	"net/url"
	"strings"
	"testing"

	"sluice/storage/objstore/conform"
	"sluice/storage/objstore/driver"
	"sluice/storage/objstore/s3"
	"sluice/test/s3test"
)

// TestConform runs the suite against a real S3 server; each test gets a prefix of its own.
func TestConform(t *testing.T) {
	bucket := s3test.Start(t)
	n := 0
	conform.RunWith(t, conform.Options{RaceRound: 10}, func(t *testing.T) driver.Store {
		n++
		u, err := url.Parse(bucket)
		if err != nil {
			t.Fatal(err)
		}
		u.Path = fmt.Sprintf("/some/prefix-%d", n)
		s, err := s3.Open(t.Context(), u.String())
		if err != nil {
			t.Fatal(err)
		}
		s.Cut(16<<20, 16<<20)
		if got := s.String(); got != u.String() || strings.Contains(got, s3test.SecretKey) {
			t.Fatalf("the store calls itself %s", got)
		}
		return s
	})
}
