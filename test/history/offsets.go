package history

// InvokeCommit records that a process begins to commit an offset of a group. The three that follow say how it ended.
func (r *Recorder) InvokeCommit(p Process, group string, of TopicPartition, offset int64) Op {
	return r.InvokeCommitIn(0, p, group, of, offset)
}

// InvokeCommitIn is InvokeCommit within a transaction: it takes effect when the transaction is committed.
func (r *Recorder) InvokeCommitIn(txn Txn, p Process, group string, of TopicPartition, offset int64) Op {
	r.mu.Lock()
	defer r.mu.Unlock()
	k := r.partitionLocked(of)
	op := r.opLocked(false)
	r.endLocked(r.eventLocked().num("p", int64(p)).what("commit").num("op", int64(op)).text("g", group).num("k", int64(k)).num("o", offset).some("x", int64(txn)))
	return op
}

// EndCommit records how a commit ended.
func (r *Recorder) EndCommit(op Op, o Outcome) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.endOpLocked(op, false)
	r.endLocked(r.eventLocked().what("committed").num("op", int64(op)).text("is", o.String()))
}

// InvokeFetch records that a process begins to ask for the committed offset of a group.
func (r *Recorder) InvokeFetch(p Process, group string, of TopicPartition) Op {
	r.mu.Lock()
	defer r.mu.Unlock()
	k := r.partitionLocked(of)
	op := r.opLocked(true)
	r.endLocked(r.eventLocked().num("p", int64(p)).what("fetch").num("op", int64(op)).text("g", group).num("k", int64(k)))
	return op
}

// EndFetch records the offset that a fetch was told, -1 for none. A fetch that was told nothing need not end.
func (r *Recorder) EndFetch(op Op, offset int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.endOpLocked(op, true)
	r.endLocked(r.eventLocked().what("fetched").num("op", int64(op)).num("o", offset))
}

func (r *Recorder) opLocked(fetch bool) Op {
	r.lastOp++
	r.ops[r.lastOp] = fetch
	return r.lastOp
}

func (r *Recorder) endOpLocked(op Op, fetch bool) {
	if was, ok := r.ops[op]; !ok || was != fetch {
		panic("BUG: a commit or a fetch ended twice, or as the other")
	}
	delete(r.ops, op)
}

// Owns records partitions that a process owns as a member of a group, since a generation: that of a classic group, or the epoch of a member. Its position may jump.
func (r *Recorder) Owns(p Process, group string, generation int64, partitions []TopicPartition) {
	r.mu.Lock()
	defer r.mu.Unlock()
	ids := make([]int64, 0, len(partitions))
	for _, tp := range partitions {
		ids = append(ids, int64(r.partitionLocked(tp)))
	}
	r.endLocked(r.eventLocked().num("p", int64(p)).what("assign").text("g", group).num("gen", generation).nums("ks", ids))
}

// Saw records the marks that a process was told in an answer to a request it sent at a time of the Clock, -1 if it does not know when.
func (r *Recorder) Saw(p Process, of TopicPartition, since int64, m Marks) {
	r.mu.Lock()
	defer r.mu.Unlock()
	k := r.partitionLocked(of)
	l := r.eventLocked().num("p", int64(p)).what("marks").num("k", int64(k))
	for _, f := range []struct {
		key   string
		value int64
	}{{"since", since}, {"low", m.Low}, {"stable", m.Stable}, {"high", m.High}, {"last", m.Last}} {
		if f.value >= 0 {
			l = l.num(f.key, f.value)
		}
	}
	if m.Committed {
		l = l.num("c", 1)
	}
	r.endLocked(l)
}

// Trimmed records that what lies below an offset may go from now on: it was asked to, or has become old enough.
func (r *Recorder) Trimmed(of TopicPartition, below int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	k := r.partitionLocked(of)
	r.endLocked(r.eventLocked().what("trim").num("k", int64(k)).num("o", below))
}
