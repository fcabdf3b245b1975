package suite

import (
	"slices"
	"time"
)

const txnTimeout = 40 * time.Second

// txn opens a transactional producer.
func (t *T) txn(id string) Txn {
	x, err := t.Client.Transact(t, t.ID(id), txnTimeout)
	t.Must("open a transactional producer", err)
	t.Cleanup(x.Close)
	return x
}

// in runs one transaction of records and ends it.
func (t *T) in(x Txn, commit bool, rs ...Record) {
	t.Must("begin", x.Begin())
	t.Must("produce", x.Produce(t, rs...))
	if commit {
		t.Must("commit", x.Commit(t))
	} else {
		t.Must("abort", x.Abort(t))
	}
}

func transactionCases() []Case {
	return slices.Concat(txnRecordCases(), txnMoreCases(), txnAdminCases(), []Case{
		{"transactions/fencing", func(t *T) {
			topic := t.topic("", 1)
			old := t.txn("x")
			t.in(old, true, numbered(topic, 0, 0, 3)...)
			t.in(t.txn("x"), true, numbered(topic, 0, 3, 3)...)
			_ = old.Begin()
			err := old.Produce(t, numbered(topic, 0, 100, 3)...)
			if err == nil {
				err = old.Commit(t)
			}
			if err == nil {
				t.Fail("the old producer is not fenced")
			}
			code, ok := t.Client.Code(err)
			t.True("INVALID_PRODUCER_EPOCH or PRODUCER_FENCED: "+err.Error(), ok && (code == 47 || code == 90))
			t.in(t.txn("x"), true, numbered(topic, 0, 6, 1)...)
			t.Equal("values", values(t.committed(topic, 0, Earliest, 7)), count(0, 7))
		}},
		{"transactions/new-producer-aborts-the-open-one", func(t *T) {
			topic := t.topic("", 1)
			old := t.txn("x")
			t.Must("begin", old.Begin())
			t.Must("produce", old.Produce(t, numbered(topic, 0, 100, 5)...))
			t.in(t.txn("x"), true, numbered(topic, 0, 0, 5)...)
			t.Equal("values", values(t.committed(topic, 0, Earliest, 5)), count(0, 5))
			t.Until("the end is 12", func() bool { return t.offset(topic, 0, Latest, false) == 12 })
		}},
		{"transactions/offsets-committed", func(t *T) { t.txnOffsets(true, 7) }},
		{"transactions/offsets-aborted", func(t *T) { t.txnOffsets(false, 3) }},
	})
}

func txnRecordCases() []Case {
	return []Case{
		{"transactions/commit", func(t *T) {
			topic := t.topic("", 2)
			t.in(t.txn("x"), true, append(numbered(topic, 0, 0, 10), numbered(topic, 1, 10, 10)...)...)
			t.Equal("values", values(t.committed(topic, 0, Earliest, 10)), count(0, 10))
			t.Equal("values", values(t.committed(topic, 1, Earliest, 10)), count(10, 10))
		}},
		{"transactions/abort", func(t *T) {
			topic := t.topic("", 1)
			x := t.txn("x")
			t.in(x, false, numbered(topic, 0, 100, 10)...)
			t.in(x, true, numbered(topic, 0, 0, 10)...)
			t.in(x, false, numbered(topic, 0, 200, 10)...)
			t.in(x, true, numbered(topic, 0, 10, 10)...)
			t.Equal("values", values(t.committed(topic, 0, Earliest, 20)), count(0, 20))
		}},
		{"transactions/read-uncommitted", func(t *T) {
			topic := t.topic("", 1)
			x := t.txn("x")
			t.in(x, false, numbered(topic, 0, 0, 10)...)
			t.in(x, true, numbered(topic, 0, 10, 10)...)
			t.Equal("values", values(t.consume(topic, 0, Earliest, 20)), count(0, 20))
		}},
		{"transactions/markers-take-offsets", func(t *T) {
			topic := t.topic("", 1)
			x := t.txn("x")
			t.in(x, true, numbered(topic, 0, 0, 5)...)
			t.in(x, true, numbered(topic, 0, 5, 5)...)
			t.Until("the end is 12", func() bool { return t.offset(topic, 0, Latest, false) == 12 })
			t.Equal("first offset of the second", t.committed(topic, 0, Earliest, 10)[5].Offset, int64(6))
		}},
		{"transactions/last-stable-offset", func(t *T) {
			topic := t.topic("", 1)
			t.fill(topic, 0, 0, 3)
			x := t.txn("x")
			t.Must("begin", x.Begin())
			t.Must("produce", x.Produce(t, numbered(topic, 0, 3, 5)...))
			t.Equal("end of what is committed", t.offset(topic, 0, Latest, true), int64(3))
			t.Equal("end", t.offset(topic, 0, Latest, false), int64(8))
			t.Must("commit", x.Commit(t))
			t.Until("all is committed", func() bool { return t.offset(topic, 0, Latest, true) == 9 })
		}},
	}
}

