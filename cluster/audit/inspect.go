package audit

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"strconv"
	"strings"

	"sluice/base"
	"sluice/cluster/metalog"
	"sluice/storage/object"
	"sluice/storage/objstore/driver"
	"sluice/storage/slotlog"
	"sluice/storage/wal/s3"
)

// InspectOptions say where to look. The stores are opened only when something in them is asked for.
type InspectOptions struct {
	Open func(ctx context.Context) (bucket, meta driver.Store, err error) // equal where the metadata log is in the bucket; required
	// OpenStore opens the store of write-ahead logs that have one to themselves; nil: they cannot be looked at.
	OpenStore func(ctx context.Context, url string) (driver.Store, error)
	Name      string // key prefix of the metadata log; "meta"
	All       bool   // whole tables, instead of the first rows
	Deep      bool   // also read and check the blocks of objects, and list their record batches
	Logger    *slog.Logger
	// ShowMeta describes one record of a meta stream; nil: it is not decoded.
	ShowMeta func(data []byte) (string, error)
}

// rowsMax is how many rows a table has without InspectOptions.All.
const rowsMax = 50

const targets = "object:ID, topic:NAME/PARTITION[@OFFSET], wal:NODE/EPOCH, slot, snapshot, latest, a file, or a key of the bucket"

// inspector is one inspection.
type inspector struct {
	opt          InspectOptions
	bucket, meta driver.Store
	rows         int
}

// Inspect shows what target names:
//
//	object:ID                      an object of the cluster, by its id in hexadecimal
//	topic:NAME/PARTITION[@OFFSET]  a partition, or where an offset of it lies
//	wal:NODE/EPOCH                 the write-ahead log of a node epoch, of class s3
//	slot[:EPOCH/SLOT]              a slot of the metadata log, in decimal or 0x…; the newest
//	snapshot[:EPOCH/SLOT]          a snapshot of the metadata; the newest
//	latest                         the cluster, as the end of the metadata log says
//	FILE                           a local file: an object, a slot, a snapshot, a segment or another file of a WAL directory
//	KEY                            an object of the bucket
//
// It works on damaged input as far as it can; the page says where the damage is. An error says that there is nothing to show: Invalid for a
// target that makes no sense, NotFound where there is none, the store's otherwise.
func Inspect(ctx context.Context, target string, opt InspectOptions) (*Page, error) {
	if opt.Name == "" {
		opt.Name = "meta"
	}
	if opt.Logger == nil {
		opt.Logger = slog.New(slog.DiscardHandler)
	}
	in := &inspector{opt: opt, rows: rowsMax}
	if opt.All {
		in.rows = 1 << 30
	}
	return in.target(driver.WithPurpose(ctx, driver.PurposeVerify), target)
}

func (in *inspector) target(ctx context.Context, target string) (*Page, error) {
	kind, rest, _ := strings.Cut(target, ":")
	switch kind {
	case "object", "topic", "wal", "slot", "snapshot", "latest":
		if strings.Contains(target, ":") || kind == "slot" || kind == "snapshot" || kind == "latest" {
			return in.named(ctx, kind, rest)
		}
	}
	switch info, err := os.Stat(target); {
	case err == nil && info.Mode().IsRegular():
		return in.file(target)
	case err == nil && info.IsDir():
		return in.dir(target)
	}
	if err := in.open(ctx); err != nil {
		return nil, err
	}
	k := ParseKey(in.opt.Name, target)
	store := in.bucket
	if k.Class == MetaSlot {
		store = in.meta
	}
	if driver.CheckKey(target) != nil {
		return nil, base.Errorf(base.Invalid, "%q is neither a file nor a key; want %s", target, targets)
	}
	return in.key(ctx, store, target, k)
}

func (in *inspector) open(ctx context.Context) (err error) {
	if in.bucket == nil {
		in.bucket, in.meta, err = in.opt.Open(ctx)
	}
	return err
}

func (in *inspector) named(ctx context.Context, kind, rest string) (*Page, error) {
	if err := in.open(ctx); err != nil {
		return nil, err
	}
	switch kind {
	case "object":
		return in.objectID(ctx, rest)
	case "topic":
		return in.topic(ctx, rest)
	case "wal":
		return in.wal(ctx, rest)
	case "slot":
		return in.slot(ctx, rest)
	case "snapshot":
		return in.snapshot(ctx, rest)
	}
	r, err := in.reader(ctx)
	if err != nil {
		return nil, err
	}
	p := imagePage(r.Image(), in.rows)
	p.Title = "The cluster at the end of the metadata log"
	p.field("next slot", r.Next())
	return p, nil
}

func (in *inspector) reader(ctx context.Context) (*metalog.Reader, error) {
	return openReader(ctx, Options{Bucket: in.bucket, Meta: in.meta, Name: in.opt.Name, Logger: in.opt.Logger}.withDefaults())
}

// pair reads NUMBER/NUMBER.
func pair(what, s string) (a, b uint64, err error) {
	x, y, ok := strings.Cut(s, "/")
	a, errA := strconv.ParseUint(x, 0, 64)
	b, errB := strconv.ParseUint(y, 0, 64)
	if !ok || errA != nil || errB != nil {
		return 0, 0, base.Errorf(base.Invalid, "%s%s: want %sNUMBER/NUMBER, in decimal or 0x…", what, s, what)
	}
	return a, b, nil
}

