//go:build unix

package gs_test

import (
	"fmt"
	"net/url"
	"testing"

	"sluice/storage/objstore/conform"
	"sluice/storage/objstore/driver"
	"sluice/storage/objstore/gs"
	"sluice/test/gcstest"
)

// TestConform runs the suite against an emulator; each test gets a prefix of its own.
func TestConform(t *testing.T) {
	bucket := gcstest.Start(t)
	n := 0
	conform.RunWith(t, conform.Options{RaceRound: 10}, func(t *testing.T) driver.Store {
		n++
		u, err := url.Parse(bucket)
		if err != nil {
			t.Fatal(err)
		}
		u.Path = fmt.Sprintf("/some/prefix-%d", n)
		s, err := gs.Open(t.Context(), u.String())
		if err != nil {
			t.Fatal(err)
		}
		if got := s.String(); got != u.String() {
			t.Fatalf("the store calls itself %s", got)
		}
		return s
	})
}
