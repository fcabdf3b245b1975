package stream

import (
	"context"
	"slices"

	"golang.org/x/sync/errgroup"

	"sluice/base"
	"sluice/storage/cache"
)

// warmObjects bounds the objects whose indexes are read at a time by one Warm.
const warmObjects = 16

// Warm starts to read the last committed record of each stream, in as few requests as they are spread over objects: streams that come from
// another node have been uploaded together. It returns when what is left to wait for is the blocks. It is a hint: a failure shows in the
// reads that follow.
func (e *Engine) Warm(ctx context.Context, ss []*Stream) {
	type object struct {
		size    int64
		streams []*Stream
	}
	objects := map[base.ObjectID]*object{}
	for _, s := range ss {
		at := s.Next() - 1
		if at < s.Start() {
			continue
		}
		loc, err := e.opt.Catalog.Locate(ctx, s.id, at, 1)
		if err != nil || len(loc.Objects) == 0 {
			continue
		}
		o := loc.Objects[0]
		if objects[o.ID] == nil {
			objects[o.ID] = &object{size: o.Size}
		}
		objects[o.ID].streams = append(objects[o.ID].streams, s)
	}
	var g errgroup.Group
	g.SetLimit(warmObjects)
	for id, o := range objects {
		g.Go(func() error {
			x, err := e.blocks.Index(ctx, id, o.size, cache.Tail{})
			if err != nil {
				return nil
			}
			var places []int
			for _, s := range o.streams {
				if i, ok := x.Find(s.id, s.Next()-1); ok {
					places = append(places, i)
				}
			}
			slices.Sort(places)
			e.blocks.Warm(x, slices.Compact(places))
			return nil
		})
	}
	g.Wait()
}
