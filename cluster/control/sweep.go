package control

import (
	"context"
	"fmt"
	"time"

	"sluice/base"
	"sluice/cluster/audit"
	"sluice/cluster/meta"
	"sluice/cluster/metalog"
	"sluice/storage/objstore"
	"sluice/storage/objstore/driver"
	"sluice/storage/slotlog"
	"sluice/storage/wal"
	"sluice/storage/wal/s3"
)

// The sweeper removes what nothing refers to and nothing ever will: objects that a late put brought back after they were deleted, slots of
// logs that are over, slots of the metadata log below what is needed, keys that a probe left. The life cycle deletes everything once; the
// sweeper is there for what comes back, or was put by a process that did not live to say so.
//
// Whatever it removes, it may remove however late, whoever the controller is by then (a pause of any length between looking and deleting
// does no harm):
//
//   - an object whose id is below the image's next and that the image does not have: ids are handed out once, states go one way;
//   - a data slot other than slot 0 of a node epoch that is over: the true end of its log is a seal, which stays one. What a sealer that
//     slept puts into a place that was emptied is a seal that nobody needs;
//   - a data slot other than slot 0 below the trim of a node epoch that lives: the writer deleted it, and a late put brought it back. Fencing freezes a
//     trim that is not lower, and whoever seals and reads then begins there;
//   - a data slot other than slot 0 of the metadata log in an epoch with a successor, below the second-newest snapshot or behind the end
//     that the successor names; both only grow.
//
// The age of what it removes is at least the grace, by the store's clock: so it does not race with who removes the same in the ordinary way.

const (
	sweepPage = 1000 // keys looked at between two pauses: a page of a listing
	// sweepFirst is the part of the interval after which a controller sweeps first: the role may change hands more often than once an interval.
	sweepFirst = 10
	// sweepsAtRest is how many sweeps in a row may find nothing while the metadata stay as they are until no more are made: nobody puts anything then that could
	// be an orphan, and a put that was under way when they last changed has long come to its end. An idle cluster asks its bucket for nothing.
	sweepsAtRest = 2
)

// Swept is what a sweep did.
type Swept struct {
	Keys      int // listed
	Objects   int // removed, as the rest
	Slots     int
	Snapshots int
	Probes    int
	Temporary int // files of stores on a file system
}

// Removed is how much was removed.
func (s Swept) Removed() int { return s.Objects + s.Slots + s.Snapshots + s.Probes + s.Temporary }

// sweeping sweeps now and then, until the controller ends.
func (c *Controller) sweeping() {
	wait := c.opt.SweepEvery / sweepFirst
	var rest restful
	for {
		select {
		case <-time.After(wait):
		case <-c.life.Done():
			return
		}
		wait = c.opt.SweepEvery
		began, pos := time.Now(), c.Image().Pos()
		if rest.rests(pos) {
			continue
		}
		s, err := c.Sweep(c.life)
		rest.swept(pos, err == nil && s.Removed() == 0)
		switch {
		case c.life.Err() != nil:
			return
		case err != nil:
			c.opt.Logger.Warn("the sweep for orphans broke off; the next one begins anew", "error", err)
		case s.Removed() > 0:
			c.opt.Logger.Info("removed orphans", "objects", s.Objects, "slots", s.Slots, "snapshots", s.Snapshots, "probes", s.Probes,
				"temporary", s.Temporary, "keys", s.Keys, "took", time.Since(began).Round(time.Millisecond))
		}
	}
}

// restful knows when to sweep no more.
type restful struct {
	pos   base.MetaPos // of the image that the last sweep began with
	clean int          // sweeps in a row that began with it and found nothing
}

func (r *restful) rests(pos base.MetaPos) bool { return pos == r.pos && r.clean >= sweepsAtRest }

func (r *restful) swept(pos base.MetaPos, clean bool) {
	if pos != r.pos || !clean {
		r.pos, r.clean = pos, 0
	}
	if clean {
		r.clean++
	}
}

// sweep is one sweep.
type sweep struct {
	c        *Controller
	done     Swept
	needless *metalog.Needless // made when the first slot or snapshot asks for it
}

// Sweep looks at every key of the bucket, of the place of the metadata log and of the stores that logs have to themselves, and removes the
// orphans. It lists at most Options.SweepPagesPerSecond pages of 1,000 keys a second. An error leaves the rest for another time.
func (c *Controller) Sweep(ctx context.Context) (Swept, error) {
	s := &sweep{c: c}
	ctx = driver.WithPurpose(ctx, driver.PurposeSweep)
	err := s.run(ctx)
	c.metrics.sweep(s.done, err)
	return s.done, err
}

func (s *sweep) run(ctx context.Context) error {
	opt := &s.c.opt
	stores := []objstore.Store{opt.Store}
	if opt.Meta != opt.Store {
		stores = append(stores, opt.Meta)
	}
	for _, url := range logStores(s.c.Image()) {
		if opt.OpenStore == nil {
			break
		}
		store, err := opt.OpenStore(ctx, url)
		if err != nil {
			return err
		}
		stores = append(stores, store)
	}
	for _, store := range stores {
		if err := s.store(ctx, store); err != nil {
			return fmt.Errorf("sweep %s: %w", store, err)
		}
		n, err := driver.Tidy(ctx, store)
		s.done.Temporary += n
		if err != nil {
			return fmt.Errorf("sweep temporary files of %s: %w", store, err)
		}
	}
	return nil
}

