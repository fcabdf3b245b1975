package audit

import (
	"context"
	"fmt"
	"slices"

	"sluice/base"
	"sluice/cluster/meta"
	"sluice/storage/objstore/driver"
	"sluice/storage/slotlog"
	"sluice/storage/wal"
	"sluice/storage/wal/block"
	"sluice/storage/wal/s3"
)

// logFinding is something wrong with a write-ahead log, at a position of it.
type logFinding struct {
	Finding
	ref meta.NodeRef
	pos base.WALPos
}

// noPos stands for the log as a whole.
const noPos = base.WALPos(1<<63 - 1)

// walLog is a write-ahead log that the image needs, from its trim on.
type walLog struct {
	ref  meta.NodeRef
	url  string
	trim base.WALPos
}

// neededLogs returns the logs of the nodes that live, one per volume, and of those whose rescue is not done.
func neededLogs(img *meta.Image) (out []walLog) {
	for n := range img.Nodes() {
		for _, v := range n.Volumes {
			if !n.Fenced && v.State != meta.VolumePreparing {
				out = append(out, walLog{meta.NodeRef{ID: n.ID, Epoch: v.Epoch}, v.URL, v.Trim})
			}
		}
	}
	for r := range img.Rescues() {
		if r.State != meta.RescueDone {
			out = append(out, walLog{r.Victim, r.WAL, r.WALTrim})
		}
	}
	return out
}

// logs walks all logs that the image needs.
func (v *verifier) logs(ctx context.Context, img *meta.Image) (out []logFinding, err error) {
	for _, l := range neededLogs(img) {
		found, err := v.walk(ctx, img, l)
		if err != nil {
			return nil, err
		}
		out = append(out, found...)
	}
	return out, nil
}

// walk checks one log, of whatever class.
func (v *verifier) walk(ctx context.Context, img *meta.Image, l walLog) ([]logFinding, error) {
	if !wal.InStore(l.url) {
		return v.walkFiles(ctx, img, l)
	}
	store, err := v.store(ctx, l.url)
	if err != nil {
		f := finding(NotChecked, "%s cannot be opened: %v", l.url, err).at("", logName(l.ref))
		return []logFinding{{f, l.ref, noPos}}, nil
	}
	return v.walkSlots(ctx, img.ClusterID(), store, l)
}

// store returns the store that holds the logs at a URL: the bucket, unless they have one to themselves.
func (v *verifier) store(ctx context.Context, url string) (driver.Store, error) {
	if url == "s3" {
		return v.opt.Bucket, nil
	}
	if s, ok := v.stores[url]; ok {
		return s, nil
	}
	if v.opt.OpenStore == nil {
		return nil, base.Errorf(base.Invalid, "nobody said how")
	}
	s, err := v.opt.OpenStore(ctx, url)
	if err == nil {
		v.stores[url] = s
	}
	return s, err
}

// walkSlots checks a log of class s3: from its trim on its slots are contiguous and intact, and slot 0 is there. It ends at a seal, or where
// there is no slot; but not where a later block was sealed when the slot was durable already.
func (v *verifier) walkSlots(ctx context.Context, cluster base.UUID, store driver.Store, l walLog) (out []logFinding, err error) {
	log := s3.Slots(store, cluster, l.ref.ID)
	epoch := uint64(l.ref.Epoch)
	fail := func(pos uint64, k Kind, format string, args ...any) {
		f := finding(k, format, args...).at(log.Key(epoch, pos), logName(l.ref))
		out = append(out, logFinding{f, l.ref, base.WALPos(pos)})
	}
	if l.trim > 0 {
		if _, err := log.Read(ctx, epoch, 0); base.IsKind(err, base.NotFound) {
			fail(0, MissingSlot, "slot 0 is never deleted, and is not there")
		} else if base.IsKind(err, base.Corrupt) {
			fail(0, DamagedSlot, "%v", err)
		} else if err != nil {
			return nil, err
		}
	}
	slot, proven := uint64(l.trim), l.trim
	var prev *block.Header
	for s, err := range log.ReadRange(ctx, epoch, slot, 1<<62, min(v.opt.Parallel, 8)) {
		v.report.Slots++
		if base.IsKind(err, base.NotFound) || err == nil && s.Seal != nil {
			break
		}
		if err != nil && !base.IsKind(err, base.Corrupt) {
			return nil, err
		}
		var h block.Header
		if err == nil {
			h, err = checkBlock(cluster, l.ref, s, prev)
		}
		if err != nil {
			fail(slot, DamagedSlot, "%v", err)
			return out, nil
		}
		proven, prev, slot = max(proven, h.Durable), &h, slot+1
	}
	return out, v.behind(ctx, log, l, slot, proven, fail)
}

