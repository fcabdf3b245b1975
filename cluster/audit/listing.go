package audit

import (
	"context"
	"fmt"
	"time"

	"sluice/base"
	"sluice/cluster/meta"
	"sluice/cluster/metalog"
	"sluice/storage/objstore/driver"
	"sluice/storage/slotlog"
	"sluice/storage/wal/s3"
)

// listing is what a listing of the bucket shows. It is a list of candidates, never the truth.
type listing struct {
	objects map[base.ObjectID]int64 // sizes of this cluster's objects that the image knows
	wals    map[logRef][]slotKey
	orphans []orphan
	foreign []Finding
	meta    metalog.Position // the last slot of the metadata log, were it one row
}

// logRef is a log in a listing.
type logRef struct {
	store driver.Store
	node  meta.NodeRef
}

func (l *listing) slot(store driver.Store, k Key, info driver.Info) {
	ref := logRef{store, meta.NodeRef{ID: k.Node, Epoch: base.NodeEpoch(k.At.Epoch)}}
	l.wals[ref] = append(l.wals[ref], slotKey{k.At.Slot, info.Size, info.Modified})
}

// slotKey is a slot in a listing.
type slotKey struct {
	slot     uint64
	size     int64
	modified time.Time
}

// foreignMax bounds how many foreign keys are reported one by one.
const foreignMax = 20

// list goes through the bucket, and through the place of the metadata log where that is elsewhere.
func (v *verifier) list(ctx context.Context, img *meta.Image) (*listing, error) {
	l := &listing{objects: make(map[base.ObjectID]int64, img.ObjectCount()), wals: map[logRef][]slotKey{}}
	needless, err := v.reader.Needless(ctx)
	if err != nil {
		return nil, err
	}
	foreign := 0
	for info, err := range v.opt.Bucket.List(ctx, "", "") {
		if err != nil {
			return nil, fmt.Errorf("list the bucket: %w", err)
		}
		if v.report.Keys++; v.report.Keys%1000 == 0 {
			v.opt.Progress(v.progress)
		}
		k := ParseKey(v.opt.Name, info.Key)
		switch {
		case k.Class == Object && k.Cluster == img.ClusterID():
			l.object(v.opt.Bucket, img, k, info)
		case k.Class == WALSlot:
			l.slot(v.opt.Bucket, k, info)
		case k.Class == MetaSlot && v.opt.Meta == v.opt.Bucket:
			if err := v.metaSlot(ctx, l, needless, k, info); err != nil {
				return nil, err
			}
		case k.Class == Snapshot:
			if keep, ok := needless.Keep(); ok && k.At.Less(keep) {
				l.orphan(v.opt.Bucket, info, OrphanObject, "a snapshot older than the two newest")
			}
		case k.Class == ProbeKey:
			l.orphan(v.opt.Bucket, info, OrphanObject, "left by a probe of the store that was cut off")
		case k.Class != Mark:
			if foreign++; foreign <= foreignMax {
				l.foreign = append(l.foreign, finding(ForeignKey, "%s, %d bytes", foreignWhy(k), info.Size).at(info.Key, ""))
			}
		}
	}
	if foreign > foreignMax {
		l.foreign = append(l.foreign, finding(ForeignKey, "and %d more", foreign-foreignMax))
	}
	if err := v.listLogs(ctx, l, img); err != nil {
		return nil, err
	}
	if err := v.overLogs(ctx, l, img); err != nil || v.opt.Meta == v.opt.Bucket {
		return l, err
	}
	return l, v.listMeta(ctx, l, needless)
}

func foreignWhy(k Key) string {
	if k.Class == Object {
		return "an object of cluster " + k.Cluster.String()
	}
	return "not a key of Sluice"
}

// listLogs lists the stores that hold nothing but logs.
func (v *verifier) listLogs(ctx context.Context, l *listing, img *meta.Image) error {
	for _, url := range logStores(img) {
		store, err := v.store(ctx, url)
		if err != nil {
			continue // the walk of the log says so
		}
		for info, err := range store.List(ctx, "wal/", "") {
			if err != nil {
				return fmt.Errorf("list the write-ahead logs in %s: %w", store, err)
			}
			v.report.Keys++
			if k := ParseKey(v.opt.Name, info.Key); k.Class == WALSlot {
				l.slot(store, k, info)
			}
		}
	}
	return nil
}

// listMeta lists the place of the metadata log, where that is not the bucket.
func (v *verifier) listMeta(ctx context.Context, l *listing, needless *metalog.Needless) error {
	for info, err := range v.opt.Meta.List(ctx, v.opt.Name+"/", "") {
		if err != nil {
			return fmt.Errorf("list the metadata log: %w", err)
		}
		v.report.Keys++
		if k := ParseKey(v.opt.Name, info.Key); k.Class == MetaSlot {
			if err := v.metaSlot(ctx, l, needless, k, info); err != nil {
				return err
			}
		} else {
			l.foreign = append(l.foreign, finding(ForeignKey, "not a slot of the metadata log").at(info.Key, ""))
		}
	}
	return nil
}

