package metalog

import (
	"context"
	"fmt"
	"strings"

	"sluice/base"
	"sluice/storage/objstore"
	"sluice/storage/slotlog"
)

// The slots may have a place of their own, outside of the bucket. Then the bucket holds a mark that says so, `<name>/place`: without it,
// whoever forgot to name the place, or named an empty one, would create a second cluster on the objects of the first. The mark is put
// by whoever takes the log over, after slot 0 of epoch 0: before there is a mark there is no object either.
const (
	markName = "/place"
	markHead = "sluice metadata log\n"
)

// mark says to which cluster a bucket belongs whose metadata log is elsewhere.
type mark struct {
	cluster base.UUID
	place   string // a URL without credentials, for people
}

func (m mark) encode() []byte {
	return []byte(markHead + "cluster " + m.cluster.String() + "\nplace " + strings.ReplaceAll(m.place, "\n", " ") + "\n")
}

func decodeMark(b []byte) (m mark, err error) {
	text, ok := strings.CutPrefix(string(b), markHead)
	id, place, ok2 := strings.Cut(strings.TrimPrefix(text, "cluster "), "\nplace ")
	place, ok3 := strings.CutSuffix(place, "\n")
	cluster, err := base.ParseUUID(id)
	if !ok || !ok2 || !ok3 || err != nil {
		return m, base.Errorf(base.Corrupt, "mark of the metadata's place: %.100q is none", b)
	}
	return mark{cluster, place}, nil
}

// readMark returns the bucket's mark, if it has one.
func (o Options) readMark(ctx context.Context) (m mark, found bool, err error) {
	b, err := o.Snapshots.Get(ctx, o.Name+markName, 0, -1, nil)
	if base.IsKind(err, base.NotFound) {
		return m, false, nil
	}
	if err != nil {
		return m, false, fmt.Errorf("read the mark of the metadata's place: %w", err)
	}
	m, err = decodeMark(b)
	return m, err == nil, err
}

// checkVacant returns an Invalid error when the place of the slots is empty but the bucket belongs to a cluster: the place is the
// wrong one, or has lost what it held.
func (o Options) checkVacant(ctx context.Context) error {
	m, found, err := o.readMark(ctx)
	if err != nil {
		return err
	}
	if found {
		return base.Errorf(base.Invalid, "the bucket %s says that the metadata log of its cluster %s is in %s, but there is none in %s; name the place with the setting meta, or give an empty bucket",
			o.Snapshots, m.cluster, m.place, o.Store)
	}
	if !o.apart() {
		return nil
	}
	switch cluster, err := slotlog.ClusterOf(ctx, o.Snapshots, o.Name); {
	case err == nil:
		return base.Errorf(base.Invalid, "the bucket %s holds the metadata log of cluster %s, so there cannot be one in %s; leave the setting meta empty, or give an empty bucket", o.Snapshots, cluster, o.Store)
	case !base.IsKind(err, base.NotFound):
		return err
	}
	return nil
}

// checkMark reports whether the bucket is marked. The error is Invalid when it belongs to another cluster than the slots do.
func (o Options) checkMark(ctx context.Context, cluster base.UUID) (marked bool, err error) {
	m, found, err := o.readMark(ctx)
	if err == nil && found && m.cluster != cluster {
		return true, base.Errorf(base.Invalid, "the metadata log in %s is that of cluster %s, but the bucket %s belongs to cluster %s, whose log is in %s; set bucket and meta to those of one cluster",
			o.Store, cluster, o.Snapshots, m.cluster, m.place)
	}
	return found, err
}

// putMark marks the bucket as that of the cluster, unless it is marked already. Errors as checkMark.
func (o Options) putMark(ctx context.Context, cluster base.UUID) error {
	for {
		err := o.Snapshots.Put(ctx, o.Name+markName, [][]byte{mark{cluster, o.Store.String()}.encode()}, objstore.PutOptions{IfAbsent: true})
		switch {
		case err == nil || base.IsKind(err, base.Exists):
			_, err := o.checkMark(ctx, cluster)
			return err
		case !base.IsKind(err, base.Undetermined) || ctx.Err() != nil:
			return fmt.Errorf("mark the bucket with the metadata's place: %w", err)
		}
	}
}
