package topicconfig

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"sluice/base"
)

func TestDefaults(t *testing.T) {
	c := Default()
	if c.MaxMessageBytes != 1048588 || c.RetentionMS != 604800000 || c.RetentionBytes != -1 || !c.Delete || c.Compact || c.LogAppendTime || c.CompressionType != "producer" || c.TimestampAfterMaxMS != 3600000 {
		t.Fatalf("%+v", c)
	}
	if len(Topic()) != 34 || LookupTopic("retention.ms").Doc == "" || LookupBroker("node.id").HasDefault {
		t.Fatal(len(Topic()))
	}
	for _, d := range Topic() {
		if d.Doc == "" {
			t.Errorf("%s has no doc", d.Name)
		}
		for _, s := range d.Synonyms {
			if LookupBroker(s) == nil && s != "log.flush.scheduler.interval.ms" {
				t.Errorf("%s falls back to unknown %s", d.Name, s)
			}
		}
	}
}

func TestValidate(t *testing.T) {
	for _, tc := range []struct{ key, value, want string }{
		{"retention.ms", "-1", ""}, {"retention.ms", "-2", "retention.ms"}, {"retention.ms", "soon", "retention.ms"},
		{"cleanup.policy", "compact,delete", ""}, {"cleanup.policy", "compact, delete", ""}, {"cleanup.policy", "", ""},
		{"cleanup.policy", "compact,compact", "twice"}, {"cleanup.policy", "boil", "cleanup.policy"},
		{"compression.type", "zstd", ""}, {"compression.type", "brotli", "one of"},
		{"max.message.bytes", "2147483648", "32 bits"}, {"max.message.bytes", "-1", "at least 0"},
		{"min.cleanable.dirty.ratio", "1.5", "at most 1"}, {"min.cleanable.dirty.ratio", "0.3", ""},
		{"preallocate", "TRUE", ""}, {"preallocate", "yes", "true or false"},
		{"compression.gzip.level", "-1", ""}, {"compression.gzip.level", "0", "at least 1"},
		{"leader.replication.throttled.replicas", "0:1,1:2", ""}, {"leader.replication.throttled.replicas", "*", ""}, {"leader.replication.throttled.replicas", "x", "pairs"},
		{"segment.bytes", "14", "at least"}, {"no.such.config", "1", "no.such.config"},
		{"min.compaction.lag.ms", "9223372036854775807", ""}, {"unclean.leader.election.enable", "true", ""},
	} {
		err := Validate(map[string]string{tc.key: tc.value})
		if (err == nil) != (tc.want == "") || err != nil && (!strings.Contains(err.Error(), tc.want) || base.KindOf(err) != base.Invalid) {
			t.Errorf("%s=%s: %v, want %q", tc.key, tc.value, err, tc.want)
		}
	}
	if err := Validate(map[string]string{"min.compaction.lag.ms": "10", "max.compaction.lag.ms": "5"}); err == nil {
		t.Error("conflict not seen")
	}
}

func TestFallsBackToBroker(t *testing.T) {
	broker := map[string]string{"log.retention.hours": "2", "message.max.bytes": "77"}
	c, err := Parse(nil, broker)
	if err != nil || c.RetentionMS != 7_200_000 || c.MaxMessageBytes != 77 {
		t.Fatal(c, err)
	}
	broker["log.retention.minutes"] = "1"
	if c, _ = Parse(nil, broker); c.RetentionMS != 60_000 {
		t.Fatal(c.RetentionMS)
	}
	if c, _ = Parse(map[string]string{"retention.ms": "5"}, broker); c.RetentionMS != 5 {
		t.Fatal(c.RetentionMS)
	}
	v := LookupTopic("retention.ms").Resolve(nil, broker)
	if v.Source != FromDynamicBroker || v.Via != "log.retention.minutes" {
		t.Fatal(v)
	}
}

func TestParseNeverPanics(t *testing.T) {
	names := slices.Collect(maps.Keys(topics.byName))
	rapid.Check(t, func(t *rapid.T) {
		m := rapid.MapOf(rapid.SampledFrom(names), rapid.OneOf(rapid.String(), rapid.StringMatching(`-?[0-9]{1,20}`), rapid.SampledFrom([]string{"compact", "true", "gzip"}))).Draw(t, "m")
		_, _ = Parse(m, nil)
	})
}
