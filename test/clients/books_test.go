package clients

import (
	"strings"
	"testing"
)

// Books balance when each transfer is there whole or not at all, as its teller was told; everything else is noticed.
func TestBooks(t *testing.T) {
	a := func(account int32, id, change string) entry { return entry{account, id, change} }
	whole := []entry{a(0, "1", "-5"), a(1, "1", "5")}
	for _, c := range []struct {
		name     string
		outcomes []outcome
		seen     string
		entries  []entry
		want     string // empty: they balance
	}{
		{"nothing", nil, "", nil, ""},
		{"committed", []outcome{committed}, "1", whole, ""},
		{"aborted", []outcome{aborted}, "", nil, ""},
		{"unclear, there", []outcome{unclear}, "1", whole, ""},
		{"unclear, not there", []outcome{unclear}, "", nil, ""},
		{"lost", []outcome{committed}, "", nil, "was committed, and is not there"},
		{"half", []outcome{committed}, "", whole[:1], "sum of all accounts is -5"},
		{"half of two", []outcome{committed, committed}, "", []entry{a(0, "1", "-5"), a(1, "2", "5")}, "has 1 halves"},
		{"twice", []outcome{committed}, "", append(whole, whole...), "has 4 halves"},
		{"aborted, there", []outcome{aborted}, "", whole, "was aborted, and is there"},
		{"seen, aborted", []outcome{aborted}, "1", nil, "was seen, and is not there"},
		{"seen, unclear, gone", []outcome{unclear}, "1", nil, "was seen, and is not there"},
		{"stray", []outcome{committed}, "", append(whole, a(2, "7", "0")), "never was"},
		{"garbled", []outcome{committed}, "", append(whole, a(2, "1", "much")), "never was"},
		{"strange name", []outcome{committed}, "one", whole, "is called"},
	} {
		b := newBooks()
		for _, o := range c.outcomes {
			if id := b.begin(); o != unclear {
				b.end(id, o)
			}
		}
		if c.seen != "" {
			b.saw([]byte(c.seen))
		}
		n, err := b.balance(c.entries)
		switch {
		case c.want == "" && (err != nil || n != len(c.entries)/2):
			t.Errorf("%s: %d transfers, %v", c.name, n, err)
		case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)):
			t.Errorf("%s: %v, want %q", c.name, err, c.want)
		}
	}
}
