package topicconfig

import (
	_ "embed"
	"math"
	"strconv"
	"strings"

	"sluice/base"
)

// Type is the type of a setting's value, with the numbers of Kafka's DescribeConfigs response.
type Type int8

const (
	Boolean  Type = 1
	String   Type = 2
	Int      Type = 3
	Short    Type = 4
	Long     Type = 5
	Double   Type = 6
	List     Type = 7
	Class    Type = 8
	Password Type = 9
)

var typeNames = map[string]Type{"BOOLEAN": Boolean, "STRING": String, "INT": Int, "SHORT": Short, "LONG": Long, "DOUBLE": Double, "LIST": List, "CLASS": Class, "PASSWORD": Password}

// Def is the definition of one setting.
type Def struct {
	Name string
	Type Type
	// Default is the value where nobody sets one; HasDefault is false where Kafka has none (null).
	Default    string
	HasDefault bool
	// Synonyms of a topic setting are the broker settings it falls back to, first one first.
	Synonyms []string
	// Dynamic says of a broker setting that Kafka allows to change it at run time; Kafka shows the others as read-only.
	Dynamic bool
	// Doc is one sentence for people; empty for a broker setting that has no meaning here.
	Doc string

	rule string
}

// Refused says why a broker setting that Kafka can change at run time cannot be changed here; empty if it can.
func (d *Def) Refused() string {
	switch {
	case strings.HasPrefix(d.Name, "ssl."), strings.HasPrefix(d.Name, "sasl."), strings.HasPrefix(d.Name, "listener"), d.Name == "principal.builder.class":
		return "listeners and how they are secured are settings of the start"
	case strings.HasPrefix(d.Name, "remote."), d.Name == "follower.fetch.last.tiered.offset.enable":
		return "there is no tier beside the bucket"
	case d.Name == "config.providers", d.Name == "metric.reporters":
		return "there are no Java classes to load"
	case d.Name == "cordoned.log.dirs":
		return "the bucket is the only log directory"
	}
	return ""
}

// internalSegment goes before segment.bytes.
const internalSegment = "internal.segment.bytes"

// Hidden reports whether a setting is shown only where it is set: one of a broker that is none of a configuration file, one of topics that is for tests.
func (d *Def) Hidden() bool {
	return idleBrokerSettings[d.Name] == noCopies || d.Name == internalSegment
}

// Own reports whether Kafka 4.3 has no such setting of topics.
func (d *Def) Own() bool {
	return strings.HasPrefix(d.Name, "sluice.") || d.Name == "errors.deadletterqueue.group.enable"
}

// Sensitive reports whether the value must never be shown.
func (d *Def) Sensitive() bool { return d.Type == Password }

//go:embed topic.txt
var topicTable string

//go:embed broker.txt
var brokerTable string

//go:embed group.txt
var groupTable string

//go:embed clientmetrics.txt
var clientMetricsTable string

// table is the parsed form of one file: `name, type, default, rule, synonyms or "dynamic", doc`, separated by tabs, sorted by name.
type table struct {
	defs   []*Def
	byName map[string]*Def
}

var (
	topics, brokers = mustTable(topicTable), mustTable(brokerTable)
	groups          = mustTable(groupTable)
	clientMetrics   = mustTable(clientMetricsTable)
)

func mustTable(text string) table {
	t := table{byName: map[string]*Def{}}
	for line := range strings.Lines(text) {
		if strings.HasPrefix(line, "#") {
			continue
		}
		f := strings.Split(strings.TrimSuffix(line, "\n"), "\t")
		if len(f) != 6 || typeNames[f[1]] == 0 || t.byName[f[0]] != nil {
			panic("BUG: topicconfig: bad line: " + line)
		}
		d := &Def{Name: f[0], Type: typeNames[f[1]], Default: f[2], HasDefault: f[2] != "~", rule: f[3], Doc: f[5]}
		switch {
		case !d.HasDefault:
			d.Default = ""
		case d.Type != Password && d.Type != Class:
			if err := d.Check(d.Default); err != nil {
				panic("BUG: topicconfig: " + err.Error())
			}
		}
		if d.Dynamic = f[4] == "dynamic"; !d.Dynamic && f[4] != "" {
			d.Synonyms = strings.Split(f[4], ",")
		}
		t.defs, t.byName[d.Name] = append(t.defs, d), d
	}
	return t
}

// Topic lists every topic setting by name. The result is not to be changed.
func Topic() []*Def { return topics.defs }

// Broker lists every broker setting Kafka knows by name. The result is not to be changed.
func Broker() []*Def { return brokers.defs }

// LookupTopic finds a topic setting, or returns nil.
func LookupTopic(name string) *Def { return topics.byName[name] }

// LookupBroker finds a broker setting, or returns nil. What is said of one listener has the definition of the setting for all.
func LookupBroker(name string) *Def {
	if _, of, ok := OfListener(name); ok {
		name = of
	}
	return brokers.byName[name]
}

