package file

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"sluice/base"
	"sluice/storage/wal/block"
	"sluice/storage/wal/disk"
)

// Seal fences the victim and finds the end of its log.
func (c Config) Seal(ctx context.Context, opt block.Options, victim block.Victim, from base.WALPos, who string) (base.WALPos, error) {
	if err := c.check(opt.Cluster, victim.Node); err != nil {
		return 0, err
	}
	dir := epochName(victim.Node, victim.Epoch)
	if _, err := c.FS.ReadFile(c.in(dir, tokenName)); errors.Is(err, fs.ErrNotExist) {
		if over, err := c.isOver(victim); err != nil || over && from == 0 {
			return 0, err // it is not made any more
		}
		if err := c.sealMissing(opt.Cluster, victim, from, who); err != nil {
			return 0, err
		}
	} else if err != nil {
		return 0, classify(err)
	}
	if end, err := c.readSeal(dir); !errors.Is(err, fs.ErrNotExist) {
		return end, classify(err)
	}
	unlock, err := c.fence(ctx, dir, who)
	if err != nil {
		return 0, err
	}
	defer unlock()
	return c.findAndRecord(ctx, opt, victim, from, who)
}

// fence has the writer of a WAL acknowledge nothing any more: its token is marked, and where the directory is local its lock is held until unlock. Unavailable: another process has the lock.
func (c Config) fence(ctx context.Context, dir, who string) (unlock func(), err error) {
	unlock = func() {}
	if !c.Shared {
		lock, err := c.lock(ctx, dir)
		if errors.Is(err, disk.ErrLocked) {
			return nil, base.Errorf(base.Unavailable, "%s: the process that writes this WAL is still alive: %w", c.in(dir), err)
		} else if err != nil {
			return nil, classify(err)
		}
		unlock = func() { lock.Close() }
	}
	if err := c.mark(dir, who); err != nil {
		unlock()
		return nil, err
	}
	return unlock, nil
}

// lockRetry is the pause between two tries to lock.
const lockRetry = 20 * time.Millisecond

// lock takes the lock of a node epoch's directory, waiting LockWait for it.
func (c Config) lock(ctx context.Context, dir string) (io.Closer, error) {
	for end := time.Now().Add(c.LockWait); ; {
		lock, err := c.FS.Lock(c.in(dir, lockName))
		if !errors.Is(err, disk.ErrLocked) || time.Now().After(end) {
			return lock, err
		}
		select {
		case <-time.After(lockRetry):
		case <-ctx.Done():
			return nil, err
		}
	}
}

// sealMissing takes the place of a WAL that was never made, so that its writer, should it wake up yet, cannot make it.
func (c Config) sealMissing(cluster base.UUID, victim block.Victim, from base.WALPos, who string) error {
	dir := epochName(victim.Node, victim.Epoch)
	if from > 0 {
		return base.Errorf(base.Corrupt, "%s does not exist, although the log was trimmed to %d", c.in(dir), from)
	}
	tmp := fmt.Sprintf("%s%s-%016x", tmpPrefix, dir, rand.Uint64())
	token := newToken(cluster, victim, base.NewUUID())
	copy(token[tokenSlot:], record(magicMark).text(who).end())
	err := c.FS.Mkdir(c.in(tmp))
	for _, f := range []struct {
		name    string
		content []byte
	}{{tokenName, token}, {lockName, nil}, {sealName, sealRecord(0, who)}} {
		if err == nil {
			err = c.FS.Put(c.in(tmp, f.name), f.content)
		}
	}
	if err == nil {
		err = c.claim(tmp, dir, token)
	}
	if err != nil {
		c.FS.Remove(c.in(tmp))
	}
	if base.IsKind(err, base.Exists) {
		return nil // it was made meanwhile: seal that
	}
	return classify(err)
}

// Remove deletes a WAL that nobody reads any more. What stays is that no other is made in its place. One that could not be sealed, for it is damaged or its disk failed just then,
// is fenced here: its end is of no use to anybody, but its writer must not acknowledge what is deleted. Unavailable: that writer holds the lock of a local one.
func (c Config) Remove(ctx context.Context, opt block.Options, victim block.Victim) error {
	if err := c.check(opt.Cluster, victim.Node); err != nil {
		return err
	}
	dir := epochName(victim.Node, victim.Epoch)
	names, err := c.FS.List(c.in(dir))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return classify(err)
	}
	over, err := c.isOver(victim)
	if err != nil {
		return err
	}
	if !over && !slices.Contains(names, sealName) && !slices.Contains(names, removedName) {
		unlock, err := c.fence(ctx, dir, "removal")
		if err != nil && !errors.Is(err, fs.ErrNotExist) { // without a token or a lock nobody writes
			return err
		}
		if err == nil {
			defer unlock()
		}
	}
	for _, name := range names { // first what takes room, which a full disk may need for the rest
		if isSegment(name) || strings.HasSuffix(name, newSuffix) {
			if err := c.FS.Remove(c.in(dir, name)); err != nil {
				return classify(err)
			}
		}
	}
	return c.end(victim)
}

