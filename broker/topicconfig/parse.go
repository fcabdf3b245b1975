package topicconfig

import (
	"slices"
	"strconv"
	"strings"

	"sluice/base"
)

// Source says where a value comes from, with the numbers of Kafka's DescribeConfigs response.
type Source int8

const (
	FromTopic         Source = 1
	FromDynamicBroker Source = 2
	FromDefault       Source = 5
	FromGroup         Source = 8
)

// Value is a value, where it comes from, and the broker setting that gave it (empty if a topic's own or a default).
type Value struct {
	Value  string
	Source Source
	Via    string
}

// Resolve finds the value a topic setting has: the topic's own, else the broker's (broker maps broker config names to values), else the
// default. Broker settings in hours or minutes are converted.
func (d *Def) Resolve(overrides, broker map[string]string) Value {
	if v, ok := overrides[d.Name]; ok {
		return Value{Value: v, Source: FromTopic}
	}
	for _, s := range d.Synonyms {
		if v, ok := broker[s]; ok && v != "" {
			return Value{Value: convert(d.Name, s, v), Source: FromDynamicBroker, Via: s}
		}
	}
	return Value{Value: d.Default, Source: FromDefault}
}

// convert turns a broker setting in hours or minutes into the milliseconds of the topic setting.
func convert(name, synonym, v string) string {
	unit := int64(1)
	switch {
	case !strings.HasSuffix(name, ".ms"):
	case strings.HasSuffix(synonym, ".hours"):
		unit = 3_600_000
	case strings.HasSuffix(synonym, ".minutes"):
		unit = 60_000
	}
	n, err := strconv.ParseInt(v, 10, 64)
	if unit == 1 || err != nil || n < 0 {
		return v
	}
	return strconv.FormatInt(n*unit, 10)
}

// Validate reports the first wrong name or value of a topic's own settings. The error has kind base.Invalid and names the key.
func Validate(overrides map[string]string) error {
	_, err := Parse(overrides, nil)
	return err
}

// ValidateBroker reports the first wrong name or value of a broker's settings. The error has kind base.Invalid and names the key.
func ValidateBroker(settings map[string]string) error {
	for _, k := range sortedKeys(settings) {
		d := LookupBroker(k)
		if d == nil {
			continue // kept, as in Kafka, which may have a plug-in that reads it
		}
		if err := d.Check(settings[k]); err != nil {
			return err
		}
	}
	return nil
}

func sortedKeys(m map[string]string) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// Parse gives the configuration of a topic that sets overrides on a broker whose settings (by broker config name) are broker; both
// may be nil. The error has kind base.Invalid and names the key.
func Parse(overrides, broker map[string]string) (Config, error) {
	for _, k := range sortedKeys(overrides) {
		if topics.byName[k] == nil {
			return Config{}, base.Errorf(base.Invalid, "Unknown topic config name: %s", k)
		}
	}
	v := values{overrides: overrides, broker: broker}
	policies := SplitList(v.text("cleanup.policy"))
	c := Config{
		MaxMessageBytes:        int32(v.int("max.message.bytes")),
		CompressionType:        v.text("compression.type"),
		GzipLevel:              int32(v.int("compression.gzip.level")),
		LZ4Level:               int32(v.int("compression.lz4.level")),
		ZstdLevel:              int32(v.int("compression.zstd.level")),
		LogAppendTime:          v.text("message.timestamp.type") == "LogAppendTime",
		TimestampBeforeMaxMS:   v.int("message.timestamp.before.max.ms"),
		TimestampAfterMaxMS:    v.int("message.timestamp.after.max.ms"),
		Delete:                 slices.Contains(policies, "delete"),
		Compact:                slices.Contains(policies, "compact"),
		RetentionMS:            v.int("retention.ms"),
		RetentionBytes:         v.int("retention.bytes"),
		SegmentBytes:           int32(v.int("segment.bytes")),
		SegmentMS:              v.int("segment.ms"),
		MinInsyncReplicas:      int32(v.int("min.insync.replicas")),
		DeleteRetentionMS:      v.int("delete.retention.ms"),
		MinCompactionLagMS:     v.int("min.compaction.lag.ms"),
		MaxCompactionLagMS:     v.int("max.compaction.lag.ms"),
		MinCleanableDirtyRatio: v.float("min.cleanable.dirty.ratio"),
	}
	if n := int32(v.int(internalSegment)); n > 0 {
		c.SegmentBytes = n
	}
	for _, d := range topics.defs {
		v.text(d.Name) // those without effect are checked all the same
	}
	if v.err == nil && c.MinCompactionLagMS > c.MaxCompactionLagMS {
		v.err = base.Errorf(base.Invalid, "conflict: min.compaction.lag.ms (%d) is above max.compaction.lag.ms (%d)", c.MinCompactionLagMS, c.MaxCompactionLagMS)
	}
	return c, v.err
}

// values reads settings and remembers the first error.
type values struct {
	overrides, broker map[string]string
	err               error
}

func (v *values) text(name string) string {
	d := topics.byName[name]
	value := d.Resolve(v.overrides, v.broker)
	val := strings.TrimSpace(value.Value)
	if value.Source == FromDefault && !d.HasDefault {
		return val
	}
	if err := d.Check(val); err != nil && v.err == nil {
		v.err = err
	}
	return val
}

func (v *values) int(name string) int64 {
	n, _ := strconv.ParseInt(v.text(name), 10, 64)
	return n
}

func (v *values) float(name string) float64 {
	n, _ := strconv.ParseFloat(v.text(name), 64)
	return n
}