// logStores returns the URLs of the stores that hold logs and nothing else.
func logStores(img *meta.Image) (urls []string) {
	seen := map[string]bool{"s3": true}
	add := func(url string) {
		if wal.InStore(url) && !seen[url] {
			seen[url] = true
			urls = append(urls, url)
		}
	}
	for n := range img.Nodes() {
		for _, v := range n.Volumes {
			add(v.URL)
		}
	}
	for r := range img.Rescues() {
		add(r.WAL)
	}
	return urls
}

// store sweeps one store, page by page.
func (s *sweep) store(ctx context.Context, store objstore.Store) error {
	pause := time.Duration(float64(time.Second) / s.c.opt.SweepPagesPerSecond)
	after := ""
	for {
		page, err := listPage(ctx, store, after)
		if err != nil || len(page) == 0 {
			return err
		}
		s.done.Keys += len(page)
		if err := s.page(ctx, store, page); err != nil {
			return err
		}
		if len(page) < sweepPage {
			return nil
		}
		after = page[len(page)-1].Key
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return base.Wrap(base.Unavailable, ctx.Err())
		}
	}
}

func listPage(ctx context.Context, store objstore.Store, after string) (page []objstore.Info, err error) {
	for info, err := range store.List(ctx, "", after) {
		if err != nil {
			return nil, err
		}
		if page = append(page, info); len(page) == sweepPage {
			break
		}
	}
	return page, nil
}

// page removes the orphans among the keys of a page.
func (s *sweep) page(ctx context.Context, store objstore.Store, page []objstore.Info) error {
	img := s.c.Image() // not older than the listing
	var doomed []string
	var done Swept
	for i := range page {
		info := &page[i]
		if s.c.opt.Now().Sub(info.Modified) < s.c.opt.SweepGrace {
			continue
		}
		k := audit.ParseKey(s.c.name(), info.Key)
		orphan, err := s.orphan(ctx, store, img, k, info)
		if err != nil {
			return err
		}
		if !orphan {
			continue
		}
		doomed = append(doomed, info.Key)
		switch k.Class {
		case audit.Object:
			done.Objects++
		case audit.Snapshot:
			done.Snapshots++
		case audit.ProbeKey:
			done.Probes++
		default:
			done.Slots++
		}
	}
	if len(doomed) == 0 {
		return nil
	}
	if err := store.Delete(ctx, doomed...); err != nil {
		return err
	}
	s.done.Objects += done.Objects
	s.done.Slots += done.Slots
	s.done.Snapshots += done.Snapshots
	s.done.Probes += done.Probes
	return nil
}

// orphan reports whether a key may be deleted, now and at any later time.
func (s *sweep) orphan(ctx context.Context, store objstore.Store, img *meta.Image, k audit.Key, info *objstore.Info) (bool, error) {
	switch k.Class {
	case audit.Object:
		_, known := img.Object(k.Object)
		return k.Cluster == img.ClusterID() && k.Object < img.NextObject() && !known && store == s.c.opt.Store, nil
	case audit.WALSlot:
		ref := meta.NodeRef{ID: k.Node, Epoch: base.NodeEpoch(k.At.Epoch)}
		if from, lives := img.SlotsNeeded(ref); k.At.Slot == 0 || !img.EpochOver(ref) && !(lives && k.At.Slot < uint64(from)) {
			return false, nil
		}
		return s.data(ctx, s3.Slots(store, img.ClusterID(), k.Node), k, info)
	case audit.MetaSlot:
		if k.At.Slot == 0 || store != s.c.opt.Meta {
			return false, nil
		}
		n, err := s.need(ctx)
		if err != nil {
			return false, err
		}
		if needless, err := n.Slot(ctx, k.At); err != nil || !needless {
			return false, err
		}
		return s.data(ctx, slotlog.Log{Store: store, Cluster: img.ClusterID(), Name: s.c.name()}, k, info)
	case audit.Snapshot:
		n, err := s.need(ctx)
		if err != nil || store != s.c.opt.Store {
			return false, err
		}
		keep, ok := n.Keep()
		return ok && k.At.Less(keep), nil
	case audit.ProbeKey:
		return true, nil
	}
	return false, nil
}

// data reports whether a slot holds data of its log: neither a seal nor something else.
func (s *sweep) data(ctx context.Context, log slotlog.Log, k audit.Key, info *objstore.Info) (bool, error) {
	return log.IsData(ctx, k.At.Epoch, k.At.Slot, info.Size)
}

func (s *sweep) need(ctx context.Context) (*metalog.Needless, error) {
	if s.needless != nil {
		return s.needless, nil
	}
	n, err := metalog.ReaderAt(s.c.opt.metalog(), s.c.Image(), s.c.position()).Needless(ctx)
	if err == nil {
		s.needless = n
	}
	return n, err
}

// name is the key prefix of the metadata log.
func (c *Controller) name() string {
	if c.opt.Name == "" {
		return "meta"
	}
	return c.opt.Name
}
