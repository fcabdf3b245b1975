package world

import (
	"testing"
	"testing/synctest"
	"time"
)

// A sweep that removes page after page is waited for, however many there are; one that has stopped is not.
func TestTidied(t *testing.T) {
	for _, c := range []struct {
		name        string
		pages, kept int
	}{{"all goes", 9, 0}, {"something stays", 3, 2}, {"nothing is left over", 0, 0}} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				const page = 50 * time.Second // a thousand requests
				w := &world{Scenario: Scenario{Latency: Latency{Min: Span(10 * time.Millisecond), Max: Span(60 * time.Millisecond), Slow: Span(time.Second), Slowly: 0.01}}}
				began := time.Now()
				wrong := w.tidied(func() []string {
					swept := min(int(time.Since(began)/page), c.pages)
					return make([]string, c.pages-swept+c.kept)
				})
				if len(wrong) != c.kept {
					t.Errorf("%d are left over after %v", len(wrong), time.Since(began))
				}
				if took, most := time.Since(began), time.Duration(c.pages)*page+lookRarely+restWithin+70*time.Second+lookRarely; took > most {
					t.Errorf("it took %v, at most %v are due", took, most)
				}
			})
		})
	}
}
