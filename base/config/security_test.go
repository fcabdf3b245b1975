package config

import (
	"slices"
	"strings"
	"testing"

	"sluice/base"
)

// Listeners are those of the setting listeners, or the one of listen, which is called PLAINTEXT.
func TestListeners(t *testing.T) {
	for _, tc := range []struct {
		settings string
		want     []Listener
		err      string
	}{
		{"", []Listener{{Plaintext, Plaintext, "127.0.0.1:9092", ""}}, ""},
		{"listen=:1 advertise=h:2", []Listener{{Plaintext, Plaintext, ":1", "h:2"}}, ""},
		{"advertised.listeners=PLAINTEXT://h:2", []Listener{{Plaintext, Plaintext, "127.0.0.1:9092", "h:2"}}, ""},
		{"listen=:1 advertised.listeners=plaintext://h:2", []Listener{{Plaintext, Plaintext, ":1", "h:2"}}, ""},
		{"listeners=PLAINTEXT://:1,IN://:2 listener.security.protocol.map=IN:PLAINTEXT advertised.listeners=IN://h:3",
			[]Listener{{Plaintext, Plaintext, ":1", ""}, {"IN", Plaintext, ":2", "h:3"}}, ""},
		{"advertised.listeners=SSL://h:2", nil, "there is no listener SSL; without the setting listeners there is PLAINTEXT alone"},
		{"advertised.listeners=h:2", nil, `"h:2" has no name`},
		{"advertise=h:1 advertised.listeners=PLAINTEXT://h:2", nil, "advertised.listeners is given too"},
		{"listeners=PLAINTEXT://:1 advertised.listeners=SSL://h:2", nil, "there is no listener SSL"},
		{"listeners=PLAINTEXT://:1 advertise=h:2", nil, "listeners is given; use advertised.listeners"},
		{"listeners=PLAINTEXT://:1 listen=:2", nil, "listeners is given too"},
		{"listeners=X://:1", nil, "listener X is no security protocol"},
		{"listeners=PLAINTEXT://:1,PLAINTEXT://:2", nil, "the name PLAINTEXT is taken"},
		{"listeners=SSL://:1", nil, "a listener with SSL needs a key and a certificate"},
		{"super.users=100%s", nil, "100%s is no principal"},
	} {
		var given []Value
		for kv := range strings.FieldsSeq(tc.settings) {
			name, text, _ := strings.Cut(kv, "=")
			given = append(given, Value{Name: name, Text: text, From: "flag"})
		}
		c, err := Resolve(given)
		if tc.err != "" {
			if err == nil || !strings.Contains(err.Error(), tc.err) || !base.IsKind(err, base.Invalid) {
				t.Errorf("%s: got %v, want %q", tc.settings, err, tc.err)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", tc.settings, err)
			continue
		}
		if got, err := c.ListenerList(); err != nil || !slices.Equal(got, tc.want) {
			t.Errorf("%s: got %+v, %v; want %+v", tc.settings, got, err, tc.want)
		}
	}
}
