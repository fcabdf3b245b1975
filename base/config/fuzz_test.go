package config

import (
	"bytes"
	"testing"
)

// FuzzFile: no file makes the settings fail otherwise than by an error; and what is in force, printed as a file, gives the same again.
func FuzzFile(f *testing.F) {
	f.Add("listen = 127.0.0.1:9092\nmemory = 1GiB # no comment\n")
	f.Add("listeners = PLAINTEXT://:9092,SASL_SSL://h:9093\nupload-interval=1h0m5s\nzone = \" a b \"")
	defaults := ""
	for _, s := range Settings() {
		defaults += s.Name + " = " + s.Default + "\n"
	}
	f.Add(defaults)
	f.Fuzz(func(t *testing.T, text string) {
		values, err := FromFile("fuzz", text)
		if err != nil {
			return
		}
		c, err := Resolve(values)
		if err != nil {
			return
		}
		var once bytes.Buffer
		if err := Print(&once, c); err != nil {
			t.Fatal(err)
		}
		values, err = FromFile("fuzz", once.String())
		if err != nil {
			t.Fatalf("what was printed is no file: %v", err)
		}
		again, err := Resolve(values)
		if err != nil {
			t.Fatalf("what was printed is refused: %v\n%s", err, once.String())
		}
		for i := range settings {
			s := &settings[i]
			if before, after := s.Value(c), s.Value(again); before != after && !s.Secret {
				t.Fatalf("%s was %q and is %q", s.Name, before, after)
			}
		}
	})
}
