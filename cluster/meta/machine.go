package meta

import (
	"slices"

	"sluice/base"
)

// Decide validates cmd against img at time nowMS (Unix milliseconds) and returns the records that carry it out and its result. An
// error is a *Rejection; then there are no records. There may be none without an error too, where nothing has to change.
func Decide(img *Image, cmd Command, nowMS int64) ([]Record, Result, error) {
	return img.Draft().Execute(cmd, nowMS)
}

// Execute decides cmd against the draft and applies its records to it, so that the next command sees them. A rejected command
// leaves the draft as it was.
func (d *Draft) Execute(cmd Command, nowMS int64) ([]Record, Result, error) {
	d.out = nil
	res, rej := cmd.decide(d, nowMS)
	if rej != nil {
		if len(d.out) != 0 {
			panic("BUG: meta: rejected command has changed the draft")
		}
		return nil, nil, rej
	}
	return d.out, res, nil
}

// Fill draws what a command leaves to the controller to choose at random: the ids of new topics. It returns cmd itself or, where
// something was drawn, a copy.
func Fill(cmd Command, draw func() base.UUID) Command {
	c, ok := cmd.(*CreateTopics)
	if !ok || c.ValidateOnly || !slices.ContainsFunc(c.Topics, func(t NewTopic) bool { return t.ID.IsZero() }) {
		return cmd
	}
	f := &CreateTopics{Topics: slices.Clone(c.Topics)}
	for i := range f.Topics {
		if f.Topics[i].ID.IsZero() {
			f.Topics[i].ID = draw()
		}
	}
	return f
}

// tooLong checks the strings that go into records.
func tooLong(strs ...string) *Rejection {
	for _, s := range strs {
		if len(s) > MaxString {
			return reject(TooLarge, "a text of %d bytes, at most %d are possible", len(s), MaxString)
		}
	}
	return nil
}

func mapTooLong(m map[string]string) *Rejection {
	total := 0
	for k, v := range m {
		if rej := tooLong(k, v); rej != nil {
			return rej
		}
		total += len(k) + len(v)
	}
	if total > 16*MaxString {
		return reject(TooLarge, "configurations of %d bytes, at most %d are possible", total, 16*MaxString)
	}
	return nil
}

// current checks the node and node epoch which a command comes from.
func (img *Image) current(ref NodeRef) *Rejection {
	n, ok := img.nodes.get(ref.ID)
	switch {
	case !ok:
		return reject(UnknownNode, "node %d is not registered", ref.ID)
	case n.Epoch != ref.Epoch:
		return reject(StaleEpoch, "node %d: epoch %d is over, the present one is %d", ref.ID, ref.Epoch, n.Epoch)
	case n.Fenced:
		return reject(StaleEpoch, "node %d: epoch %d is fenced", ref.ID, ref.Epoch)
	}
	return nil
}

// lookup finds the partition a command names.
func (img *Image) lookup(id PartitionID) (*Partition, part, *Rejection) {
	t, ok := img.byID.get(idKey(id.Topic))
	if !ok {
		return nil, part{}, reject(UnknownTopicID, "topic id %s is unknown", id.Topic)
	}
	at := part{t.num, id.Index}
	p, ok := img.partitions.get(partitionKey(t.num, id.Index))
	if !ok {
		return nil, part{}, reject(UnknownPartition, "topic %s has %d partitions, not number %d", t.Name, t.Partitions, id.Index)
	}
	return p, at, nil
}

// live returns the ids of the unfenced nodes, ascending.
func (img *Image) live() []base.NodeID {
	var ids []base.NodeID
	img.nodes.all(func(id base.NodeID, n *Node) bool {
		if !n.Fenced {
			ids = append(ids, id)
		}
		return true
	})
	return ids
}

// emitSplit emits items in records of bounded size.
func emitSplit[T any](d *Draft, items []T, record func([]T) Record) {
	for chunk := range slices.Chunk(items, recordItems) {
		d.emit(record(chunk))
	}
}

// each decides the items of a command one by one.
func each[T any](items []T, decide func(T) *Rejection) *Outcomes {
	out := &Outcomes{Errs: make([]*Rejection, len(items))}
	for i, it := range items {
		out.Errs[i] = decide(it)
	}
	return out
}

// distinct returns a check that refuses what it has seen before.
func distinct[K comparable](n int) func(K) *Rejection {
	seen := make(map[K]struct{}, n)
	return func(k K) *Rejection {
		if _, ok := seen[k]; ok {
			return reject(InvalidCommand, "named twice in one command")
		}
		seen[k] = struct{}{}
		return nil
	}
}
