package suite

import (
	"time"
)

type duration = time.Duration

func now() time.Time { return time.Now().Truncate(time.Millisecond) }

func adminOffsetCases() []Case {
	return []Case{
		{"admin-offsets/earliest-and-latest", func(t *T) {
			topic := t.topic("", 2)
			t.Equal("of an empty partition", t.offset(topic, 0, Latest, false), int64(0))
			t.fill(topic, 0, 0, 10)
			t.Equal("earliest", t.offset(topic, 0, Earliest, false), int64(0))
			t.Equal("latest", t.offset(topic, 0, Latest, false), int64(10))
			t.Equal("latest of the other", t.offset(topic, 1, Latest, false), int64(0))
		}},
		{"admin-offsets/delete-records", func(t *T) {
			topic := t.topic("", 1)
			t.fill(topic, 0, 0, 10)
			start, err := t.Client.DeleteRecords(t, topic, 0, 4)
			t.Must("delete records", err)
			t.Equal("start", start, int64(4))
			t.Equal("earliest", t.offset(topic, 0, Earliest, false), int64(4))
			t.Equal("latest", t.offset(topic, 0, Latest, false), int64(10))
		}},
		{"admin-offsets/delete-all-records", func(t *T) {
			topic := t.topic("", 1)
			t.fill(topic, 0, 0, 10)
			start, err := t.Client.DeleteRecords(t, topic, 0, -1)
			t.Must("delete records", err)
			t.Equal("start", start, int64(10))
			t.fill(topic, 0, 10, 3)
			t.Equal("first offset", t.consume(topic, 0, Earliest, 3)[0].Offset, int64(10))
		}},
		{"admin-offsets/delete-records-out-of-range", func(t *T) {
			topic := t.topic("", 1)
			t.fill(topic, 0, 0, 10)
			_, err := t.Client.DeleteRecords(t, topic, 0, 50)
			t.Code("delete records", err, 1)
		}},
		{"admin-offsets/delete-records-of-compacted", func(t *T) {
			topic := t.topic("", 1, "cleanup.policy=compact")
			t.produce(plain, Record{Topic: topic, Key: []byte("k"), Value: []byte("v")})
			_, err := t.Client.DeleteRecords(t, topic, 0, 1)
			t.Code("delete records", err, 44)
		}},
		{"admin-offsets/of-an-unknown-topic", func(t *T) {
			_, err := t.Client.ListOffset(t, t.ID("nowhere"), 0, Latest, false)
			t.Code("list offset", err, 3)
		}},
	}
}

func adminCases() []Case {
	return append(clusterAdminCases(), []Case{
		{"admin-acls/describe", func(t *T) { t.Code("describe", t.Client.DescribeACLs(t), 54) }},
		{"admin-acls/create", func(t *T) { t.Code("create", t.Client.CreateACL(t), 54) }},
		{"admin-acls/delete", func(t *T) { t.Code("delete", t.Client.DeleteACLs(t), 54) }},
		{"admin-quotas/set-and-describe", func(t *T) {
			user := t.ID("u")
			t.Must("set", t.Client.AlterQuota(t, user, "producer_byte_rate", 100_000, false))
			t.Must("set", t.Client.AlterQuota(t, user, "request_percentage", 12.5, false))
			t.awaitQuotas(user, map[string]float64{"producer_byte_rate": 100_000, "request_percentage": 12.5})
		}},
		{"admin-quotas/remove", func(t *T) {
			user := t.ID("u")
			t.Must("set", t.Client.AlterQuota(t, user, "producer_byte_rate", 100_000, false))
			t.Must("set", t.Client.AlterQuota(t, user, "consumer_byte_rate", 200_000, false))
			t.Must("remove", t.Client.AlterQuota(t, user, "producer_byte_rate", 0, true))
			t.awaitQuotas(user, map[string]float64{"consumer_byte_rate": 200_000})
		}},
		{"admin-quotas/unknown-key", func(t *T) { t.Code("set", t.Client.AlterQuota(t, t.ID("u"), "no_such", 1, false), 42) }},
		{"admin-misc/scram", func(t *T) {
			user := t.ID("u")
			t.Must("set", t.Client.AlterScram(t, user, "secret", false))
			t.Until("it is described", func() bool {
				n, err := t.Client.DescribeScram(t, user)
				return err == nil && n == 8192
			})
			t.Must("remove", t.Client.AlterScram(t, user, "", true))
			t.Until("it is gone", func() bool {
				_, err := t.Client.DescribeScram(t, user)
				code, _ := t.Client.Code(orNothing(err))
				return err != nil && code == 91
			})
		}},
		{"admin-misc/scram-remove-unknown", func(t *T) { t.Code("remove", t.Client.AlterScram(t, t.ID("u"), "", true), 91) }},
	}...)
}

type nothing struct{}

func (nothing) Error() string { return "nothing" }

func orNothing(err error) error {
	if err == nil {
		return nothing{}
	}
	return err
}