func txnMoreCases() []Case {
	return []Case{
		{"transactions/open-one-hides-what-follows", func(t *T) {
			topic := t.topic("", 1)
			x := t.txn("x")
			t.Must("begin", x.Begin())
			t.Must("produce", x.Produce(t, numbered(topic, 0, 0, 1)...))
			t.fill(topic, 0, 1, 3)
			r := t.read(Fetch{Committed: true}, topic, map[int32]int64{0: 0})
			for range 4 {
				t.Equal("nothing is read", len(t.poll(r)), 0)
			}
			t.Must("abort", x.Abort(t))
			t.Equal("values", t.readSome(r, 3), count(1, 3))
		}},
		{"transactions/several-topics", func(t *T) {
			a, b := t.topic("a", 1), t.topic("b", 1)
			x := t.txn("x")
			t.in(x, false, append(numbered(a, 0, 50, 3), numbered(b, 0, 60, 3)...)...)
			t.in(x, true, append(numbered(a, 0, 0, 3), numbered(b, 0, 10, 3)...)...)
			t.Equal("values", values(t.committed(a, 0, Earliest, 3)), count(0, 3))
			t.Equal("values", values(t.committed(b, 0, Earliest, 3)), count(10, 3))
		}},
		{"transactions/two-producers-interleaved", func(t *T) {
			topic := t.topic("", 1)
			x, y := t.txn("x"), t.txn("y")
			t.Must("begin", x.Begin())
			t.Must("begin", y.Begin())
			for i := range 3 {
				t.Must("produce", x.Produce(t, numbered(topic, 0, i, 1)...))
				t.Must("produce", y.Produce(t, numbered(topic, 0, 100+i, 1)...))
			}
			t.Must("abort", y.Abort(t))
			t.Must("commit", x.Commit(t))
			t.Equal("values", values(t.committed(topic, 0, Earliest, 3)), count(0, 3))
		}},
		{"transactions/without-records", func(t *T) {
			x := t.txn("x")
			t.Must("begin", x.Begin())
			t.Must("commit", x.Commit(t))
			t.Must("begin", x.Begin())
			t.Must("abort", x.Abort(t))
			topic := t.topic("", 1)
			t.in(x, true, numbered(topic, 0, 0, 1)...)
			t.Equal("values", values(t.committed(topic, 0, Earliest, 1)), count(0, 1))
		}},
	}
}

// txnOffsets commits offset 3, then 7 in a transaction.
func (t *T) txnOffsets(commit bool, want int64) {
	topic, group := t.topic("", 1), t.ID("g")
	t.fill(topic, 0, 0, 3)
	m := t.join(Group{Name: group, Topics: []string{topic}, Balancer: "range"})
	t.drain(3, m)
	t.Must("commit", m.Commit(t))
	x := t.txn("x")
	t.Must("begin", x.Begin())
	t.Must("produce", x.Produce(t, numbered(topic, 0, 3, 1)...))
	t.Must("send offsets", x.Offsets(t, group, m, topic, 0, 7))
	if commit {
		t.Must("commit", x.Commit(t))
	} else {
		t.Must("abort", x.Abort(t))
	}
	t.Until("the offset is what it must be", func() bool {
		got, err := t.Client.FetchOffsets(t, group, topic, 0)
		t.Must("fetch offsets", err)
		return got[0].Offset == want
	})
}

func txnAdminCases() []Case {
	return []Case{
		{"transactions/describe", func(t *T) {
			topic := t.topic("", 1)
			x := t.txn("x")
			t.Must("begin", x.Begin())
			t.Must("produce", x.Produce(t, numbered(topic, 0, 0, 1)...))
			state, err := t.Client.DescribeTxn(t, t.ID("x"))
			t.Must("describe", err)
			t.Equal("state", state, "Ongoing")
			t.Must("commit", x.Commit(t))
			t.Until("it is complete", func() bool {
				state, err := t.Client.DescribeTxn(t, t.ID("x"))
				return err == nil && state == "CompleteCommit"
			})
		}},
		{"transactions/list", func(t *T) {
			topic := t.topic("", 1)
			t.in(t.txn("x"), false, numbered(topic, 0, 0, 1)...)
			t.Until("it is listed as aborted", func() bool {
				all, err := t.Client.ListTxns(t)
				t.Must("list", err)
				return all[t.ID("x")] == "CompleteAbort"
			})
		}},
		{"transactions/describe-unknown", func(t *T) {
			_, err := t.Client.DescribeTxn(t, t.ID("nobody"))
			t.Code("describe", err, 105)
		}},
		{"transactions/timeout-too-long", func(t *T) {
			_, err := t.Client.Transact(t, t.ID("x"), 2*time.Hour)
			t.Code("a timeout of two hours", err, 50)
		}},
		{"transactions/producer-state", func(t *T) {
			topic := t.topic("", 1)
			t.fill(topic, 0, 0, 4)
			x := t.txn("x")
			t.Must("begin", x.Begin())
			t.Must("produce", x.Produce(t, numbered(topic, 0, 0, 2)...))
			got, err := t.Client.Producers(t, topic, 0)
			t.Must("describe producers", err)
			started := 0
			for _, p := range got {
				if p.TxnStart == 4 && p.LastSequence == 1 {
					started++
				}
			}
			t.Equal("producers with a transaction from offset 4", started, 1)
			t.Must("abort", x.Abort(t))
		}},
	}
}