// Epochs lists the WALs that have not been removed.
func (c Config) Epochs(context.Context) ([]block.Victim, error) {
	names, err := c.FS.List(c.Dir)
	if err != nil {
		return nil, classify(err)
	}
	var all []block.Victim
	for _, name := range names {
		v, ok := parseEpochName(name)
		if !ok {
			continue
		}
		inside, err := c.FS.List(c.in(name))
		if err != nil {
			return nil, classify(err)
		}
		if !slices.Contains(inside, removedName) {
			all = append(all, v)
		}
	}
	slices.SortFunc(all, func(a, b block.Victim) int {
		if a.Node != b.Node {
			return int(a.Node) - int(b.Node)
		}
		return int(a.Epoch - b.Epoch)
	})
	return all, nil
}

// probePrefix begins the name of the directory that Probe works in.
const probePrefix = ".probe-"

// Probe tries in a directory of its own, which it removes again, everything a WAL relies on. Where c.Dir does not exist yet, its
// nearest existing parent is probed.
func (c Config) Probe(context.Context) (err error) {
	dir := c.Dir
	for dir != parent(dir) {
		if _, err := c.FS.List(dir); !errors.Is(err, fs.ErrNotExist) {
			break
		}
		dir = parent(dir)
	}
	c.Dir = dir
	probe := fmt.Sprintf("%s%016x", probePrefix, rand.Uint64())
	if err := c.FS.Mkdir(c.in(probe)); err != nil {
		return fmt.Errorf("WAL directory %s: %w", c.Dir, classify(err))
	}
	defer func() {
		if e := c.FS.Remove(c.in(probe)); err == nil {
			err = classify(e)
		}
	}()
	for _, step := range []struct {
		what string
		try  func(dir string) error
	}{{"names files only once", c.probePut}, {"shows a mark to a fresh open", c.probeToken}, {"keeps what is written and synced", c.probeWrite}, {"locks", c.probeLock}} {
		if err := step.try(probe); err != nil {
			return fmt.Errorf("WAL directory %s is not fit for a WAL: a file system is needed that %s: %w", c.Dir, step.what, classify(err))
		}
	}
	return nil
}

func (c Config) probePut(dir string) error {
	if err := c.FS.Put(c.in(dir, "put"), []byte("one")); err != nil {
		return err
	}
	if err := c.FS.Put(c.in(dir, "put"), []byte("two")); !errors.Is(err, fs.ErrExist) {
		return base.Errorf(base.Invalid, "a file was made twice (%v)", err)
	}
	return c.FS.SyncDir(c.in(dir))
}

func (c Config) probeToken(dir string) error {
	token := newToken(base.NewUUID(), block.Victim{}, base.NewUUID())
	if err := c.FS.Put(c.in(dir, tokenName), token); err != nil {
		return err
	}
	if err := c.confirm(dir, token); err != nil {
		return err
	}
	if err := c.mark(dir, "probe"); err != nil {
		return err
	}
	if err := c.confirm(dir, token); !base.IsKind(err, base.Fenced) {
		return base.Errorf(base.Invalid, "a mark on the token was not seen (%v)", err)
	}
	return nil
}

func (c Config) probeWrite(dir string) error {
	f, err := c.FS.Create(c.in(dir, "write"), 4*disk.Align)
	if err != nil {
		return err
	}
	defer f.Close()
	b := aligned(disk.Align)
	copy(b, "probe")
	if err := f.WriteDurable(b, 2*disk.Align); err != nil {
		return err
	}
	back, err := c.FS.ReadFile(c.in(dir, "write"))
	if err != nil {
		return err
	}
	if len(back) != 4*disk.Align || string(back[2*disk.Align:3*disk.Align]) != string(b) {
		return base.Errorf(base.Invalid, "something else came back")
	}
	return nil
}

func (c Config) probeLock(dir string) error {
	if c.Shared {
		return nil
	}
	if err := c.FS.Put(c.in(dir, lockName), nil); err != nil {
		return err
	}
	lock, err := c.FS.Lock(c.in(dir, lockName))
	if err != nil {
		return err
	}
	return lock.Close()
}