func (t *T) awaitQuotas(user string, want map[string]float64) {
	t.Until("the quotas are as they were set", func() bool {
		got, err := t.Client.DescribeQuotas(t, user)
		t.Must("describe quotas", err)
		if len(got) != len(want) {
			return false
		}
		for k, v := range want {
			if got[k] != v {
				return false
			}
		}
		return true
	})
}

func clusterAdminCases() []Case {
	return []Case{
		{"admin-misc/log-dirs", func(t *T) {
			topic := t.topic("", 1)
			t.produce(plain, Record{Topic: topic, Value: make([]byte, 50_000)})
			t.Until("the size covers the record", func() bool {
				dirs, size, err := t.Client.LogDirs(t, topic)
				t.Must("log dirs", err)
				return dirs == 1 && size >= 50_000
			})
		}},
		{"admin-misc/reassign-to-the-same", func(t *T) {
			topic := t.topic("", 1)
			cluster, err := t.Client.Cluster(t)
			t.Must("describe cluster", err)
			t.Must("reassign", t.Client.Reassign(t, topic, 0, cluster.Brokers[:1]))
			n, err := t.Client.Reassigning(t, topic)
			t.Must("list reassignments", err)
			t.Equal("reassignments", n, 0)
		}},
		{"admin-misc/reassign-to-nobody", func(t *T) { t.Code("reassign", t.Client.Reassign(t, t.topic("", 1), 0, []int32{4711}), 39) }},
		{"admin-misc/no-reassignment-to-cancel", func(t *T) { t.Code("cancel", t.Client.Reassign(t, t.topic("", 1), 0, nil), 85) }},
		{"admin-misc/reassign-unknown-topic", func(t *T) { t.Code("reassign", t.Client.Reassign(t, t.ID("nowhere"), 0, []int32{1}), 3) }},
		{"admin-misc/elect-leader-not-needed", func(t *T) { t.Code("elect", t.Client.ElectLeader(t, t.topic("", 1), 0), 84) }},
		{"admin-misc/elect-leader-unknown-topic", func(t *T) { t.Code("elect", t.Client.ElectLeader(t, t.ID("nowhere"), 0), 3) }},
		{"admin-misc/producers-of-unknown-topic", func(t *T) {
			_, err := t.Client.Producers(t, t.ID("nowhere"), 0)
			t.Code("describe producers", err, 3)
		}},
		{"admin-misc/no-producers", func(t *T) {
			got, err := t.Client.Producers(t, t.topic("", 1), 0)
			t.Must("describe producers", err)
			t.Equal("producers", len(got), 0)
		}},
		{"admin-misc/features", func(t *T) {
			got, err := t.Client.Features(t)
			t.Must("features", err)
			t.Equal("transaction.version", got["transaction.version"], 2)
			t.Equal("group.version", got["group.version"], 1)
			t.True("a level of metadata.version", got["metadata.version"] > 20)
		}},
	}
}

func errorCases() []Case {
	return []Case{
		{"errors/message-too-large", func(t *T) {
			topic := t.topic("", 1, "max.message.bytes=1000")
			_, err := t.Client.Produce(t, plain, Record{Topic: topic, Value: make([]byte, 3000)})
			t.Code("produce", err, 10)
			t.fill(topic, 0, 0, 1)
			t.Equal("offset of the next one", t.consume(topic, 0, Earliest, 1)[0].Offset, int64(0))
		}},
		{"errors/offset-out-of-range", func(t *T) {
			topic := t.topic("", 1)
			t.fill(topic, 0, 0, 5)
			_, err := t.Client.Consume(t, Fetch{}, topic, 0, 100, 1)
			t.Code("consume", err, 1)
		}},
		{"errors/offset-before-the-start", func(t *T) {
			topic := t.topic("", 1)
			t.fill(topic, 0, 0, 10)
			_, err := t.Client.DeleteRecords(t, topic, 0, 5)
			t.Must("delete records", err)
			_, err = t.Client.Consume(t, Fetch{}, topic, 0, 2, 1)
			t.Code("consume", err, 1)
		}},
		{"errors/compacted-topic-wants-keys", func(t *T) {
			topic := t.topic("", 1, "cleanup.policy=compact")
			_, err := t.Client.Produce(t, plain, Record{Topic: topic, Value: []byte("v")})
			t.Code("produce", err, 87)
		}},
		{"errors/min-insync-above-replicas", func(t *T) { // the number of replicas bounds it (KIP-966)
			topic := t.topic("", 1, "min.insync.replicas=2")
			t.fill(topic, 0, 0, 3)
			t.Equal("values", values(t.consume(topic, 0, Earliest, 3)), count(0, 3))
		}},
		{"errors/unknown-topic-metadata", func(t *T) {
			_, err := t.Client.Partitions(t, t.ID("nowhere"))
			t.Code("describe topic", err, 3)
		}},
	}
}

