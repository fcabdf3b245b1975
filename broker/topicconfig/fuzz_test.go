package topicconfig

import "testing"

// FuzzValues: any value of any setting is taken or refused, and the whole configuration takes what the setting alone takes, conflicts aside.
func FuzzValues(f *testing.F) {
	for i, d := range Topic() {
		f.Add(uint16(i), d.Resolve(nil, nil).Value)
	}
	for _, v := range []string{"", "-1", "9223372036854775808", "1e3", "NaN", "compact,delete", "delete,,", "\xff", "0:1-2:3"} {
		f.Add(uint16(0), v)
	}
	f.Fuzz(func(t *testing.T, which uint16, value string) {
		for _, defs := range [][]*Def{Topic(), Broker(), Group(), ClientMetrics()} {
			_ = defs[int(which)%len(defs)].Check(value)
		}
		d := Topic()[int(which)%len(Topic())]
		alone := d.Check(value)
		_, err := Parse(map[string]string{d.Name: value}, nil)
		if alone != nil && err == nil {
			t.Fatalf("%s = %q: %v alone, taken with others", d.Name, value, alone)
		}
		if alone == nil && err != nil && d.Name != "min.compaction.lag.ms" && d.Name != "max.compaction.lag.ms" {
			t.Fatalf("%s = %q: taken alone, %v with others", d.Name, value, err)
		}
		_, _ = ParseClientMatches(value)
		_ = ResetDuration(value)
	})
}
