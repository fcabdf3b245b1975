package control

import (
	"cmp"
	"context"
	"slices"
	"sync"

	"sluice/base"
	"sluice/cluster/meta"
	"sluice/storage/compact"
	"sluice/storage/stream"
)

// compactCatalog is what compaction sees of the cluster.
type compactCatalog struct {
	catalog

	mu struct {
		sync.Mutex // held while a view is made, so that two do not make the same
		made       *meta.Image
		view       compact.View
	}
}

// NewCompactCatalog returns the catalog of the node for compaction. Objects are prepared in its name, so under its epoch. The view it made
// last is kept, and given again as long as nothing in it can have changed.
func NewCompactCatalog(c Client, self stream.NodeRef) compact.Catalog {
	return &compactCatalog{catalog: catalog{client: c, self: meta.NodeRef(self)}}
}

// CommitCompaction implements compact.Catalog.
func (c *compactCatalog) CommitCompaction(ctx context.Context, m compact.Commit) ([]compact.Verdict, error) {
	cmd := &meta.CommitCompaction{Node: meta.NodeRef(m.Node), Objects: make([]meta.CompactedObject, len(m.Objects)), Replacements: make([]meta.Replacement, len(m.Replacements))}
	for i, o := range m.Objects {
		cmd.Objects[i] = meta.CompactedObject{ID: o.ID, Size: o.Size, Kind: meta.ObjectKind(o.Kind)}
	}
	for i, r := range m.Replacements {
		to := meta.Replacement{Stream: r.Stream, Range: r.Range, Sources: r.Sources, New: make([]meta.NewRange, len(r.New)), Cleaned: r.Cleaned}
		for k, n := range r.New {
			to.New[k] = meta.NewRange(n)
		}
		cmd.Replacements[i] = to
	}
	res, err := Do[meta.CompactionDone](ctx, c.client, cmd)
	if meta.CodeOf(err) == meta.UnknownNode { // it was unregistered, so its epoch is over
		return nil, base.Wrap(base.Fenced, err)
	}
	if err != nil {
		return nil, retriable(err)
	}
	out := make([]compact.Verdict, len(res.Verdicts))
	for i, v := range res.Verdicts {
		out[i] = compact.Verdict(v)
	}
	return out, nil
}

// Snapshot implements compact.Catalog. It looks at every range of the cluster, unless nothing has changed since it last did.
func (c *compactCatalog) Snapshot() compact.View {
	c.mu.Lock()
	defer c.mu.Unlock()
	img := c.client.Image()
	if c.mu.made == nil || c.mu.made.HeldPos() != img.HeldPos() {
		c.mu.view = lookAfter(img, c.self.ID)
	}
	c.mu.made = img
	return c.mu.view
}

// lookAfter returns what a node looks after: of stream-set objects those it prepared, of stream objects those of the streams it owns, and of
// both those that fall to it because that node is gone.
func lookAfter(img *meta.Image, self base.NodeID) compact.View {
	k := keeper{self: self}
	for n := range img.Nodes() {
		if !n.Fenced {
			k.live = append(k.live, n.ID)
		}
	}
	v := viewing{at: map[base.ObjectID]int{}}
	for o := range img.Objects() {
		if o.State == meta.Committed && o.Kind == meta.SSO && k.keeps(o.Node.ID, uint64(o.ID)) {
			v.add(o)
		}
	}
	for s := range img.Streams() {
		if s.Ranges() == 0 {
			continue
		}
		keeps := k.keeps(s.Owner, uint64(s.ID))
		for r := range s.Held() {
			i, ok := v.at[r.Object]
			if !ok && keeps {
				i, ok = v.addSO(img, r.Object)
			}
			if ok {
				o := &v.objects[i]
				o.Ranges = append(o.Ranges, compact.LiveRange{Stream: s.ID, OffsetRange: r.OffsetRange, Bytes: r.Bytes, MaxTimestamp: r.MaxTimestamp})
			}
		}
	}
	// What only deleted topics refer to is about to go.
	v.objects = slices.DeleteFunc(v.objects, func(o compact.Object) bool { return len(o.Ranges) == 0 })
	slices.SortFunc(v.objects, func(a, b compact.Object) int { return cmp.Compare(a.ID, b.ID) })
	return compact.View{Objects: v.objects}
}

// viewing is a view being made.
type viewing struct {
	objects []compact.Object
	at      map[base.ObjectID]int // where they are in objects
	free    []compact.LiveRange   // room for ranges, so that many small lists are few allocations
}

const viewRoom = 4096

func (v *viewing) add(o meta.Object) int {
	n := int(o.Refs)
	if len(v.free) < n {
		v.free = make([]compact.LiveRange, max(n, viewRoom))
	}
	to := compact.Object{ID: o.ID, Kind: stream.ObjectKind(o.Kind), Size: o.Size, PreparedMS: o.PreparedMS, Ranges: v.free[:0:n]}
	v.free = v.free[n:]
	v.at[o.ID] = len(v.objects)
	v.objects = append(v.objects, to)
	return len(v.objects) - 1
}

// addSO adds an object if it is a stream object.
func (v *viewing) addSO(img *meta.Image, id base.ObjectID) (int, bool) {
	if o, ok := img.Object(id); ok && o.Kind == meta.SO {
		return v.add(o), true
	}
	return 0, false
}

// keeper says who looks after what.
type keeper struct {
	self base.NodeID
	live []base.NodeID
}

// keeps reports whether the node itself looks after the thing of that id which is by's: by does if it is alive, else the live node whose
// hash with the id is the largest (rendezvous hashing), so that what a node leaves behind is spread and a change of nodes moves little.
func (k *keeper) keeps(by base.NodeID, id uint64) bool {
	if slices.Contains(k.live, by) {
		return by == k.self
	}
	best, most := base.NoNode, uint64(0)
	for _, n := range k.live {
		if h := mix(id, uint64(n)); best == base.NoNode || h > most {
			best, most = n, h
		}
	}
	return best == k.self
}

// mix hashes two numbers.
func mix(a, b uint64) uint64 { return scramble(scramble(a) + b) }

// scramble is the finalizer of SplitMix64 (Steele, Lea, Flood, OOPSLA 2014).
func scramble(v uint64) uint64 {
	v += 0x9e3779b97f4a7c15
	v = (v ^ v>>30) * 0xbf58476d1ce4e5b9
	v = (v ^ v>>27) * 0x94d049bb133111eb
	return v ^ v>>31
}
