package suite

func groupCases() (all []Case) {
	for _, b := range []string{"range", "roundrobin", "sticky", "cooperative"} {
		all = append(all,
			Case{"groups-classic/two-members-" + b, func(t *T) { t.twoMembers(Group{Balancer: b}) }},
			Case{"groups-classic/one-leaves-" + b, func(t *T) { t.oneLeaves(Group{Balancer: b}) }})
	}
	for _, b := range []string{"uniform", "range"} {
		all = append(all,
			Case{"groups-consumer/two-members-" + b, func(t *T) { t.twoMembers(Group{Balancer: b, KIP848: true}) }},
			Case{"groups-consumer/one-leaves-" + b, func(t *T) { t.oneLeaves(Group{Balancer: b, KIP848: true}) }})
	}
	for prefix, kip848 := range map[string]bool{"groups-classic/": false, "groups-consumer/": true} {
		g := Group{KIP848: kip848}
		all = append(all,
			Case{prefix + "one-member", func(t *T) { t.oneMember(g) }},
			Case{prefix + "goes-on-after-commit", func(t *T) { t.goesOn(g) }},
			Case{prefix + "uncommitted-comes-again", func(t *T) { t.comesAgain(g) }},
			Case{prefix + "auto-commit", func(t *T) { t.autoCommits(g) }},
			Case{prefix + "groups-are-apart", func(t *T) { t.apart(g) }},
			Case{prefix + "several-topics", func(t *T) { t.severalTopics(g) }},
			Case{prefix + "more-members-than-partitions", func(t *T) { t.idleMember(g) }},
			Case{prefix + "regex", func(t *T) { t.regex(g) }},
			Case{prefix + "read-committed", func(t *T) { t.groupReadsCommitted(g) }},
			Case{prefix + "described", func(t *T) { t.described(g) }},
		)
	}
	return all
}

// group fills in the name and the topics.
func (t *T) group(g Group, topics ...string) Group {
	g.Name, g.Topics = t.ID("g"), topics
	if g.Balancer == "" && !g.KIP848 {
		g.Balancer = "range"
	}
	return g
}

func (t *T) oneMember(g Group) {
	topic := t.topic("", 4)
	for p := range int32(4) {
		t.fill(topic, p, int(p)*10, 10)
	}
	m := t.join(t.group(g, topic))
	t.Equal("values", sorted(t.drain(40, m)), sorted(count(0, 40)))
	t.Equal("partitions", m.Assigned(), 4)
}

func (t *T) twoMembers(g Group) {
	topic := t.topic("", 4)
	g = t.group(g, topic)
	ms := []Member{t.join(g), t.join(g)}
	t.settle("each has two partitions", shares(ms, 2, 2), ms...)
	for p := range int32(4) {
		t.fill(topic, p, int(p)*10, 10)
	}
	t.Equal("values", sorted(t.drain(40, ms...)), sorted(count(0, 40)))
}

func (t *T) oneLeaves(g Group) {
	topic := t.topic("", 4)
	g = t.group(g, topic)
	ms := []Member{t.join(g), t.join(g)}
	t.settle("each has two partitions", shares(ms, 2, 2), ms...)
	t.Must("leave", ms[1].Leave())
	t.settle("the one that stays has all partitions", shares(ms[:1], 4), ms[0])
	for p := range int32(4) {
		t.fill(topic, p, int(p)*10, 10)
	}
	t.Equal("values", sorted(t.drain(40, ms[0])), sorted(count(0, 40)))
}

func (t *T) goesOn(g Group) {
	topic := t.topic("", 1)
	g = t.group(g, topic)
	t.fill(topic, 0, 0, 10)
	first := t.join(g)
	t.Equal("values", t.drain(10, first), count(0, 10))
	t.Must("commit", first.Commit(t))
	t.Must("leave", first.Leave())
	t.fill(topic, 0, 10, 5)
	t.Equal("values of the next member", t.drain(5, t.join(g)), count(10, 5))
}

func (t *T) comesAgain(g Group) {
	topic := t.topic("", 1)
	g = t.group(g, topic)
	t.fill(topic, 0, 0, 10)
	first := t.join(g)
	t.Equal("values", t.drain(10, first), count(0, 10))
	t.Must("leave", first.Leave())
	t.Equal("values of the next member", t.drain(10, t.join(g)), count(0, 10))
}

func (t *T) autoCommits(g Group) {
	topic := t.topic("", 1)
	g = t.group(g, topic)
	g.AutoCommit = true
	t.fill(topic, 0, 0, 10)
	m := t.join(g)
	t.Equal("values", t.drain(10, m), count(0, 10))
	t.Until("the offset is committed", func() bool {
		t.poll(m)
		got, err := t.Client.FetchOffsets(t, g.Name, topic, 0)
		t.Must("fetch offsets", err)
		return got[0].Offset == 10
	})
}

