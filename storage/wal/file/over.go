package file

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strconv"
	"strings"

	"sluice/base"
	"sluice/storage/wal/block"
)

// A directory that is used for years has had thousands of node epochs. What is left of those that were rescued and removed is one empty file per node,
//
//	<node>-<epoch>.over   no WAL of this node is made here any more under that epoch or a lower one
//
// and nothing else. It takes the place of the directories, whose names kept a writer that wakes up late from making its WAL after all: who makes one
// looks for such a file when its directory has its name already. The file is there before a directory goes, so whoever finds the name free finds the file.
//
// Files are only added, and a lower one goes only when a higher one is there, so that two rescuers at once, of different epochs, cannot undo each other.
// A legitimate writer never meets one: epochs rise, and an epoch that was to get its WAL and was overtaken by a later one that is over already gets none.

const overSuffix = ".over"

func overName(v block.Victim) string { return epochName(v.Node, v.Epoch) + overSuffix }

func parseOverName(name string) (block.Victim, bool) {
	rest, ok := strings.CutSuffix(name, overSuffix)
	if !ok {
		return block.Victim{}, false
	}
	return parseEpochName(rest)
}

// overUpTo returns the highest epoch of the node that is over here; -1 if there is none.
func (c Config) overUpTo(node base.NodeID) (base.NodeEpoch, error) {
	names, err := c.FS.List(c.Dir)
	if err != nil {
		return 0, classify(err)
	}
	highest := base.NodeEpoch(-1)
	for _, name := range names {
		if v, ok := parseOverName(name); ok && v.Node == node {
			highest = max(highest, v.Epoch)
		}
	}
	return highest, nil
}

// isOver reports whether no WAL of the victim is made here any more.
func (c Config) isOver(v block.Victim) (bool, error) {
	highest, err := c.overUpTo(v.Node)
	return v.Epoch <= highest, err
}

// end takes away what is left of a WAL whose blocks are gone. It may be repeated, and go on where it broke off.
func (c Config) end(v block.Victim) error {
	if over, err := c.isOver(v); err != nil {
		return err
	} else if !over {
		if err := c.FS.Put(c.in(overName(v)), nil); err != nil && !errors.Is(err, fs.ErrExist) {
			return classify(err)
		}
	}
	if err := c.FS.Remove(c.in(epochName(v.Node, v.Epoch))); err != nil {
		return classify(err)
	}
	return c.tidyOver(v.Node)
}

// tidyOver leaves the file of the highest epoch.
func (c Config) tidyOver(node base.NodeID) error {
	highest, err := c.overUpTo(node)
	if err != nil {
		return err
	}
	names, err := c.FS.List(c.Dir)
	if err != nil {
		return classify(err)
	}
	for _, name := range names {
		if v, ok := parseOverName(name); ok && v.Node == node && v.Epoch < highest {
			if err := c.FS.Remove(c.in(name)); err != nil {
				return classify(err)
			}
		}
	}
	return nil
}

// removedName marks a WAL whose blocks were deleted, as earlier versions left it.
const removedName = "removed"

// endRemoved takes away what earlier versions left of WALs that were removed. What fails here is tried again at the next start.
func (c Config) endRemoved() {
	names, _ := c.FS.List(c.Dir)
	for _, name := range names {
		v, ok := parseEpochName(name)
		if !ok {
			continue
		}
		if inside, err := c.FS.List(c.in(name)); err == nil && slices.Contains(inside, removedName) {
			c.end(v)
		}
	}
}

// parseEpochName parses the name of a node epoch's directory.
func parseEpochName(name string) (block.Victim, bool) {
	a, b, _ := strings.Cut(name, "-")
	node, errNode := strconv.ParseInt(a, 10, 32)
	epoch, errEpoch := strconv.ParseInt(b, 10, 64)
	v := block.Victim{Node: base.NodeID(node), Epoch: base.NodeEpoch(epoch)}
	return v, errNode == nil && errEpoch == nil && epochName(v.Node, v.Epoch) == name
}

// refuseOver takes the directory away again that a writer has made for an epoch that is over.
func (c Config) refuseOver(v block.Victim) error {
	over, err := c.isOver(v)
	if err == nil && !over {
		return nil
	}
	if err == nil {
		err = base.Errorf(base.Exists, "node epoch %v had its WAL in %s, which was rescued and removed", v, c.Dir)
	}
	if rm := c.FS.Remove(c.in(epochName(v.Node, v.Epoch))); rm != nil {
		err = fmt.Errorf("%w; and its directory stays: %v", err, rm)
	}
	return err
}
