package handle

// Offsets are committed for partitions that are there. What is not is answered before anybody looks at the group, as in Kafka, and stands in front of the rest.

import (
	"slices"

	"sluice/base"
	"sluice/cluster/meta"
	"sluice/wire/kerr"
)

// absent are partitions of a topic that are not there, maybe none of a topic that is not there.
type absent struct {
	name       string
	id         base.UUID
	code       kerr.Code
	partitions []int32
}

// sift leaves the partitions that are there, and returns the others by topic. Topics without partitions are dropped where they are known.
func sift[T, P any](topics *[]T, find func(*T) (absent, meta.Topic), parts func(*T) *[]P, index func(*P) int32) (rest []absent) {
	kept := (*topics)[:0:0]
	for i := range *topics {
		a, topic := find(&(*topics)[i])
		t := (*topics)[i]
		all := *parts(&t)
		*parts(&t) = nil
		for j := range all {
			if n := index(&all[j]); n >= 0 && n < topic.Partitions {
				*parts(&t) = append(*parts(&t), all[j])
			} else {
				a.partitions = append(a.partitions, n)
			}
		}
		if len(*parts(&t)) > 0 {
			kept = append(kept, t)
		}
		if len(a.partitions) == 0 && topic.Partitions > 0 {
			continue
		}
		if at := slices.IndexFunc(rest, func(o absent) bool { return o.name == a.name && o.id == a.id }); at >= 0 {
			rest[at].partitions = append(rest[at].partitions, a.partitions...)
		} else {
			rest = append(rest, a)
		}
	}
	*topics = kept
	return rest
}

// inFront puts what is absent in front of an answer. A topic that is in both stands where it is first.
func inFront[T, P any](rest []absent, answered *[]T, topic func(absent) T, same func(a, b *T) bool, parts func(*T) *[]P, part func(index int32, code kerr.Code) P) {
	if len(rest) == 0 {
		return
	}
	var all []T
	for _, a := range rest {
		t := topic(a)
		*parts(&t) = []P{}
		for _, index := range a.partitions {
			*parts(&t) = append(*parts(&t), part(index, a.code))
		}
		all = append(all, t)
	}
	for i := range *answered {
		t := (*answered)[i]
		if at := slices.IndexFunc(all, func(o T) bool { return same(&o, &t) }); at >= 0 {
			*parts(&all[at]) = append(*parts(&all[at]), *parts(&t)...)
		} else {
			all = append(all, t)
		}
	}
	*answered = all
}

// byName looks for a topic that is called by its name.
func byName(img *meta.Image, name string) (absent, meta.Topic) {
	topic, _ := img.TopicByName(name)
	return absent{name: name, code: kerr.UnknownTopicOrPartition}, topic
}
