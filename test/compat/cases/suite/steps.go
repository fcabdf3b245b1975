package suite

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
)

// topic makes a topic with configurations NAME=VALUE and waits until its leaders serve.
func (t *T) topic(suffix string, partitions int32, configs ...string) string {
	name := t.ID(suffix)
	t.Must("create topic", t.Client.CreateTopic(t, Topic{Name: name, Partitions: partitions, Replicas: 1, Configs: pairs(configs)}))
	t.awaitPartitions(name, int(partitions))
	for p := range partitions {
		t.Until("its leader serves", func() bool {
			_, err := t.Client.ListOffset(t, name, p, Latest, false)
			return err == nil || errors.Is(err, ErrLacks)
		})
	}
	return name
}

// Topic is topic for the cases of one client.
func (t *T) Topic(suffix string, partitions int32, configs ...string) string {
	return t.topic(suffix, partitions, configs...)
}

func (t *T) awaitPartitions(name string, count int) {
	t.Until(fmt.Sprint(name, " has ", count, " partitions"), func() bool {
		ps, err := t.Client.Partitions(t, name)
		if errors.Is(err, ErrLacks) {
			return true
		}
		led := 0
		for _, p := range ps {
			if p.Leader >= 0 {
				led++
			}
		}
		return err == nil && led == count
	})
}

func pairs(configs []string) map[string]string {
	all := map[string]string{}
	for _, c := range configs {
		k, v, _ := bytes.Cut([]byte(c), []byte("="))
		all[string(k)] = string(v)
	}
	return all
}

// numbered returns records with the values from, from+1 and so on.
func numbered(topic string, partition int32, from, count int) (all []Record) {
	for i := range count {
		all = append(all, Record{Topic: topic, Partition: partition, Value: []byte(strconv.Itoa(from + i))})
	}
	return all
}

var plain = Produce{Acks: -1}

func (t *T) produce(p Produce, rs ...Record) []Record {
	got, err := t.Client.Produce(t, p, rs...)
	t.Must("produce", err)
	t.Equal("number of results", len(got), len(rs))
	return got
}

// fill produces numbered records to a partition.
func (t *T) fill(topic string, partition int32, from, count int) {
	t.produce(plain, numbered(topic, partition, from, count)...)
}

func (t *T) consume(topic string, partition int32, at int64, n int) []Record {
	got, err := t.Client.Consume(t, Fetch{}, topic, partition, at, n)
	t.Must("consume", err)
	t.Equal("number of records", len(got), n)
	return got
}

func (t *T) committed(topic string, partition int32, at int64, n int) []Record {
	got, err := t.Client.Consume(t, Fetch{Committed: true}, topic, partition, at, n)
	t.Must("consume", err)
	t.Equal("number of records", len(got), n)
	return got
}

// values returns the values of records, in their order.
func values(rs []Record) (all []string) {
	for _, r := range rs {
		all = append(all, string(r.Value))
	}
	return all
}

func sorted(v []string) []string {
	slices.Sort(v)
	return v
}

// count returns the values that numbered gives.
func count(from, n int) (all []string) {
	for i := range n {
		all = append(all, strconv.Itoa(from+i))
	}
	return all
}

func (t *T) offset(topic string, partition int32, at int64, committed bool) int64 {
	o, err := t.Client.ListOffset(t, topic, partition, at, committed)
	t.Must("list offset", err)
	return o
}

// join joins a group and leaves it when the case is over.
func (t *T) join(g Group) Member {
	m, err := t.Client.Join(t, g)
	t.Must("join group", err)
	t.Cleanup(func() { _ = m.Leave() })
	return m
}

func (t *T) poll(m interface {
	Poll(ctx context.Context) ([]Record, error)
}) []Record {
	rs, err := m.Poll(t)
	t.Must("poll", err)
	return rs
}

// drain polls all members in turn until they have n records together, and returns their values.
func (t *T) drain(n int, ms ...Member) (all []string) {
	t.Until(fmt.Sprint(n, " records came to the members"), func() bool {
		for _, m := range ms {
			all = append(all, values(t.poll(m))...)
		}
		return len(all) >= n
	})
	return all
}

// settle polls all members until they have so many partitions each, or in any order with -1 at first: then each has one at least and they have the sum.
func (t *T) settle(what string, ok func() bool, ms ...Member) {
	t.Until(what, func() bool {
		for _, m := range ms {
			t.poll(m)
		}
		return ok()
	})
}

// shares says whether the members have so many partitions, in any order.
func shares(ms []Member, want ...int) func() bool {
	return func() bool {
		var got []int
		for _, m := range ms {
			got = append(got, m.Assigned())
		}
		slices.Sort(got)
		slices.Sort(want)
		return slices.Equal(got, want)
	}
}
