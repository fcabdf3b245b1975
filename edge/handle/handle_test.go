package handle

import (
	"fmt"
	"slices"
	"testing"

	"sluice/base"
	"sluice/base/config"
	"sluice/broker/topicconfig"
	"sluice/cluster/meta"
	"sluice/wire/kerr"
	"sluice/wire/msg"
)

func TestWhatIsOfferedIsServed(t *testing.T) {
	for _, a := range msg.APIs {
		if apis[a.Key] == nil {
			t.Errorf("%s is offered and not served", msg.Name(a.Key))
		}
	}
	for key := range apis {
		if _, ok := msg.Lookup(key); !ok {
			t.Errorf("%s is served and not offered", msg.Name(key))
		}
	}
}

func TestErrorsHaveCodesThatClientsKnow(t *testing.T) {
	for code := meta.None + 1; code <= meta.RescueRunning; code++ {
		err := fmt.Errorf("create: %w", &meta.Rejection{Code: code, Message: "because"})
		if got := codeOf(err); got == kerr.None || got == kerr.UnknownServerError || !got.Known() {
			t.Errorf("%v is answered with %v", code, got)
		}
		if m := messageOf(err); m == nil || *m != "because" {
			t.Errorf("%v: message %v", code, m)
		}
	}
	if codeOf(refusal(nil)) != kerr.None || messageOf(nil) != nil {
		t.Error("no error is no error")
	}
	if codeOf(base.Errorf(base.Fenced, "x")) != kerr.NotLeaderOrFollower {
		t.Error("a fenced node leads nothing")
	}
}

func TestConfigOperations(t *testing.T) {
	list := topicconfig.LookupTopic("cleanup.policy")
	value := func(s string) *string { return &s }
	for _, tc := range []struct {
		op   alterOp
		now  string
		want string
		code kerr.Code
	}{
		{alterOp{"cleanup.policy", opSet, value("compact")}, "", "compact", kerr.None},
		{alterOp{"cleanup.policy", opAppend, value("compact")}, "", "delete,compact", kerr.None},
		{alterOp{"cleanup.policy", opAppend, value("compact")}, "compact", "compact", kerr.None},
		{alterOp{"cleanup.policy", opSubtract, value("delete")}, "delete,compact", "compact", kerr.None},
		{alterOp{"cleanup.policy", opSubtract, value("other")}, "delete", "delete", kerr.None},
		{alterOp{"cleanup.policy", opSet, nil}, "delete", "delete", kerr.InvalidRequest},
		{alterOp{"cleanup.policy", 9, value("x")}, "delete", "delete", kerr.InvalidRequest},
	} {
		configs := map[string]string{}
		if tc.now != "" {
			configs["cleanup.policy"] = tc.now
		}
		err := apply(configs, tc.op, list)
		if codeOf(err) != tc.code || configs["cleanup.policy"] != tc.want {
			t.Errorf("%+v on %q: %q, %v", tc.op, tc.now, configs["cleanup.policy"], err)
		}
	}
	if err := apply(map[string]string{}, alterOp{"retention.ms", opAppend, value("1")}, topicconfig.LookupTopic("retention.ms")); codeOf(err) != kerr.InvalidConfig {
		t.Errorf("append to a number: %v", err)
	}
}

// Kafka's own settings that this broker has too must be called by the names Kafka knows, or DescribeConfigs hides them.
func TestSettingsWithDotsAreKafkas(t *testing.T) {
	// Kafka does not show these either: its authorizer reads the former, and the others are internal.
	hidden := []string{"super.users", "allow.everyone.if.no.acl.found", "producer.id.expiration.check.interval.ms", "group.consumer.regex.refresh.interval.ms"}
	for _, s := range config.Settings() {
		if slices.Contains(hidden, s.Name) {
			continue
		}
		if s.Name != s.Flag() && topicconfig.LookupBroker(s.Name) == nil {
			t.Errorf("Kafka knows no broker setting %s", s.Name)
		}
	}
}

func TestSoftwareNames(t *testing.T) {
	for name, ok := range map[string]bool{"apache-kafka-java": true, "librdkafka": true, "4.3.0": true, "a": true, "": false, "-a": false, "a ": false, "a\nb": false} {
		if software.MatchString(name) != ok {
			t.Errorf("%q: want %v", name, ok)
		}
	}
}
