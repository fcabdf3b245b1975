package group

import (
	"slices"
	"strings"

	"sluice/broker/coord"
	"sluice/wire/kbin"
)

// The record of a streams group's topology.

func topologyRecord(group string, t *topology) coord.Record {
	return coord.Record{Key: streamsKey{typ: keyStreamsTopology, group: group}.encode(), Value: encodeTopology(t)}
}

func encodeTopology(t *topology) []byte {
	b := kbin.AppendInt32(version0(), t.epoch)
	b = kbin.AppendArrayLen(b, true, len(t.subs))
	for i := range t.subs {
		s := &t.subs[i]
		b = kbin.AppendString(b, true, s.id)
		b = appendStrings(appendStrings(b, s.sources), s.regexes)
		b = appendInternalTopics(b, s.changelogs)
		b = appendStrings(b, s.sinks)
		b = appendInternalTopics(b, s.repartitions)
		b = kbin.AppendArrayLen(b, true, len(s.copartitions))
		for _, c := range s.copartitions {
			for _, indexes := range [][]int16{c.sources, c.regexes, c.repartitions} {
				b = kbin.AppendArrayLen(b, true, len(indexes))
				for _, i := range indexes {
					b = kbin.AppendInt16(b, i)
				}
			}
			b = append(b, 0)
		}
		b = append(b, 0)
	}
	return append(b, 0)
}

func appendStrings(b []byte, all []string) []byte {
	b = kbin.AppendArrayLen(b, true, len(all))
	for _, s := range all {
		b = kbin.AppendString(b, true, s)
	}
	return b
}

func appendInternalTopics(b []byte, all []internalTopic) []byte {
	b = kbin.AppendArrayLen(b, true, len(all))
	for _, t := range all {
		b = kbin.AppendString(b, true, t.name)
		b = kbin.AppendInt16(kbin.AppendInt32(b, t.partitions), t.factor)
		b = append(appendSettings(b, t.configs), 0)
	}
	return b
}

func decodeTopology(value []byte) (*topology, error) {
	r := kbin.NewReader(value)
	r.Int16()
	t := &topology{epoch: r.Int32()}
	for n := r.ArrayLen(true, 8); n > 0 && r.Err() == nil; n-- {
		s := subtopology{
			id: r.String(true), sources: readStrings(&r), regexes: readStrings(&r), changelogs: readInternalTopics(&r), sinks: readStrings(&r),
			repartitions: readInternalTopics(&r),
		}
		for n := r.ArrayLen(true, 4); n > 0 && r.Err() == nil; n-- {
			s.copartitions = append(s.copartitions, copartition{readInt16s(&r), readInt16s(&r), readInt16s(&r)})
			r.Tags(nil)
		}
		r.Tags(nil)
		t.subs = append(t.subs, s)
	}
	r.Tags(nil)
	t.sort()
	return t, r.Err()
}

func (t *topology) sort() {
	slices.SortFunc(t.subs, func(a, b subtopology) int { return strings.Compare(a.id, b.id) })
}

func readStrings(r *kbin.Reader) (all []string) {
	for n := r.ArrayLen(true, 1); n > 0 && r.Err() == nil; n-- {
		all = append(all, r.String(true))
	}
	return all
}

func readInt16s(r *kbin.Reader) (all []int16) {
	for n := r.ArrayLen(true, 2); n > 0 && r.Err() == nil; n-- {
		all = append(all, r.Int16())
	}
	return all
}

func readInternalTopics(r *kbin.Reader) (all []internalTopic) {
	for n := r.ArrayLen(true, 9); n > 0 && r.Err() == nil; n-- {
		t := internalTopic{name: r.String(true), partitions: r.Int32(), factor: r.Int16(), configs: readSettings(r)}
		r.Tags(nil)
		all = append(all, t)
	}
	return all
}
