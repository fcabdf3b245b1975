package history

import (
	"bytes"
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"
)

var p0, p1 = TopicPartition{"t", 0}, TopicPartition{"t", 1}

// script is a history in the making: a well-behaved log of two partitions.
type script struct {
	*Recorder
	logs map[TopicPartition][]Value
}

func newScript() *script { return &script{NewRecorder(), map[TopicPartition][]Value{}} }

// write sends a value that is acknowledged.
func (r *script) write(p Process, to TopicPartition) Value {
	v := r.Invoke(p, to)
	r.logs[to] = append(r.logs[to], v)
	r.Acknowledged(v, int64(len(r.logs[to])-1))
	return v
}

func (r *script) records(from TopicPartition, lo, hi int) (recs []Record) {
	for o := lo; o < hi; o++ {
		recs = append(recs, Record{from, int64(o), r.logs[from][o]})
	}
	return recs
}

// finish reads everything in the end.
func (r *script) finish() *script {
	for p, log := range r.logs {
		r.PolledFinally(99, r.records(p, 0, len(log)))
	}
	return r
}

func rec(p TopicPartition, offset int64, v Value) []Record { return []Record{{p, offset, v}} }

// TestEvery: a run in which a check had nothing to look at proves less than was asked for, and says what is missing.
func TestEvery(t *testing.T) {
	r := newScript()
	r.write(1, p0)
	r.Polled(2, r.records(p0, 0, 1))
	if got := Check(r.finish().Recorder, Want{}); got.Verdict != Pass {
		t.Fatal(got)
	}
	got := Check(r.Recorder, Want{Every: true})
	if missing := strings.Join(got.Missing, "; "); got.Verdict != Unknown || len(got.Missing) != 5 || !strings.Contains(missing, `"cycles"`) || strings.Contains(missing, `"polls"`) {
		t.Error(got)
	}
	// Two transactions side by side that do not read each other's records prove nothing of cycles; one that reads the other's does.
	for _, c := range []struct {
		read   bool
		cycles int
	}{{false, 0}, {true, 1}} {
		r := newScript()
		first, second := r.Begin(), r.Begin()
		v := r.InvokeIn(first, 1, p0)
		r.Acknowledged(v, 0)
		r.Ending(first)
		r.End(first, OK)
		if c.read {
			r.PolledIn(second, 2, rec(p0, 0, v))
		}
		r.End(second, OK)
		r.PolledFinally(3, rec(p0, 0, v))
		for _, l := range Check(r.Recorder, Want{}).Checks {
			if l.Check == "cycles" && l.Examined != c.cycles {
				t.Errorf("read %v: %d examined", c.read, l.Examined)
			}
		}
	}
}

