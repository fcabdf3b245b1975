package group

import (
	"slices"

	"sluice/base"
)

// fixedTopics is a view of topics that were set down.
type fixedTopics struct {
	version int64
	topics  map[string]fixedTopic
}

type fixedTopic struct {
	id         base.UUID
	partitions int32
}

func (f fixedTopics) ByName(name string) (base.UUID, int32, bool) {
	t, ok := f.topics[name]
	return t.id, t.partitions, ok
}

func (f fixedTopics) ByID(id base.UUID) (string, bool) {
	for name, t := range f.topics {
		if t.id == id {
			return name, true
		}
	}
	return "", false
}

func (f fixedTopics) Names() []string {
	var names []string
	for name := range f.topics {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

func (f fixedTopics) Version() int64 { return f.version }

// with returns a view in which one topic is another; one of no partitions is gone.
func (f fixedTopics) with(name string, t fixedTopic) fixedTopics {
	next := fixedTopics{f.version + 1, map[string]fixedTopic{}}
	for n, t := range f.topics {
		next.topics[n] = t
	}
	if next.topics[name] = t; t.partitions == 0 {
		delete(next.topics, name)
	}
	return next
}