func (l *listing) object(store driver.Store, img *meta.Image, k Key, info driver.Info) {
	if _, ok := img.Object(k.Object); ok {
		l.objects[k.Object] = info.Size
	} else if k.Object < img.NextObject() {
		l.orphan(store, info, OrphanObject, fmt.Sprintf("the metadata does not have object %s any more", k.Object))
	}
}

func (l *listing) orphan(store driver.Store, info driver.Info, k Kind, why string) {
	l.orphans = append(l.orphans, orphan{finding(k, "%s; %d bytes", why, info.Size).at(info.Key, ""), info.Modified, store})
}

func (v *verifier) metaSlot(ctx context.Context, l *listing, needless *metalog.Needless, k Key, info driver.Info) error {
	if l.meta.Less(k.At) {
		l.meta = k.At
	}
	gone, err := needless.Slot(ctx, k.At)
	if base.IsKind(err, base.Corrupt) {
		return nil // the end of the epoch cannot be read; that was found already
	}
	if err != nil || !gone {
		return err
	}
	data, err := v.reader.Slots().IsData(ctx, k.At.Epoch, k.At.Slot, info.Size)
	if err == nil && data {
		l.orphan(v.opt.Meta, info, OrphanSlot, "a slot of the metadata log that lies below the second-newest snapshot, or behind the end of its epoch")
	}
	return err
}

// overLogs checks what is left of the logs of node epochs that are over: slot 0 and the seal, and nothing else.
func (v *verifier) overLogs(ctx context.Context, l *listing, img *meta.Image) error {
	for at, slots := range l.wals {
		if from, lives := img.SlotsNeeded(at.node); lives {
			if err := v.belowTrim(ctx, l, s3.Slots(at.store, img.ClusterID(), at.node.ID), at, slots, from); err != nil {
				return err
			}
		}
		if !img.EpochOver(at.node) {
			continue
		}
		ref := at.node
		log, sealed := s3.Slots(at.store, img.ClusterID(), ref.ID), false
		for _, s := range slots {
			data, err := log.IsData(ctx, uint64(ref.Epoch), s.slot, s.size)
			if err != nil {
				return err
			}
			info := driver.Info{Key: log.Key(uint64(ref.Epoch), s.slot), Size: s.size, Modified: s.modified}
			switch {
			case data && s.slot != 0:
				l.orphan(at.store, info, OrphanSlot, fmt.Sprintf("a slot of the log of node %d, epoch %d, which is over", ref.ID, ref.Epoch))
			case !data:
				isSeal, err := v.seal(ctx, log, ref, s.slot)
				if err != nil {
					return err
				}
				sealed = sealed || isSeal
			}
		}
		if slots[0].slot != 0 || !sealed {
			f := finding(MissingSlot, "slot 0 and a seal are to stay for ever, so that a writer that wakes up late runs into one; slot 0: %t, seal: %t", slots[0].slot == 0, sealed)
			f.Severity = Warning
			f.Advice = "nothing, if no process of that epoch can wake up any more"
			l.foreign = append(l.foreign, f.at(log.EpochPrefix(uint64(ref.Epoch)), fmt.Sprintf("log of node %d, epoch %d", ref.ID, ref.Epoch)))
		}
	}
	return nil
}

// belowTrim finds slots of a log that is being written which lie below its trim, and were deleted or are about to be.
func (v *verifier) belowTrim(ctx context.Context, l *listing, log slotlog.Log, at logRef, slots []slotKey, from base.WALPos) error {
	for _, s := range slots {
		if s.slot == 0 || s.slot >= uint64(from) {
			continue
		}
		data, err := log.IsData(ctx, uint64(at.node.Epoch), s.slot, s.size)
		if err != nil {
			return err
		}
		if data {
			info := driver.Info{Key: log.Key(uint64(at.node.Epoch), s.slot), Size: s.size, Modified: s.modified}
			l.orphan(at.store, info, OrphanSlot, fmt.Sprintf("a slot of the log of node %d, epoch %d, below its trim %d", at.node.ID, at.node.Epoch, from))
		}
	}
	return nil
}

func (v *verifier) seal(ctx context.Context, log slotlog.Log, ref meta.NodeRef, slot uint64) (bool, error) {
	s, err := log.Read(ctx, uint64(ref.Epoch), slot)
	v.report.Slots++
	if base.IsKind(err, base.Corrupt) || base.IsKind(err, base.NotFound) {
		return false, nil
	}
	return s.Seal != nil, err
}
