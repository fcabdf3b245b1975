package meta

import (
	"container/heap"
	"slices"
	"strconv"

	"sluice/base"
)

// CheckTopicName returns why Kafka would refuse the name, or nil.
func CheckTopicName(name string) *Rejection {
	switch {
	case name == "":
		return reject(InvalidTopic, "Topic name is invalid: the empty string is not allowed")
	case name == "." || name == "..":
		return reject(InvalidTopic, "Topic name is invalid: '.' or '..' is not allowed")
	case len(name) > MaxTopicName:
		return reject(InvalidTopic, "Topic name is invalid: the length of '%.64s…' is longer than the max allowed length %d", name, MaxTopicName)
	}
	for i := range len(name) {
		c := name[i]
		if !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '.' || c == '_' || c == '-') {
			return reject(InvalidTopic, "Topic name is invalid: '%s' contains one or more characters other than ASCII alphanumerics, '.', '_' and '-'", name)
		}
	}
	return nil
}

func (m *CreateTopics) decide(d *Draft, nowMS int64) (Result, *Rejection) {
	total := 0
	for _, t := range m.Topics {
		total += max(0, int(t.Partitions))
	}
	if total > MaxCommandPartitions {
		return nil, reject(TooLarge, "%d partitions in one request, at most %d are possible", total, MaxCommandPartitions)
	}
	live := d.img.live()
	res := &TopicsCreated{Topics: make([]TopicCreatedResult, len(m.Topics))}
	for i, t := range m.Topics {
		res.Topics[i] = createTopic(d, t, live, m.ValidateOnly, nowMS)
	}
	return res, nil
}

func createTopic(d *Draft, t NewTopic, live []base.NodeID, validateOnly bool, nowMS int64) TopicCreatedResult {
	res := TopicCreatedResult{Name: t.Name}
	if old, ok := d.img.byName.get(t.Name); ok && old.ID == t.ID && !validateOnly {
		res.ID = old.ID // an earlier try
		return res
	}
	if rej := checkNewTopic(d.img, t, live); rej != nil {
		if old, ok := d.img.byName.get(t.Name); ok && rej.Code == TopicExists {
			res.ID = old.ID
		}
		res.Err = rej
		return res
	}
	if validateOnly {
		return res
	}
	if _, taken := d.img.byID.get(idKey(t.ID)); taken || t.ID.IsZero() {
		res.Err = reject(InvalidCommand, "topic %s: id %s is zero or taken", t.Name, t.ID)
		return res
	}
	num := d.img.nextTopic
	d.emit(&topicCreated{Num: num, ID: t.ID, Name: t.Name, Configs: t.Configs, MS: nowMS})
	addPartitions(d, num, 0, d.img.leadersFor(t.Partitions, t.Configs[WALClassConfig], t.Leaders, live))
	res.ID = t.ID
	return res
}

func checkNewTopic(img *Image, t NewTopic, live []base.NodeID) *Rejection {
	if rej := CheckTopicName(t.Name); rej != nil {
		return rej
	}
	if _, ok := img.byName.get(t.Name); ok {
		return reject(TopicExists, "Topic '%s' already exists.", t.Name)
	}
	if key, ok := collisionKey(t.Name); ok {
		if other, ok := img.collisions.get(key); ok {
			return reject(InvalidTopic, "Topic '%s' collides with existing topic: %s", t.Name, other)
		}
	}
	if t.Partitions < 1 || t.Partitions > MaxTopicPartitions {
		return reject(InvalidPartitions, "Number of partitions was set to %d, it must be between 1 and %d.", t.Partitions, MaxTopicPartitions)
	}
	if rej := mapTooLong(t.Configs); rej != nil {
		return rej
	}
	return checkLeaders(t.Leaders, int(t.Partitions), live)
}

// checkLeaders validates the leaders a request names for n new partitions; none named means any live node.
func checkLeaders(leaders []base.NodeID, n int, live []base.NodeID) *Rejection {
	if len(live) == 0 {
		return reject(NoLiveNode, "no broker is registered")
	}
	if len(leaders) == 0 {
		return nil
	}
	if len(leaders) != n {
		return reject(InvalidAssignment, "%d leaders for %d partitions", len(leaders), n)
	}
	for _, id := range leaders {
		if _, ok := slices.BinarySearch(live, id); !ok {
			return reject(InvalidAssignment, "The manual partition assignment includes broker %d, but no such broker is registered.", id)
		}
	}
	return nil
}

// leadersFor gives each of count new partitions to the live node that leads the fewest by then: one that offers the class of WAL that the topic asks for and is
// not draining, or else one that is not draining, or else any. Of equal ones the smallest id is first.
func (img *Image) leadersFor(count int32, class string, named, live []base.NodeID) []base.NodeID {
	if len(named) > 0 {
		return named
	}
	var h leastLed
	for _, fits := range [...]func(*Node) bool{
		func(n *Node) bool { return !n.Draining && n.Offers(class) },
		func(n *Node) bool { return !n.Draining },
		func(*Node) bool { return true },
	} {
		for _, id := range live {
			if n, _ := img.nodes.get(id); fits(n) {
				h = append(h, ledCount{id, img.Led(id)})
			}
		}
		if len(h) > 0 {
			break
		}
	}
	heap.Init(&h)
	leaders := make([]base.NodeID, count)
	for i := range leaders {
		leaders[i] = h[0].id
		h[0].n++
		heap.Fix(&h, 0)
	}
	return leaders
}