func (in *inspector) objectID(ctx context.Context, s string) (*Page, error) {
	id, err := strconv.ParseUint(s, 16, 64)
	if err != nil {
		return nil, base.Errorf(base.Invalid, "object:%s: want the id in hexadecimal", s)
	}
	r, err := in.reader(ctx)
	if err != nil {
		return nil, err
	}
	img := r.Image()
	key := object.Key(img.ClusterID(), base.ObjectID(id))
	o, known := img.Object(base.ObjectID(id))
	p, err := in.key(ctx, in.bucket, key, ParseKey(in.opt.Name, key))
	if base.IsKind(err, base.NotFound) && known {
		p, err = &Page{Title: "Object " + key}, nil
		p.damage("the bucket has no such object")
	}
	if err != nil {
		return nil, err
	}
	if !known {
		p.field("in the metadata", "no")
		return p, nil
	}
	p.field("in the metadata", o.State)
	p.field("prepared by", fmt.Sprintf("node %d, epoch %d, at %s", o.Node.ID, o.Node.Epoch, when(o.PreparedMS)))
	p.field("size in the metadata", o.Size)
	c := newCatalogue(img)
	t := p.table("Ranges that lie in it", "stream start end", in.rows)
	for _, h := range c.ranges[o.ID] {
		t.row(StreamName(img, h.stream), h.rng.Start, h.rng.End)
	}
	return p, nil
}

// key shows an object of a store. Large objects are read in parts, and everything else whole.
func (in *inspector) key(ctx context.Context, store driver.Store, key string, k Key) (*Page, error) {
	info, err := store.Stat(ctx, key)
	if base.IsKind(err, base.NotFound) {
		return nil, base.Errorf(base.NotFound, "there is no %s in %s; want %s", key, store, targets)
	}
	if err != nil {
		return nil, err
	}
	src := source{name: key, size: info.Size, read: func(off, n int64) ([]byte, error) { return store.Get(ctx, key, off, n, nil) }}
	p, err := in.bytes(src)
	if err != nil {
		return nil, err
	}
	p.field("stored", info.Modified.UTC().Format("2006-01-02T15:04:05.000Z"))
	if k.Class == Foreign {
		p.field("key", "not a key of Sluice")
	}
	return p, nil
}

// slot shows a slot of the metadata log: the one named, or the newest.
func (in *inspector) slot(ctx context.Context, s string) (*Page, error) {
	at := metalog.Position{}
	if s == "" {
		r, err := in.reader(ctx)
		if err != nil {
			return nil, err
		}
		if at = r.Next(); at.Slot > 0 {
			at.Slot--
		}
	} else {
		var err error
		if at.Epoch, at.Slot, err = pair("slot:", s); err != nil {
			return nil, err
		}
	}
	key := slotlog.Log{Name: in.opt.Name}.Key(at.Epoch, at.Slot)
	return in.key(ctx, in.meta, key, Key{Class: MetaSlot})
}

func (in *inspector) snapshot(ctx context.Context, s string) (*Page, error) {
	at := metalog.Position{}
	if s == "" {
		found := false
		for info, err := range in.bucket.List(ctx, in.opt.Name+"/snapshot/", "") {
			if err != nil {
				return nil, err
			}
			if k := ParseKey(in.opt.Name, info.Key); k.Class == Snapshot {
				at, found = k.At, true
			}
		}
		if !found {
			return nil, base.Errorf(base.NotFound, "the bucket has no snapshot of the metadata: there is one when enough log has come together")
		}
	} else {
		var err error
		if at.Epoch, at.Slot, err = pair("snapshot:", s); err != nil {
			return nil, err
		}
	}
	return in.key(ctx, in.bucket, in.opt.Name+"/snapshot/"+at.String(), Key{Class: Snapshot})
}

// wal shows the log of a node epoch: what the metadata says of it and its blocks.
func (in *inspector) wal(ctx context.Context, s string) (*Page, error) {
	node, epoch, err := pair("wal:", s)
	if err != nil {
		return nil, err
	}
	r, err := in.reader(ctx)
	if err != nil {
		return nil, err
	}
	img := r.Image()
	p := &Page{Title: fmt.Sprintf("Write-ahead log of node %d, epoch %d", node, epoch)}
	ref := nodeRef(node, epoch)
	url, trim := "s3", base.WALPos(0)
	switch l, state := findLog(img, ref); {
	case state != "":
		p.field("state", state)
		p.field("place", l.url)
		p.field("trim", l.trim)
		url, trim = l.url, l.trim
	case img.EpochOver(ref):
		p.field("state", "over: only slot 0 and the seal are to be left")
	default:
		return nil, base.Errorf(base.NotFound, "the metadata knows no epoch %d of node %d", epoch, node)
	}
	if strings.HasPrefix(url, "file://") {
		return p, in.walFiles(p, url, ref)
	}
	store, err := in.logStore(ctx, url)
	if err != nil {
		return nil, err
	}
	log := s3.Slots(store, img.ClusterID(), ref.ID)
	return p, in.walSlots(ctx, p, log, epoch, uint64(trim))
}

// logStore returns the store of the logs at url.
func (in *inspector) logStore(ctx context.Context, url string) (driver.Store, error) {
	v := verifier{opt: Options{Bucket: in.bucket, OpenStore: in.opt.OpenStore}, stores: map[string]driver.Store{}}
	return v.store(ctx, url)
}
