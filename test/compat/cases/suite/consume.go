package suite

import (
	"bytes"
	"slices"
	"strconv"
)

// read opens a reader without a group.
func (t *T) read(f Fetch, topic string, at map[int32]int64) Reader {
	r, err := t.Client.Read(t, f, topic, at)
	t.Must("open a reader", err)
	t.Cleanup(r.Close)
	return r
}

// readSome polls until n records came and returns their values.
func (t *T) readSome(r Reader, n int) (all []string) {
	t.Until("the reader gets its records", func() bool {
		all = append(all, values(t.poll(r))...)
		return len(all) >= n
	})
	return all
}

func consumeCases() []Case {
	return append(readerCases(), []Case{
		{"consume/earliest", func(t *T) {
			topic := t.topic("", 1)
			t.fill(topic, 0, 0, 100)
			t.Equal("values", values(t.consume(topic, 0, Earliest, 100)), count(0, 100))
		}},
		{"consume/offset", func(t *T) {
			topic := t.topic("", 1)
			t.fill(topic, 0, 0, 100)
			got := t.consume(topic, 0, 42, 58)
			t.Equal("values", values(got), count(42, 58))
			t.Equal("first offset", got[0].Offset, int64(42))
		}},
		{"consume/many-batches", func(t *T) {
			topic := t.topic("", 1)
			for i := range 40 {
				t.fill(topic, 0, i*5, 5)
			}
			t.Equal("values", values(t.consume(topic, 0, Earliest, 200)), count(0, 200))
		}},
		{"consume/small-fetches", func(t *T) {
			topic := t.topic("", 1)
			for i := range 20 {
				t.produce(plain, Record{Topic: topic, Value: append(bytes.Repeat([]byte{'x'}, 1000), strconv.Itoa(i)...)})
			}
			got, err := t.Client.Consume(t, Fetch{MaxBytes: 1500}, topic, 0, Earliest, 20)
			t.Must("consume", err)
			for i, r := range got {
				t.Equal("end of the value", string(r.Value[1000:]), strconv.Itoa(i))
			}
		}},
		{"consume/after-deleted-records", func(t *T) {
			topic := t.topic("", 1)
			t.fill(topic, 0, 0, 20)
			start, err := t.Client.DeleteRecords(t, topic, 0, 12)
			t.Must("delete records", err)
			t.Equal("start", start, int64(12))
			got := t.consume(topic, 0, Earliest, 8)
			t.Equal("values", values(got), count(12, 8))
			t.Equal("first offset", got[0].Offset, int64(12))
		}},
		{"consume/from-a-time", func(t *T) {
			topic := t.topic("", 1)
			base := now().Add(-100 * 1e9)
			var rs []Record
			for i, r := range numbered(topic, 0, 0, 10) {
				r.Time = base.Add(1e9 * duration(i))
				rs = append(rs, r)
			}
			t.produce(plain, rs...)
			at := t.offset(topic, 0, base.Add(6e9).UnixMilli(), false)
			t.Equal("offset", at, int64(6))
			t.Equal("values", values(t.consume(topic, 0, at, 4)), count(6, 4))
		}},
	}...)
}

func readerCases() []Case {
	return []Case{
		{"consume/latest", func(t *T) {
			topic := t.topic("", 1)
			t.fill(topic, 0, 0, 10)
			r := t.read(Fetch{}, topic, map[int32]int64{0: Latest})
			for range 5 { // it has found the end when it has waited there
				t.Equal("nothing is read", len(t.poll(r)), 0)
			}
			t.fill(topic, 0, 10, 5)
			t.Equal("values", t.readSome(r, 5), count(10, 5))
		}},
		{"consume/waits-for-records", func(t *T) {
			topic := t.topic("", 1)
			r := t.read(Fetch{}, topic, map[int32]int64{0: 0})
			t.Equal("nothing is read", len(t.poll(r)), 0)
			for i := range 5 {
				t.fill(topic, 0, i, 1)
				t.Equal("values", t.readSome(r, 1), count(i, 1))
			}
		}},
		{"consume/several-partitions", func(t *T) {
			topic := t.topic("", 3)
			for p := range int32(3) {
				t.fill(topic, p, int(p)*100, 50)
			}
			r := t.read(Fetch{}, topic, map[int32]int64{0: 0, 1: 40, 2: Earliest})
			got := sorted(t.readSome(r, 110))
			want := sorted(slices.Concat(count(0, 50), count(140, 10), count(200, 50)))
			t.Equal("values", got, want)
		}},
		{"consume/seek-back", func(t *T) {
			topic := t.topic("", 1)
			t.fill(topic, 0, 0, 20)
			r := t.read(Fetch{}, topic, map[int32]int64{0: 0})
			t.Equal("values", t.readSome(r, 20), count(0, 20))
			t.Must("seek", r.Seek(topic, 0, 5))
			t.Equal("values", t.readSome(r, 15), count(5, 15))
		}},
		{"consume/seek-forward", func(t *T) {
			topic := t.topic("", 1)
			t.fill(topic, 0, 0, 30)
			r := t.read(Fetch{}, topic, map[int32]int64{0: 0})
			t.readSome(r, 1)
			t.Must("seek", r.Seek(topic, 0, 25))
			t.Equal("values", t.readSome(r, 5), count(25, 5))
		}},
		{"consume/pause-and-resume", func(t *T) {
			topic := t.topic("", 2)
			r := t.read(Fetch{}, topic, map[int32]int64{0: 0, 1: 0})
			t.poll(r)
			t.Must("pause", r.Pause(topic, 1))
			t.poll(r) // a fetch may have been under way
			t.fill(topic, 1, 100, 5)
			t.fill(topic, 0, 0, 5)
			t.Equal("values", t.readSome(r, 5), count(0, 5))
			t.Equal("nothing is read", len(t.poll(r)), 0)
			t.Must("resume", r.Resume(topic, 1))
			t.Equal("values", t.readSome(r, 5), count(100, 5))
		}},
	}
}