type ledCount struct {
	id base.NodeID
	n  int
}

// leastLed is a heap whose top leads the fewest partitions.
type leastLed []ledCount

func (h leastLed) Len() int { return len(h) }

func (h leastLed) Less(i, j int) bool {
	return h[i].n < h[j].n || h[i].n == h[j].n && h[i].id < h[j].id
}

func (h leastLed) Swap(i, j int) { h[i], h[j] = h[j], h[i] }

func (h *leastLed) Push(any) { panic("BUG: meta: nodes do not join while partitions are placed") }

func (h *leastLed) Pop() any { panic("BUG: meta: nodes do not leave while partitions are placed") }

func addPartitions(d *Draft, num uint32, from int32, leaders []base.NodeID) {
	emitSplit(d, leaders, func(chunk []base.NodeID) Record {
		r := &partitionsCreated{Num: num, From: from, FirstStream: d.img.nextStream, Leaders: chunk}
		from += int32(len(chunk))
		return r
	})
}

// find resolves a reference by id or by name.
func (img *Image) find(ref TopicRef) (*Topic, *Rejection) {
	if !ref.ID.IsZero() {
		if t, ok := img.byID.get(idKey(ref.ID)); ok {
			return t, nil
		}
		return nil, reject(UnknownTopicID, "topic id %s is unknown", ref.ID)
	}
	if t, ok := img.byName.get(ref.Name); ok {
		return t, nil
	}
	return nil, reject(UnknownTopic, "topic '%.249s' is unknown", ref.Name)
}

func (m *DeleteTopics) decide(d *Draft, _ int64) (Result, *Rejection) {
	res := &TopicsDeleted{Topics: make([]TopicDeletedResult, len(m.Topics))}
	for i, ref := range m.Topics {
		t, rej := d.img.find(ref)
		if rej == nil {
			ref = TopicRef{t.ID, t.Name}
			d.emit(&topicDeleted{Num: t.num})
		}
		res.Topics[i] = TopicDeletedResult{Topic: ref, Err: rej}
	}
	return res, nil
}

func (m *CreatePartitions) decide(d *Draft, _ int64) (Result, *Rejection) {
	live, total := d.img.live(), 0
	return each(m.Topics, func(t MorePartitions) *Rejection {
		old, rej := d.img.find(t.Topic)
		if rej != nil {
			return rej
		}
		more := t.Count - old.Partitions
		switch {
		case t.Count <= old.Partitions:
			return reject(InvalidPartitions, "The topic %s currently has %d partition(s); %d would not be an increase.", old.Name, old.Partitions, t.Count)
		case t.Count > MaxTopicPartitions || total+int(more) > MaxCommandPartitions:
			return reject(InvalidPartitions, "%d partitions of topic %s are more than is possible (%d)", t.Count, old.Name, MaxTopicPartitions)
		}
		if rej := checkLeaders(t.Leaders, int(more), live); rej != nil || m.ValidateOnly {
			return rej
		}
		total += int(more)
		addPartitions(d, old.num, old.Partitions, d.img.leadersFor(more, old.Configs[WALClassConfig], t.Leaders, live))
		return nil
	}), nil
}

func (m *AlterConfigs) decide(d *Draft, _ int64) (Result, *Rejection) {
	return each(m.Changes, func(ch ConfigChange) *Rejection {
		if rej := mapTooLong(ch.Configs); rej != nil {
			return rej
		}
		if ch.Kind == TopicConfig {
			return alterTopic(d, ch, m.ValidateOnly)
		}
		return alterResource(d, ch, m.ValidateOnly)
	}), nil
}

func alterTopic(d *Draft, ch ConfigChange, validateOnly bool) *Rejection {
	t, rej := d.img.find(TopicRef{Name: ch.Name})
	if rej != nil {
		return rej
	}
	if ch.Since != 0 && t.ConfigsPos > ch.Since {
		return reject(Conflict, "the configurations of topic %s have changed meanwhile", t.Name)
	}
	if !validateOnly {
		d.emit(&topicConfigsSet{Num: t.num, Configs: ch.Configs})
	}
	return nil
}

func alterResource(d *Draft, ch ConfigChange, validateOnly bool) *Rejection {
	if rej := tooLong(ch.Name); rej != nil {
		return rej
	}
	if ch.Kind > lastConfigKind {
		return reject(InvalidCommand, "configurations of an unknown kind %d", ch.Kind)
	}
	if ch.Kind == BrokerConfig && ch.Name != "" {
		id, err := strconv.ParseInt(ch.Name, 10, 32)
		if err != nil {
			return reject(InvalidCommand, "broker '%.32s' is not a number", ch.Name)
		}
		if _, ok := d.img.nodes.get(base.NodeID(id)); !ok {
			return reject(UnknownNode, "broker %d is not registered", id)
		}
	}
	changed := base.MetaPos(0)
	if r, ok := d.img.configs.get(configKey(ch.Kind, ch.Name)); ok {
		changed = r.Pos
	} else if ch.Since != 0 {
		changed = d.img.goneConfig // it may be one of those that were removed: no finer position is kept
	}
	if ch.Since != 0 && changed > ch.Since {
		return reject(Conflict, "the configurations of '%s' have changed meanwhile", ch.Name)
	}
	if !validateOnly {
		d.emit(&configsSet{Kind: ch.Kind, Name: ch.Name, Configs: ch.Configs})
	}
	return nil
}