// OfListener splits listener.name.LISTENER.SETTING; ok is false for other names.
func OfListener(name string) (listener, setting string, ok bool) {
	rest, ok := strings.CutPrefix(name, "listener.name.")
	if ok {
		listener, setting, ok = strings.Cut(rest, ".")
	}
	return listener, setting, ok
}

// Group lists every setting of a group by name. The result is not to be changed.
func Group() []*Def { return groups.defs }

// ClientMetrics lists every setting of a telemetry subscription by name. The result is not to be changed.
func ClientMetrics() []*Def { return clientMetrics.defs }

// LookupGroup finds a setting of a group, or returns nil.
func LookupGroup(name string) *Def { return groups.byName[name] }

// LookupClientMetrics finds a setting of a telemetry subscription, or returns nil.
func LookupClientMetrics(name string) *Def { return clientMetrics.byName[name] }

// Check reports whether value is right for the setting. The error has kind base.Invalid and names the setting and what is right, in the words of
// Kafka's ConfigDef where that has the same rule.
func (d *Def) Check(value string) error {
	v := strings.TrimSpace(value)
	var why string
	switch d.Type {
	case Boolean:
		if l := strings.ToLower(v); l != "true" && l != "false" {
			why = "Expected value to be either true or false"
		}
	case Int:
		why = d.checkInt(v, 32, "INT")
	case Short:
		why = d.checkInt(v, 16, "SHORT")
	case Long:
		why = d.checkInt(v, 64, "LONG")
	case Double:
		why = d.checkDouble(v)
	case List:
		why = d.checkList(v)
	case String:
		if d.rule == "reset" {
			why = checkReset(v)
		} else if d.rule != "" && !oneOf(d.rule, v) {
			why = "String must be one of: " + strings.ReplaceAll(strings.TrimPrefix(d.rule, ","), ",", ", ")
			if d.rule[0] == ',' {
				why += ", or nothing"
			}
		}
	}
	if why != "" {
		return base.Errorf(base.Invalid, "Invalid value %s for configuration %s: %s", value, d.Name, why)
	}
	return nil
}

func oneOf(list, v string) bool {
	for s := range strings.SplitSeq(list, ",") {
		if s == v {
			return true
		}
	}
	return false
}

// bounds splits a rule "lo..hi", where hi may be missing, with an optional "|extra" value that is allowed besides.
func bounds(rule string) (lo, hi, extra string) {
	rule, extra, _ = strings.Cut(rule, "|")
	lo, hi, _ = strings.Cut(rule, "..")
	return lo, hi, extra
}

func (d *Def) checkInt(v string, bits int, name string) string {
	n, err := strconv.ParseInt(v, 10, bits)
	if err != nil {
		return "Not a number of type " + name
	}
	lo, hi, extra := bounds(d.rule)
	if v == extra && extra != "" {
		return ""
	}
	if l, err := strconv.ParseInt(lo, 10, 64); err == nil && n < l {
		return "Value must be at least " + lo
	}
	if h, err := strconv.ParseInt(hi, 10, 64); err == nil && n > h {
		return "Value must be no more than " + hi
	}
	return ""
}

func (d *Def) checkDouble(v string) string {
	n, err := strconv.ParseFloat(v, 64)
	if err != nil || math.IsNaN(n) {
		return "Not a number of type DOUBLE"
	}
	lo, hi, _ := bounds(d.rule)
	if l, err := strconv.ParseFloat(lo, 64); err == nil && n < l {
		return "Value must be at least " + lo
	}
	if h, err := strconv.ParseFloat(hi, 64); err == nil && n > h {
		return "Value must be no more than " + hi
	}
	return ""
}

func (d *Def) checkList(v string) string {
	items := SplitList(v)
	seen := map[string]bool{}
	for _, it := range items {
		switch {
		case it == "":
			return "want a list without empty items"
		case seen[it]:
			return it + " is there twice"
		case d.rule == "replicas":
			if !throttledReplica(it) && (it != "*" || len(items) > 1) {
				return "want partition:broker pairs, or *"
			}
		case d.rule != "" && !oneOf(d.rule, it):
			return "want a list of " + strings.ReplaceAll(d.rule, ",", ", ")
		}
		seen[it] = true
	}
	return ""
}

func throttledReplica(s string) bool {
	p, b, ok := strings.Cut(s, ":")
	_, err1 := strconv.ParseInt(p, 10, 32)
	_, err2 := strconv.ParseInt(b, 10, 32)
	return ok && err1 == nil && err2 == nil
}

// SplitList splits the value of a list setting; the empty value is the empty list.
func SplitList(v string) []string {
	v = strings.TrimSpace(v)
	if v == "" {
		return nil
	}
	items := strings.Split(v, ",")
	for i := range items {
		items[i] = strings.TrimSpace(items[i])
	}
	return items
}