func offsetCases() []Case {
	commit := func(t *T, group, topic string, offsets map[int32]Committed) {
		t.Must("commit offsets", t.Client.CommitOffsets(t, group, topic, offsets))
	}
	fetch := func(t *T, group, topic string, partitions ...int32) map[int32]Committed {
		got, err := t.Client.FetchOffsets(t, group, topic, partitions...)
		t.Must("fetch offsets", err)
		return got
	}
	return []Case{
		{"offsets/commit-and-fetch", func(t *T) {
			topic, group := t.topic("", 3), t.ID("g")
			want := map[int32]Committed{0: {Offset: 5}, 1: {Offset: 0}, 2: {Offset: 1 << 40}}
			commit(t, group, topic, want)
			t.Equal("offsets", fetch(t, group, topic, 0, 1, 2), want)
		}},
		{"offsets/metadata", func(t *T) {
			topic, group := t.topic("", 1), t.ID("g")
			want := map[int32]Committed{0: {5, "what I noted: ключ"}}
			commit(t, group, topic, want)
			t.Equal("offsets", fetch(t, group, topic, 0), want)
		}},
		{"offsets/overwritten-and-back", func(t *T) {
			topic, group := t.topic("", 1), t.ID("g")
			for _, o := range []int64{10, 20, 3} {
				commit(t, group, topic, map[int32]Committed{0: {Offset: o}})
				t.Equal("offset", fetch(t, group, topic, 0), map[int32]Committed{0: {Offset: o}})
			}
		}},
		{"offsets/none", func(t *T) {
			topic := t.topic("", 1)
			t.Equal("offsets of a group that is not", fetch(t, t.ID("g"), topic, 0), map[int32]Committed{})
		}},
		{"offsets/groups-are-apart", func(t *T) {
			topic := t.topic("", 1)
			commit(t, t.ID("a"), topic, map[int32]Committed{0: {Offset: 1}})
			commit(t, t.ID("b"), topic, map[int32]Committed{0: {Offset: 2}})
			t.Equal("a", fetch(t, t.ID("a"), topic, 0), map[int32]Committed{0: {Offset: 1}})
			t.Equal("b", fetch(t, t.ID("b"), topic, 0), map[int32]Committed{0: {Offset: 2}})
		}},
		{"offsets/metadata-too-large", func(t *T) {
			topic := t.topic("", 1)
			t.Code("commit", t.Client.CommitOffsets(t, t.ID("g"), topic, map[int32]Committed{0: {1, string(bytes.Repeat([]byte{'x'}, 5000))}}), 12)
		}},
		{"offsets/unknown-topic", func(t *T) {
			t.Code("commit", t.Client.CommitOffsets(t, t.ID("g"), t.ID("nowhere"), map[int32]Committed{0: {Offset: 1}}), 3)
		}},
		{"offsets/of-a-deleted-topic", func(t *T) {
			topic, group := t.topic("", 1), t.ID("g")
			commit(t, group, topic, map[int32]Committed{0: {Offset: 1}})
			t.Must("delete topic", t.Client.DeleteTopic(t, topic))
			t.Until("the offset is gone", func() bool { return len(fetch(t, group, topic, 0)) == 0 })
		}},
	}
}
