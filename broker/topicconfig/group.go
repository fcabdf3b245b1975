package topicconfig

import (
	"maps"
	"regexp"
	"strconv"
	"strings"
	"time"

	"sluice/base"
)

// Kinds of groups, as the names of their settings begin.
const (
	ConsumerGroup = "consumer"
	ShareGroup    = "share"
	StreamsGroup  = "streams"
)

// GroupValue returns the value of a setting of a group: its own, else the broker's (broker maps broker config names to the values that are
// set there), else the default. Kafka keeps what a group asks for within what its broker allows now, however it was when the group was
// configured; so does this. It panics when there is no such setting.
func GroupValue(name string, own, broker map[string]string) Value {
	d := groups.byName[name]
	if d == nil {
		panic("BUG: topicconfig: no group setting " + name)
	}
	v := d.Resolve(own, broker)
	if v.Source == FromTopic {
		v.Source = FromGroup
		if n, err := strconv.ParseInt(v.Value, 10, 64); err == nil {
			lo, hi := groupBounds(name, broker)
			v.Value = strconv.FormatInt(min(max(n, lo.n), hi.n), 10)
		}
	}
	return v
}

// GroupInt is GroupValue of a setting that is a whole number.
func GroupInt(name string, own, broker map[string]string) int64 {
	n, _ := strconv.ParseInt(GroupValue(name, own, broker).Value, 10, 64)
	return n
}

// GroupConfigs returns what is set for a group, its own settings or else those that its broker has for all groups (broker maps broker config names to
// the values that are set there). The result is not to be changed.
func GroupConfigs(own, broker map[string]string) map[string]string {
	if len(broker) == 0 {
		return own
	}
	all := own
	for _, d := range groups.defs {
		if v := d.Resolve(own, broker); v.Source == FromDynamicBroker {
			if len(all) == len(own) {
				all = maps.Clone(own)
			}
			if all == nil {
				all = map[string]string{}
			}
			all[d.Name] = v.Value
		}
	}
	return all
}

// bound is a limit, and the broker setting that says so.
type bound struct {
	n    int64
	name string
}

// groupBounds returns what a broker allows for a group's setting: "share.session.timeout.ms" lies between "group.share.min.session.timeout.ms"
// and "group.share.max.session.timeout.ms", where there are such settings.
func groupBounds(name string, broker map[string]string) (lo, hi bound) {
	lo, hi = bound{n: -1 << 63}, bound{n: 1<<63 - 1}
	kind, rest, _ := strings.Cut(name, ".")
	rest = strings.TrimPrefix(rest, "num.") // streams.num.standby.replicas
	for _, b := range []struct {
		which string
		to    *bound
	}{{".min.", &lo}, {".max.", &hi}} {
		d := brokers.byName["group."+kind+b.which+rest]
		if d == nil {
			continue
		}
		v, ok := broker[d.Name]
		if !ok {
			v = d.Default
		}
		if n, err := strconv.ParseInt(v, 10, 64); err == nil {
			*b.to = bound{n, d.Name}
		}
	}
	return lo, hi
}

// ValidateGroup reports the first wrong name or value of a group's own settings, on a broker whose settings are broker. The error has kind
// base.Invalid and names the key.
func ValidateGroup(own, broker map[string]string) error {
	for _, k := range sortedKeys(own) {
		d := groups.byName[k]
		if d == nil {
			return base.Errorf(base.Invalid, "Unknown group config name: %s", k)
		}
		if err := d.Check(own[k]); err != nil {
			return err
		}
	}
	for _, d := range groups.defs {
		n, err := strconv.ParseInt(strings.TrimSpace(d.Resolve(own, broker).Value), 10, 64)
		if err != nil {
			continue // no number
		}
		switch lo, hi := groupBounds(d.Name, broker); {
		case n < lo.n:
			return base.Errorf(base.Invalid, "%s must be greater than or equal to %s", d.Name, lo.name)
		case n > hi.n:
			return base.Errorf(base.Invalid, "%s must be less than or equal to %s", d.Name, hi.name)
		}
	}
	for _, kind := range []string{ConsumerGroup, ShareGroup, StreamsGroup} {
		session, beat := kind+".session.timeout.ms", kind+".heartbeat.interval.ms"
		if GroupInt(session, own, broker) <= GroupInt(beat, own, broker) {
			return base.Errorf(base.Invalid, "%s must be greater than %s", session, beat)
		}
	}
	return nil
}

