package group

import (
	"encoding/binary"
	"hash/fnv"
	"maps"
	"regexp"
	"slices"
	"time"

	"sluice/base"
)

// regexIntervalMin is how long an expression is not matched anew because topics have changed.
const regexIntervalMin = 10 * time.Second

// regexMatch says when an expression was last matched, and against which topics.
type regexMatch struct {
	version int64
	at      time.Time
}

// resolve matches the expressions that members subscribe to against the topics: those that are new at once, the others when topics
// have changed, not too often. What nobody subscribes to any more goes.
func (ch *change) resolve(now time.Time, changed bool) {
	cg, view := ch.g.consumers, ch.view
	if changed {
		ch.dropRegexes()
	}
	for _, regex := range cg.subscribedRegexes() {
		old, ok := cg.regexes[regex]
		last := cg.matched[regex]
		if ok && (last.version == view.Version() || now.Sub(last.at) < regexIntervalMin) {
			continue
		}
		v := resolvedRegex{topics: matching(view, regex), version: view.Version(), atMS: now.UnixMilli()}
		cg.matched[regex] = regexMatch{view.Version(), now}
		if ok && slices.Equal(old.topics, v.topics) {
			continue // not worth a record
		}
		if ch.add(regexRecord(ch.g.id, regex, v)) {
			cg.seen = 0
		}
	}
}

// dropRegexes removes expressions that nobody subscribes to.
func (ch *change) dropRegexes() {
	cg := ch.g.consumers
	used := cg.subscribedRegexes()
	for _, regex := range slices.Sorted(maps.Keys(cg.regexes)) {
		if _, ok := slices.BinarySearch(used, regex); !ok {
			ch.add(consumerKey{keyRegex, ch.g.id, regex}.tombstone())
			delete(cg.matched, regex)
		}
	}
}

// subscribedRegexes returns the expressions members subscribe to, ascending.
func (cg *consumerGroup) subscribedRegexes() []string {
	var all []string
	for _, c := range cg.members {
		if c.regex != "" {
			all = append(all, c.regex)
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// matching returns the topics whose whole name an expression matches, internal ones among them, as in Kafka.
func matching(view Topics, regex string) []string {
	re, err := regexp.Compile(`^(?:` + regex + `)$`)
	if err != nil {
		return nil // of a log written by something that understood it
	}
	var names []string
	for _, name := range view.Names() {
		if re.MatchString(name) {
			names = append(names, name)
		}
	}
	return names
}

// topicsHash is a fingerprint of all topics the group subscribes to that exist: names, ids, numbers of partitions. 0 stands for none.
func (cg *consumerGroup) topicsHash(view Topics) int64 {
	names := slices.Collect(maps.Keys(cg.names))
	for _, r := range cg.regexes {
		names = append(names, r.topics...)
	}
	slices.Sort(names)
	h, any := fnv.New64a(), false
	for _, name := range slices.Compact(names) {
		if id, n, ok := view.ByName(name); ok {
			any = true
			h.Write(binary.BigEndian.AppendUint32(append(append([]byte(name), 0), id[:]...), uint32(n)))
		}
	}
	if !any {
		return 0
	}
	return int64(h.Sum64())
}

func partitionsOf(view Topics, topic base.UUID) int32 {
	if name, ok := view.ByID(topic); ok {
		_, n, _ := view.ByName(name)
		return n
	}
	return 0
}