func timeCases() []Case {
	at := func(s int) time.Time { return now().Add(-time.Hour).Add(time.Duration(s) * time.Second) }
	return []Case{
		{"timestamps/create-time", func(t *T) {
			topic, want := t.topic("", 1), at(0)
			t.produce(plain, Record{Topic: topic, Value: []byte("v"), Time: want})
			t.Equal("time", t.consume(topic, 0, Earliest, 1)[0].Time.UnixMilli(), want.UnixMilli())
		}},
		{"timestamps/log-append-time", func(t *T) {
			topic, before := t.topic("", 1, "message.timestamp.type=LogAppendTime"), now()
			t.produce(plain, Record{Topic: topic, Value: []byte("v"), Time: at(0)})
			got := t.consume(topic, 0, Earliest, 1)[0].Time
			t.True("the time of the broker", !got.Before(before) && !got.After(time.Now().Add(time.Second)))
		}},
		{"timestamps/lookup", func(t *T) {
			topic, base := t.topic("", 1), at(0)
			var rs []Record
			for i, s := range []int{0, 10, 20, 15, 30} {
				r := numbered(topic, 0, i, 1)[0]
				r.Time = base.Add(time.Duration(s) * time.Second)
				rs = append(rs, r)
			}
			t.produce(plain, rs...)
			for s, want := range map[int]int64{0: 0, 1: 1, 10: 1, 12: 2, 20: 2, 25: 4, 30: 4, -100: 0} {
				t.Equal("offset of a time", t.offset(topic, 0, base.Add(time.Duration(s)*time.Second).UnixMilli(), false), want)
			}
		}},
		{"timestamps/lookup-after-the-end", func(t *T) {
			topic := t.topic("", 1)
			t.fill(topic, 0, 0, 3)
			o := t.offset(topic, 0, now().Add(time.Hour).UnixMilli(), false)
			t.True("none, or the end", o == -1 || o == 3) // some clients turn none into the end
		}},
		{"timestamps/max", func(t *T) {
			topic, base := t.topic("", 1), at(0)
			for i, s := range []int{0, 30, 20} {
				r := numbered(topic, 0, i, 1)[0]
				r.Time = base.Add(time.Duration(s) * time.Second)
				t.produce(plain, r)
			}
			t.Equal("offset", t.offset(topic, 0, MaxTimestamp, false), int64(1))
		}},
		{"timestamps/too-late", func(t *T) {
			topic := t.topic("", 1, "message.timestamp.after.max.ms=1000")
			_, err := t.Client.Produce(t, plain, Record{Topic: topic, Value: []byte("v"), Time: now().Add(time.Hour)})
			t.Code("produce", err, 32)
		}},
		{"timestamps/too-early", func(t *T) {
			topic := t.topic("", 1, "message.timestamp.before.max.ms=1000")
			_, err := t.Client.Produce(t, plain, Record{Topic: topic, Value: []byte("v"), Time: at(0)})
			t.Code("produce", err, 32)
		}},
		{"timestamps/compressed", func(t *T) {
			topic, base := t.topic("", 1), at(0)
			rs := numbered(topic, 0, 0, 5)
			for i := range rs {
				rs[i].Time = base.Add(time.Duration(i) * time.Second)
			}
			t.produce(Produce{Acks: -1, Codec: "gzip"}, rs...)
			t.Equal("offset", t.offset(topic, 0, base.Add(3*time.Second).UnixMilli(), false), int64(3))
			for i, r := range t.consume(topic, 0, Earliest, 5) {
				t.Equal("time", r.Time.UnixMilli(), rs[i].Time.UnixMilli())
			}
		}},
	}
}

func metadataCases() []Case {
	return []Case{
		{"metadata/cluster", func(t *T) {
			got, err := t.Client.Cluster(t)
			t.Must("describe cluster", err)
			t.Equal("brokers", len(got.Brokers), 1)
			t.Equal("controller", got.Controller, got.Brokers[0])
			if got.ID == "" {
				t.Skip("the client does not tell the cluster's id")
			}
			again, err := t.Client.Cluster(t)
			t.Must("describe cluster", err)
			t.Equal("id", again.ID, got.ID)
		}},
		{"metadata/topic-id", func(t *T) {
			a, err := t.Client.TopicID(t, t.topic("a", 1))
			t.Must("topic id", err)
			b, err := t.Client.TopicID(t, t.topic("b", 1))
			t.Must("topic id", err)
			t.True("two ids", a != b && a != "" && b != "")
		}},
		{"metadata/many-partitions", func(t *T) {
			ps, err := t.Client.Partitions(t, t.topic("", 50))
			t.Must("describe topic", err)
			t.Equal("partitions", len(ps), 50)
		}},
		{"metadata/default-partitions", func(t *T) {
			t.Must("create", t.Client.CreateTopic(t, Topic{Name: t.ID(""), Partitions: -1, Replicas: -1}))
			t.awaitPartitions(t.ID(""), 1)
		}},
	}
}
