package config

import (
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"sluice/base"
)

func TestSourcesBeatEachOther(t *testing.T) {
	file, err := FromFile("x.conf", "# comment\n\nnum.partitions = 3\nupload-interval=5s\nzone = \"a b\"\n")
	if err != nil {
		t.Fatal(err)
	}
	env, unknown := FromEnv([]string{"SLUICE_NUM_PARTITIONS=4", "PATH=/bin", "SLUICE_PORT=tcp://10.0.0.1"})
	if len(unknown) != 1 || unknown[0] != "SLUICE_PORT" {
		t.Fatalf("unknown variables: %v", unknown)
	}
	flags := []Value{{Name: "num-partitions", Text: "5", From: "flag --num-partitions"}}
	for _, tc := range []struct {
		sources [][]Value
		want    int
		origin  string
	}{
		{nil, 1, "default"},
		{[][]Value{file}, 3, "x.conf:3"},
		{[][]Value{file, env}, 4, "environment variable SLUICE_NUM_PARTITIONS"},
		{[][]Value{file, env, flags}, 5, "flag --num-partitions"},
	} {
		c, err := Resolve(tc.sources...)
		if err != nil || c.NumPartitions != tc.want || c.Origin("num.partitions") != tc.origin {
			t.Errorf("got %d from %s, %v; want %d from %s", c.NumPartitions, c.Origin("num.partitions"), err, tc.want, tc.origin)
		}
	}
	c, _ := Resolve(file)
	if c.UploadInterval != 5*time.Second || c.Zone != "a b" || c.IdleTimeout != 10*time.Minute {
		t.Errorf("got %v %q %v", c.UploadInterval, c.Zone, c.IdleTimeout)
	}
}

func TestErrorsSayWhatWouldBeRight(t *testing.T) {
	for _, tc := range []struct{ name, text, want string }{
		{"bucket", "/var/data", `setting bucket = "/var/data" (flag): it has no scheme; want file://DIR, s3://`},
		{"bucket", "ftp://x", `unknown scheme "ftp"; want file://DIR`},
		{"wal", "s4", "it has no scheme; want file://DIR, file://DIR?shared=true, s3, s3://"},
		{"listen", "9092", "it is no HOST:PORT; want HOST:PORT"},
		{"listen", "localhost:99999", `port "99999" is not in 0 to 65535`},
		{"listen", "", "it may not be empty"},
		{"memory", "lots", "want a number of bytes with an optional unit, such as 512KiB"},
		{"memory", "1MiB", "it is too small; the smallest is 64MiB"},
		{"upload_interval", "10", "want a time with its unit, such as 500ms"},
		{"upload.interval", "1ms", "1ms is too small; the smallest is 10ms"},
		{"num.partitions", "0", "0 is too small; the smallest is 1"},
		{"num.partitions", "ten", "want a whole number"},
		{"auto.create.topics.enable", "maybe", "want true or false"},
		{"log-level", "loud", "want debug or info or warn or error"},
		{"buckt", "x", `there is no setting "buckt"; did you mean bucket?`},
		{"balance-threshold", "4", "4 is too small; the smallest is 5"},
		{"balance-exclude-topics", "a*, b[", `setting balance-exclude-topics = "a*, b[" (flag): "b[" is no pattern`},
		{"balance-exclude-nodes", "1,x", `"x" is no node id`},
		{"group.min.session.timeout.ms", "1800001", "it is above group.max.session.timeout.ms = 1800000"},
	} {
		_, err := Resolve([]Value{{Name: tc.name, Text: tc.text, From: "flag"}})
		if err == nil || !strings.Contains(err.Error(), tc.want) || !base.IsKind(err, base.Invalid) {
			t.Errorf("%s = %q: got %v, want %q", tc.name, tc.text, err, tc.want)
		}
	}
	for content, want := range map[string]string{
		"bucket file://x":  "c:1: \"bucket file://x\" is no setting; want key = value",
		"\nnum.partition=": "c:2: there is no setting \"num.partition\"; did you mean num.partitions?",
	} {
		if _, err := FromFile("c", content); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("file %q: got %v, want %q", content, err, want)
		}
	}
}

func TestPrintedConfigurationGivesTheSameOne(t *testing.T) {
	given := []Value{{"bucket", "s3://b/p?endpoint=http://127.0.0.1:1&region=x", "flag"}, {"upload-interval", "90s", "flag"},
		{"memory", "1536MiB", "flag"}, {"offsets.retention.minutes", "5", "flag"}, {"listen", ":0", "flag"}}
	c, err := Resolve(given)
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	if err := Print(&b, c); err != nil {
		t.Fatal(err)
	}
	values, err := FromFile("printed", b.String())
	if err != nil || len(values) != len(given) {
		t.Fatalf("%d values, %v in\n%s", len(values), err, b.String())
	}
	again, err := Resolve(values)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range Settings() {
		if s.Value(c) != s.Value(again) {
			t.Errorf("%s: %q became %q", s.Name, s.Value(c), s.Value(again))
		}
		if !strings.Contains(b.String(), s.Env()) {
			t.Errorf("%s is not printed", s.Name)
		}
	}
}

func TestEverySettingIsDeclaredWell(t *testing.T) {
	for _, s := range Settings() {
		s.bound(s.Min)
		s.bound(s.Max)
		if s.Doc == "" || !strings.HasSuffix(s.Doc, ".") || s.Group == "" {
			t.Errorf("%s: documentation %q", s.Name, s.Doc)
		}
		if (s.Default == "" || s.Default == "0") && s.Auto == "" && s.Name != "zone" && s.Min != "0" {
			t.Errorf("%s: no word about what its empty default means", s.Name)
		}
	}
}

func TestSizesSurviveTheirText(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b := Bytes(rapid.Int64Range(0, 1<<50).Draw(t, "bytes"))
		if back, err := ParseBytes(b.String()); err != nil || back != b {
			t.Fatalf("%v: %v, %v", b, back, err)
		}
	})
	for text, want := range map[string]Bytes{"1.5GiB": 3 << 29, "64m": 64 << 20, "1kB": 1000, "7": 7, "2 MiB": 2 << 20} {
		if got, err := ParseBytes(text); err != nil || got != want {
			t.Errorf("%s: %d, %v", text, got, err)
		}
	}
}

func TestMemoryIsDivided(t *testing.T) {
	c, _ := Resolve()
	for machine, total := range map[int64]Bytes{0: 256 << 20, 512 << 20: 128 << 20, 1 << 40: 256 << 20, 1 << 20: 64 << 20} {
		m := c.Divide(machine)
		if m.Total != total || m.WALCache+m.Blocks+m.Requests+m.Compact > m.Total*3/4 || m.Upload > m.WALCache/2 {
			t.Errorf("machine of %d: %+v", machine, m)
		}
	}
}

func TestBalanceExclusions(t *testing.T) {
	c, err := Resolve([]Value{{Name: "balance-exclude-topics", Text: " logs-*,, audit"}, {Name: "balance-exclude-nodes", Text: "3, 1"}})
	if err != nil {
		t.Fatal(err)
	}
	topics, nodes, err := c.BalanceExclusions()
	if err != nil || !slices.Equal(topics, []string{"logs-*", "audit"}) || !slices.Equal(nodes, []base.NodeID{3, 1}) {
		t.Fatalf("got %v, %v, %v", topics, nodes, err)
	}
}