func TestSeededAnomalies(t *testing.T) {
	tests := []struct {
		name string
		want string // kinds of anomalies, or the verdict
		make func(r *script)
	}{
		{"nothing wrong", "pass", func(r *script) {
			for range 10 {
				r.write(1, p0)
				r.write(2, p1)
			}
			r.Polled(5, r.records(p0, 0, 4))
			r.Polled(5, append(r.records(p1, 0, 2), r.records(p0, 4, 9)...))
			r.Assigned(5)
			r.Polled(5, r.records(p0, 2, 6))
			r.finish()
		}},
		{"a value is acknowledged at one offset and read at another", "duplicate", func(r *script) {
			v := r.write(1, p0)
			r.PolledFinally(9, rec(p0, 1, v))
		}},
		{"a retry was written twice", "duplicate", func(r *script) {
			v := r.write(1, p0)
			r.logs[p0] = append(r.logs[p0], v)
			r.finish()
		}},
		{"a value is in another partition", "duplicate", func(r *script) {
			v := r.Invoke(1, p0)
			r.Unclear(v)
			r.write(1, p0)
			r.finish()
			r.PolledFinally(9, rec(p1, 0, v))
		}},
		{"two values at one offset", "inconsistent offsets", func(r *script) {
			r.write(1, p0)
			r.finish()
			v := r.Invoke(2, p0)
			r.Unclear(v)
			r.PolledFinally(8, rec(p0, 0, v))
		}},
		{"two sends acknowledged at one offset", "inconsistent offsets, unseen", func(r *script) {
			r.write(1, p0)
			r.Acknowledged(r.Invoke(2, p0), 0)
			r.finish()
		}},
		{"a read of what failed", "aborted read", func(r *script) {
			v := r.Invoke(1, p0)
			r.Failed(v)
			r.logs[p0] = append(r.logs[p0], v)
			r.write(1, p0)
			r.finish()
		}},
		{"a read of an aborted transaction", "aborted read", func(r *script) {
			txn := r.Begin()
			v := r.InvokeIn(txn, 1, p0)
			r.Acknowledged(v, 0)
			r.logs[p0] = append(r.logs[p0], v)
			r.End(txn, Fail)
			r.write(1, p0)
			r.finish()
		}},
		{"a transaction reads its own write", "precommitted read", func(r *script) {
			txn := r.Begin()
			v := r.InvokeIn(txn, 1, p0)
			r.Acknowledged(v, 0)
			r.logs[p0] = append(r.logs[p0], v)
			r.PolledIn(txn, 1, rec(p0, 0, v))
			r.End(txn, OK)
			r.finish()
		}},
		{"a value out of nothing", "phantom", func(r *script) {
			r.write(1, p0)
			r.finish()
			r.PolledFinally(8, rec(p0, 7, 12345))
		}},
		{"an acknowledged value below what was read", "lost write, unseen", func(r *script) {
			r.Acknowledged(r.Invoke(1, p0), 0)
			v := r.Invoke(1, p0)
			r.Acknowledged(v, 1)
			r.PolledFinally(9, rec(p0, 1, v))
		}},
		{"an acknowledged value above everything read", "unseen", func(r *script) {
			r.write(1, p0)
			r.finish()
			r.Acknowledged(r.Invoke(1, p0), 1)
		}},
		{"an acknowledged value, nobody knows where", "unseen", func(r *script) {
			r.write(1, p0)
			r.finish()
			r.Acknowledged(r.Invoke(1, p0), -1)
		}},
		{"an unclear value that was seen once and is gone", "vanished", func(r *script) {
			r.write(1, p0)
			v := r.Invoke(2, p0)
			r.Unclear(v)
			r.Polled(5, rec(p0, 1, v))
			r.finish()
		}},
		{"an unclear value that was never seen", "pass", func(r *script) {
			r.Unclear(r.Invoke(2, p0))
			r.Invoke(2, p0) // never ends
			r.write(1, p0)
			r.finish()
		}},
		{"a poll skips", "skip", func(r *script) {
			for range 5 {
				r.write(1, p0)
			}
			r.Polled(5, r.records(p0, 0, 2))
			r.Polled(5, r.records(p0, 3, 5))
			r.finish()
		}},
		{"a poll skips inside", "skip", func(r *script) {
			for range 5 {
				r.write(1, p0)
			}
			r.Polled(5, append(r.records(p0, 0, 2), r.records(p0, 4, 5)...))
			r.finish()
		}},
		{"offsets may be sparse", "pass", func(r *script) {
			for _, offset := range []int64{0, 5, 9} {
				r.Acknowledged(r.Invoke(1, p0), offset)
			}
			all := []Record{{p0, 0, 0}, {p0, 5, 1}, {p0, 9, 2}}
			r.Polled(5, all)
			r.PolledFinally(9, all)
		}},
		{"a poll goes back", "regress", func(r *script) {
			for range 5 {
				r.write(1, p0)
			}
			r.Polled(5, r.records(p0, 0, 3))
			r.Polled(5, r.records(p0, 2, 5))
			r.finish()
		}},
		{"a poll goes back inside", "regress", func(r *script) {
			r.write(1, p0)
			r.write(1, p0)
			r.Polled(5, append(r.records(p0, 1, 2), r.records(p0, 0, 1)...))
			r.finish()
		}},
		{"after a crash or an assignment a process may go back", "pass", func(r *script) {
			for range 5 {
				r.write(1, p0)
			}
			r.Polled(5, r.records(p0, 0, 3))
			r.Crashed(5)
			r.Polled(5, r.records(p0, 0, 5))
			r.Assigned(5)
			r.Polled(5, r.records(p0, 4, 5))
			r.finish()
		}},
		{"another process may read anything", "pass", func(r *script) {
			for range 5 {
				r.write(1, p0)
			}
			r.Polled(5, r.records(p0, 0, 5))
			r.Polled(6, r.records(p0, 2, 5))
			r.finish()
		}},
		{"sends are reordered", "out of order", func(r *script) {
			a, b := r.Invoke(1, p0), r.Invoke(1, p0)
			r.logs[p0] = []Value{b, a}
			r.Acknowledged(b, 0)
			r.Acknowledged(a, 1)
			r.finish()
		}},
		{"sends to other partitions or of other processes have no order", "pass", func(r *script) {
			a, b, c := r.Invoke(1, p0), r.Invoke(2, p0), r.Invoke(1, p1)
			r.logs[p0], r.logs[p1] = []Value{b, a}, []Value{c}
			r.Acknowledged(c, 0)
			r.Acknowledged(b, 0)
			r.Acknowledged(a, 1)
			r.finish()
		}},
		{"nothing was acknowledged", "unknown", func(r *script) { r.PolledFinally(9, nil) }},
		{"no final read", "unknown, unseen", func(r *script) { r.write(1, p0); r.Polled(5, r.records(p0, 0, 0)) }},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			r := newScript()
			test.make(r)
			report := Check(r.Recorder, Want{})
			got := strings.Join(slices.Sorted(maps.Keys(report.Counts)), ", ")
			if got == "" {
				got = report.Verdict.String()
			}
			if got != strings.TrimPrefix(test.want, "unknown, ") {
				t.Fatalf("got %q\n%v", got, report)
			}
			if (len(report.Counts) > 0) != (report.Verdict == FailVerdict) {
				t.Fatal(report)
			}
			var b bytes.Buffer
			if n, err := r.WriteTo(&b); err != nil || int(n) != b.Len() {
				t.Fatal(n, err)
			}
			again, err := Read(&b)
			if err != nil {
				t.Fatal(err)
			}
			if copied := again.Check(Want{}); copied.String() != report.String() {
				t.Fatalf("read back:\n%v\nfrom memory:\n%v", copied, report)
			}
		})
	}
}

