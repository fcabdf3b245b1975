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
	version int64     // of the topics
	looked  time.Time // when it was last matched
	decided time.Time // when what it matched was last held against what a member may describe
	all     uint64    // fingerprint of all topics that it matched
}

// resolve matches the expression that the member of this heartbeat subscribes to against the topics that it may describe, and reports whether these are
// other ones than before. What nobody subscribes to any more goes. It is matched if
//
//   - nobody has done so, or no one since this coordinator has the group: by the next heartbeat after the one that brought it, as in Kafka, where this is done
//     in the background;
//   - other topics match than did, described or not: not for a while after the last time;
//   - the last time is long ago: ACLs may have changed.
//
// Another member that may describe other topics is no reason: members of one expression and different rights would take topics from one another with every
// heartbeat. Of these the one counts that comes first when there is a reason.
func (ch *change) resolve(now time.Time, old, c *consumer, describes func(topic string) bool) (changed bool) {
	cg, view := ch.g.consumers, ch.view
	brings := old == nil || old.regex != c.regex
	if brings {
		ch.dropRegexes()
	}
	resolved, ok := cg.regexes[c.regex]
	if c.regex == "" || brings && !ok {
		return false
	}
	last, known := cg.matched[c.regex]
	again := ok && known
	late := now.Sub(last.decided) >= ch.m.regexRefresh
	if again && (now.Sub(last.looked) < regexIntervalMin || last.version == view.Version() && !late) {
		return false
	}
	all := matching(view, c.regex)
	match := regexMatch{view.Version(), now, now, fingerprint(all)}
	if again && match.all == last.all && !late {
		match.decided = last.decided
		cg.matched[c.regex] = match
		return false
	}
	cg.matched[c.regex] = match
	v := resolvedRegex{topics: all, version: match.version, atMS: now.UnixMilli()}
	if describes != nil {
		v.topics = slices.DeleteFunc(all, func(topic string) bool { return !describes(topic) })
	}
	if ok && slices.Equal(resolved.topics, v.topics) {
		return false // not worth a record
	}
	ch.add(regexRecord(ch.g.id, c.regex, v))
	return !slices.Equal(resolved.topics, v.topics)
}

func fingerprint(names []string) uint64 {
	h := fnv.New64a()
	for _, name := range names {
		h.Write(append([]byte(name), 0))
	}
	return h.Sum64()
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
