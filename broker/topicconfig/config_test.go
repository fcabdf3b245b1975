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
	if len(Topic()) != 36 || LookupTopic("retention.ms").Doc == "" || LookupBroker("node.id").HasDefault {
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
		{"max.message.bytes", "2147483648", "Not a number of type INT"}, {"max.message.bytes", "-1", "at least 0"},
		{"min.cleanable.dirty.ratio", "1.5", "no more than 1"}, {"min.cleanable.dirty.ratio", "0.3", ""},
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

// TestInternalSegment: what Kafka keeps for tests goes before segment.bytes and below its bound.
func TestInternalSegment(t *testing.T) {
	for _, tc := range []struct {
		set  map[string]string
		want int32
	}{
		{map[string]string{"segment.bytes": "1048576"}, 1 << 20},
		{map[string]string{"segment.bytes": "1048576", "internal.segment.bytes": "1000"}, 1000},
		{map[string]string{"internal.segment.bytes": "0"}, 0},
		{map[string]string{"internal.segment.bytes": ""}, 0},
	} {
		if c, err := Parse(tc.set, nil); (err == nil) != (tc.want > 0) || err == nil && c.SegmentBytes != tc.want {
			t.Errorf("%v: %d, %v", tc.set, c.SegmentBytes, err)
		}
	}
	if d := LookupTopic("internal.segment.bytes"); !d.Hidden() || LookupTopic("segment.bytes").Hidden() {
		t.Error("what is for tests is to be hidden, and nothing else")
	}
}

func TestParseNeverPanics(t *testing.T) {
	names := slices.Collect(maps.Keys(topics.byName))
	rapid.Check(t, func(t *rapid.T) {
		m := rapid.MapOf(rapid.SampledFrom(names), rapid.OneOf(rapid.String(), rapid.StringMatching(`-?[0-9]{1,20}`), rapid.SampledFrom([]string{"compact", "true", "gzip"}))).Draw(t, "m")
		_, _ = Parse(m, nil)
	})
}

func TestGroupSettings(t *testing.T) {
	if len(Group()) != 19 || len(ClientMetrics()) != 3 {
		t.Fatal(len(Group()), len(ClientMetrics()))
	}
	for _, d := range append(slices.Clone(Group()), ClientMetrics()...) {
		for _, s := range d.Synonyms {
			if b := LookupBroker(s); b == nil || b.Default != d.Default {
				t.Errorf("%s falls back to %s, which is not there or has another default", d.Name, s)
			}
		}
		if d.Doc == "" {
			t.Errorf("%s has no doc", d.Name)
		}
	}
	for _, tc := range []struct{ key, value, broker, want string }{
		{"consumer.session.timeout.ms", "50000", "", ""}, {"consumer.session.timeout.ms", "44999", "", "group.consumer.min.session.timeout.ms"},
		{"consumer.session.timeout.ms", "60001", "", "group.consumer.max.session.timeout.ms"}, {"consumer.session.timeout.ms", "60001", "group.consumer.max.session.timeout.ms=70000", ""},
		{"consumer.heartbeat.interval.ms", "6000", "group.consumer.min.session.timeout.ms=1,group.consumer.session.timeout.ms=6000", "must be greater than consumer.heartbeat.interval.ms"},
		{"streams.num.standby.replicas", "3", "", "group.streams.max.standby.replicas"}, {"share.auto.offset.reset", "by_duration:P1DT2H3.5S", "", ""},
		{"share.auto.offset.reset", "by_duration:P", "", "PnDTnHnMn.nS"}, {"share.auto.offset.reset", "by_duration:PT", "", "PnDTnHnMn.nS"}, {"share.auto.offset.reset", "by_duration:-PT1H", "", "PnDTnHnMn.nS"},
		{"no.such", "1", "", "Unknown group config name: no.such"},
	} {
		broker := map[string]string{}
		for kv := range strings.SplitSeq(tc.broker, ",") {
			if k, v, ok := strings.Cut(kv, "="); ok {
				broker[k] = v
			}
		}
		err := ValidateGroup(map[string]string{tc.key: tc.value}, broker)
		if (err == nil) != (tc.want == "") || err != nil && (!strings.Contains(err.Error(), tc.want) || base.KindOf(err) != base.Invalid) {
			t.Errorf("%s=%s on %q: %v, want %q", tc.key, tc.value, tc.broker, err, tc.want)
		}
	}
	// The broker's bounds hold also for what was set when they were wider.
	own := map[string]string{"consumer.session.timeout.ms": "60000"}
	if n := GroupInt("consumer.session.timeout.ms", own, map[string]string{"group.consumer.max.session.timeout.ms": "50000"}); n != 50000 {
		t.Error(n)
	}
	if v := GroupValue("consumer.session.timeout.ms", nil, map[string]string{"group.consumer.session.timeout.ms": "47000"}); v.Value != "47000" || v.Source != FromDynamicBroker {
		t.Error(v)
	}
}

func TestClientMatches(t *testing.T) {
	all, err := ParseClientMatches("client_id=a.*, client_software_version=1\\.2\\..*")
	if err != nil || len(all) != 2 || all[0].What != "client_id" || !all[0].Pattern.MatchString("abc") || all[0].Pattern.MatchString("xabc") {
		t.Fatal(all, err)
	}
	for _, bad := range []string{"client_id", "color=red", "client_id=[", "client_id=a=b", "client_id="} {
		if _, err := ParseClientMatches(bad); base.KindOf(err) != base.Invalid {
			t.Errorf("%s: %v", bad, err)
		}
	}
}

// What is set for all groups at run time holds for those that set nothing, and for them alone.
func TestGroupConfigs(t *testing.T) {
	own := map[string]string{"consumer.session.timeout.ms": "50000"}
	broker := map[string]string{"group.consumer.assignment.interval.ms": "7", "group.consumer.session.timeout.ms": "46000", "group.share.assignment.interval.ms": "8"}
	got := GroupConfigs(own, broker)
	want := map[string]string{"consumer.session.timeout.ms": "50000", "consumer.assignment.interval.ms": "7", "share.assignment.interval.ms": "8"}
	if !maps.Equal(got, want) || len(own) != 1 {
		t.Errorf("%v, want %v; own %v", got, want, own)
	}
	if got := GroupConfigs(nil, broker); got["consumer.session.timeout.ms"] != "46000" || len(got) != 3 {
		t.Errorf("%v", got)
	}
	if got := GroupConfigs(own, nil); !maps.Equal(got, own) {
		t.Errorf("%v", got)
	}
}