func (t *T) apart(g Group) {
	topic := t.topic("", 1)
	t.fill(topic, 0, 0, 10)
	a, b := t.group(g, topic), t.group(g, topic)
	b.Name = t.ID("other")
	t.Equal("values of one", t.drain(10, t.join(a)), count(0, 10))
	t.Equal("values of the other", t.drain(10, t.join(b)), count(0, 10))
}

func (t *T) severalTopics(g Group) {
	a, b := t.topic("a", 2), t.topic("b", 1)
	m := t.join(t.group(g, a, b))
	t.settle("it has all partitions", shares([]Member{m}, 3), m)
	t.fill(a, 0, 0, 5)
	t.fill(a, 1, 5, 5)
	t.fill(b, 0, 10, 5)
	t.Equal("values", sorted(t.drain(15, m)), sorted(count(0, 15)))
}

func (t *T) idleMember(g Group) {
	topic := t.topic("", 1)
	g = t.group(g, topic)
	ms := []Member{t.join(g), t.join(g)}
	t.settle("one has the partition", shares(ms, 0, 1), ms...)
	t.fill(topic, 0, 0, 5)
	t.Equal("values", t.drain(5, ms...), count(0, 5))
}

func (t *T) regex(g Group) {
	a, b, c := t.topic("yes-1", 1), t.topic("yes-2", 1), t.topic("no", 1)
	t.fill(a, 0, 0, 5)
	t.fill(b, 0, 5, 5)
	t.fill(c, 0, 100, 5)
	g = t.group(g, "^"+t.ID("")+"yes.*")
	g.Regex = true
	m := t.join(g)
	t.Equal("values", sorted(t.drain(10, m)), sorted(count(0, 10)))
	t.Equal("partitions", m.Assigned(), 2)
}

func (t *T) groupReadsCommitted(g Group) {
	topic := t.topic("", 1)
	x := t.txn("x")
	t.in(x, false, numbered(topic, 0, 100, 5)...)
	t.in(x, true, numbered(topic, 0, 0, 5)...)
	g = t.group(g, topic)
	g.Committed = true
	t.Equal("values", t.drain(5, t.join(g)), count(0, 5))
}

func (t *T) described(g Group) {
	topic := t.topic("", 2)
	g = t.group(g, topic)
	ms := []Member{t.join(g), t.join(g)}
	t.settle("each has a partition", shares(ms, 1, 1), ms...)
	t.Until("it is stable", func() bool {
		for _, m := range ms {
			t.poll(m)
		}
		got, err := t.Client.DescribeGroup(t, g.Name)
		t.Must("describe group", err)
		return got.State == "Stable" && got.Members == 2
	})
	if !g.KIP848 {
		got, err := t.Client.DescribeGroup(t, g.Name)
		t.Must("describe group", err)
		t.Equal("type of protocol", got.ProtocolType, "consumer")
		t.Equal("protocol", got.Protocol, "range")
	}
}

// memberCases: static members.
func memberCases() []Case {
	return []Case{
		{"static-membership/comes-back", func(t *T) {
			topic := t.topic("", 2)
			g := t.group(Group{}, topic)
			g.Instance = "one"
			first := t.join(g)
			t.settle("it has both partitions", shares([]Member{first}, 2), first)
			t.Must("close", first.Leave())
			got, err := t.Client.DescribeGroup(t, g.Name)
			t.Must("describe group", err)
			t.Equal("static members after the close", got.Instances, []string{"one"})
			again := t.join(g)
			t.settle("it has both partitions again", shares([]Member{again}, 2), again)
			got, err = t.Client.DescribeGroup(t, g.Name)
			t.Must("describe group", err)
			t.Equal("static members", got.Instances, []string{"one"})
		}},
		{"static-membership/two-instances", func(t *T) {
			topic := t.topic("", 2)
			g := t.group(Group{}, topic)
			var ms []Member
			for _, instance := range []string{"one", "two"} {
				g.Instance = instance
				ms = append(ms, t.join(g))
			}
			t.settle("each has a partition", shares(ms, 1, 1), ms...)
			got, err := t.Client.DescribeGroup(t, g.Name)
			t.Must("describe group", err)
			t.Equal("static members", sorted(got.Instances), []string{"one", "two"})
		}},
		{"static-membership/removed-by-admin", func(t *T) {
			topic := t.topic("", 2)
			g := t.group(Group{}, topic)
			g.Instance = "one"
			m := t.join(g)
			t.settle("it has both partitions", shares([]Member{m}, 2), m)
			t.Must("close", m.Leave())
			t.Must("remove member", t.Client.RemoveMember(t, g.Name, "one"))
			got, err := t.Client.DescribeGroup(t, g.Name)
			t.Must("describe group", err)
			t.Equal("state", got.State, "Empty")
		}},
		{"static-membership/unknown-instance", func(t *T) {
			topic := t.topic("", 1)
			m := t.join(t.group(Group{}, topic))
			t.settle("it has the partition", shares([]Member{m}, 1), m)
			t.Code("remove member", t.Client.RemoveMember(t, t.ID("g"), "nobody"), 25)
		}},
	}
}