// isoDuration is what Java's Duration takes that is not negative.
var isoDuration = regexp.MustCompile(`^(?i)\+?P(\+?\d+D)?(T(\+?\d+H)?(\+?\d+M)?(\+?\d+([.,]\d{0,9})?S)?)?$`)

// checkReset says what is wrong with a value of share.auto.offset.reset.
func checkReset(v string) string {
	d, by := strings.CutPrefix(v, "by_duration:")
	switch {
	case v == "latest" || v == "earliest":
		return ""
	case by && isoDuration.MatchString(d) && strings.ContainsAny(d, "0123456789") && !strings.HasSuffix(strings.ToUpper(d), "T"):
		return ""
	}
	return "want latest, earliest, or by_duration: and a duration as in PnDTnHnMn.nS"
}

// ResetDuration returns the duration of a share.auto.offset.reset that is right, 0 if it has none.
func ResetDuration(v string) (d time.Duration) {
	v, by := strings.CutPrefix(v, "by_duration:")
	if !by {
		return 0
	}
	v = strings.ReplaceAll(strings.ToUpper(v), ",", ".")
	digits := ""
	for _, c := range v {
		unit := map[rune]time.Duration{'D': 24 * time.Hour, 'H': time.Hour, 'M': time.Minute, 'S': time.Second}[c]
		switch {
		case c >= '0' && c <= '9' || c == '.':
			digits += string(c)
		case unit != 0:
			n, _ := strconv.ParseFloat(digits, 64)
			d, digits = d+time.Duration(n*float64(unit)), ""
		}
	}
	return d
}

// clientMatches are what a telemetry subscription can choose clients by.
var clientMatches = map[string]bool{"client_instance_id": true, "client_id": true, "client_software_name": true, "client_software_version": true, "client_source_address": true, "client_source_port": true}

// ClientMatch is one condition of a telemetry subscription: what must match which pattern as a whole.
type ClientMatch struct {
	What    string
	Pattern *regexp.Regexp
}

// ParseClientMatches reads the "match" of a telemetry subscription. The error has kind base.Invalid.
func ParseClientMatches(text string) ([]ClientMatch, error) {
	var all []ClientMatch
	for _, item := range SplitList(text) {
		what, pattern, ok := strings.Cut(item, "=")
		what, pattern = strings.TrimSpace(what), strings.TrimSpace(pattern)
		if !ok || pattern == "" || strings.Contains(pattern, "=") || !clientMatches[what] {
			return nil, base.Errorf(base.Invalid, "Illegal client matching pattern: %s", item)
		}
		re, err := regexp.Compile("^(?:" + pattern + ")$")
		if err != nil {
			return nil, base.Errorf(base.Invalid, "Illegal client matching pattern: %s", item)
		}
		all = append(all, ClientMatch{what, re})
	}
	return all, nil
}

// ValidateClientMetrics reports what is wrong with the settings of a telemetry subscription. The error has kind base.Invalid; unknown reports
// whether a name is wrong, which Kafka answers with another code than a wrong value.
func ValidateClientMetrics(settings map[string]string) (unknown bool, err error) {
	for _, k := range sortedKeys(settings) {
		d := clientMetrics.byName[k]
		if d == nil {
			return true, base.Errorf(base.Invalid, "Unknown client metrics configuration: %s", k)
		}
		if err := d.Check(settings[k]); err != nil {
			return false, err
		}
	}
	if v, ok := settings["interval.ms"]; ok {
		if n, _ := strconv.ParseInt(strings.TrimSpace(v), 10, 64); n < 100 || n > 3_600_000 {
			return true, base.Errorf(base.Invalid, "Invalid value %s for interval.ms, interval must be between 100 and 3600000 (1 hour)", v)
		}
	}
	_, err = ParseClientMatches(settings["match"])
	return false, err
}