// behind looks at the slots that a listing shows behind the end of the walk.
func (v *verifier) behind(ctx context.Context, log slotlog.Log, l walLog, end uint64, proven base.WALPos, fail func(uint64, Kind, string, ...any)) error {
	epoch, who := uint64(l.ref.Epoch), ""
	for info, err := range log.Store.List(ctx, log.EpochPrefix(epoch), log.Key(epoch, end)) {
		if err != nil {
			return err
		}
		k := ParseKey(v.opt.Name, info.Key)
		if k.Class != WALSlot {
			continue
		}
		s, err := log.Read(ctx, epoch, k.At.Slot)
		v.report.Slots++
		if base.IsKind(err, base.NotFound) || base.IsKind(err, base.Corrupt) || err == nil && s.Seal != nil {
			continue
		}
		if err != nil {
			return err
		}
		if h, err := block.Parse(s.Payload); err == nil && h.Durable > proven {
			proven, who = h.Durable, info.Key
		}
	}
	if uint64(proven) <= end {
		return nil
	}
	if s, err := log.Read(ctx, epoch, end); err == nil && s.Seal != nil {
		return nil // what lies behind a seal was never acknowledged
	}
	fail(end, MissingSlot, "the log ends here, but %s says that all below %d was durable", who, proven)
	return nil
}

// checkBlock verifies the block in a slot of a log of class s3.
func checkBlock(cluster base.UUID, ref meta.NodeRef, s slotlog.Slot, prev *block.Header) (block.Header, error) {
	h, err := block.Parse(s.Payload)
	if err != nil {
		return h, err
	}
	if !h.Of(cluster, block.Victim{Node: ref.ID, Epoch: ref.Epoch}) || uint64(h.Pos) != s.Slot || h.Size() != len(s.Payload) || prev != nil && prev.CRC != h.Prev {
		return h, base.Errorf(base.Corrupt, "block %d of node epoch %d-%d does not belong here, or not behind the block before it", h.Pos, h.Node, h.Epoch)
	}
	_, err = block.Records(&h, s.Payload)
	return h, err
}

// lookMax bounds how often a log in files is looked at anew because its trim moved meanwhile.
const lookMax = 5

// walkFiles checks a log in files, where its directory can be reached from here. What is found wrong counts if the trim has not moved past the
// place it was looked at from: room is given back only after that.
func (v *verifier) walkFiles(ctx context.Context, img *meta.Image, l walLog) ([]logFinding, error) {
	opt, victim := wal.Options{Cluster: img.ClusterID(), FS: v.opt.Files}, wal.Victim{Node: l.ref.ID, Epoch: l.ref.Epoch}
	for range lookMax {
		end, blocks, err := wal.Check(ctx, l.url, opt, victim, l.trim)
		v.report.Slots += int64(blocks)
		if err == nil || ctx.Err() != nil {
			return nil, ctx.Err()
		}
		f := finding(NotChecked, "%v", err)
		if base.IsKind(err, base.Corrupt) {
			f = finding(DamagedSlot, "after %d blocks, at %d: %v", blocks, end, err)
		}
		if _, err := v.reader.Poll(ctx); err != nil {
			return nil, err
		}
		now, state := findLog(v.reader.Image(), l.ref)
		if state == "" {
			return nil, nil // it is over
		}
		if now.trim == l.trim {
			return []logFinding{{f.at(l.url, logName(l.ref)), l.ref, noPos}}, nil
		}
		l = now
	}
	return nil, nil
}

func logName(ref meta.NodeRef) string {
	return fmt.Sprintf("log of node %d, epoch %d", ref.ID, ref.Epoch)
}

// confirmLogs walks the logs with findings again, from newer trims, and drops what has been trimmed or rescued since.
func (v *verifier) confirmLogs(ctx context.Context, before []logFinding) (out []Finding, err error) {
	doubtful := map[meta.NodeRef]bool{}
	for _, f := range before {
		doubtful[f.ref] = true
	}
	if len(doubtful) == 0 {
		return nil, nil
	}
	if _, err := v.reader.Poll(ctx); err != nil {
		return nil, err
	}
	img := v.reader.Image()
	var again []logFinding
	for _, l := range neededLogs(img) {
		if _, ok := doubtful[l.ref]; !ok {
			continue
		}
		found, err := v.walk(ctx, img, l)
		if err != nil {
			return nil, err
		}
		again = append(again, found...)
	}
	if _, err := v.reader.Poll(ctx); err != nil {
		return nil, err
	}
	trims := map[meta.NodeRef]base.WALPos{}
	for _, l := range neededLogs(v.reader.Image()) {
		trims[l.ref] = l.trim
	}
	for _, f := range again {
		if trim, ok := trims[f.ref]; ok && (f.pos >= trim || f.pos == 0) {
			out = append(out, f.Finding)
		}
	}
	return out, nil
}

// logStores returns the URLs of the stores that nodes and rescues have logs in and that are not the bucket.
func logStores(img *meta.Image) (urls []string) {
	add := func(url string) {
		if url != "s3" && wal.InStore(url) && !slices.Contains(urls, url) {
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