func TestUnknown(t *testing.T) {
	r := newScript()
	r.write(1, p0)
	r.finish()
	r.Fault("kill")
	for _, test := range []struct {
		want    Want
		verdict Verdict
	}{
		{Want{}, Pass},
		{Want{Faults: []string{"kill"}}, Pass},
		{Want{Faults: []string{"kill", "torn"}}, Unknown},
		{Want{Acknowledged: 2}, Unknown},
	} {
		if report := Check(r.Recorder, test.want); report.Verdict != test.verdict || (len(report.Missing) > 0) != (test.verdict == Unknown) {
			t.Fatalf("%+v: %v", test.want, report)
		}
	}
}

// TestManyAnomalies: all are counted, some are told.
func TestManyAnomalies(t *testing.T) {
	r := newScript()
	for range 1000 {
		r.Acknowledged(r.Invoke(1, p0), -1)
	}
	r.PolledFinally(9, nil)
	if report := Check(r.Recorder, Want{}); report.Counts["unseen"] != 1000 || len(report.Anomalies) != anomaliesMax {
		t.Fatal(report)
	}
}

// TestVerdictInJSON: a simulation hands its verdict over so.
func TestVerdictInJSON(t *testing.T) {
	for v := Unknown; v <= FailVerdict; v++ {
		b, err := json.Marshal(v)
		var again Verdict
		if err := errors.Join(err, json.Unmarshal(b, &again)); err != nil || again != v {
			t.Errorf("%v became %s and %v: %v", v, b, again, err)
		}
	}
	var v Verdict
	if err := json.Unmarshal([]byte(`"perhaps"`), &v); err == nil {
		t.Error("perhaps is no verdict")
	}
}
