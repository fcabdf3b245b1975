package file

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"sluice/base"
	"sluice/storage/wal/block"
	"sluice/storage/wal/disk"
)

// The header of a directory: two slots, the readable one with the higher generation counts, the other one is written next. So
// a torn write loses nothing, and no clock is involved.
const (
	headerName  = "wal.header"
	headerSlot  = disk.Align
	headerBytes = 8 + 2 + 8 + 16 + 8 + 16 + 4
)

type header struct {
	generation uint64
	id         block.Identity
}

func (h header) append() []byte {
	return record(magicHeader).u64(h.generation).uuid(h.id.Cluster).u64(uint64(h.id.Node)).uuid(h.id.Incarnation).end()
}

func parseHeader(b []byte) (header, error) {
	r := open(b, magicHeader, headerBytes)
	h := header{generation: r.u64()}
	h.id = block.Identity{Cluster: r.uuid(), Node: base.NodeID(r.u64()), Incarnation: r.uuid()}
	return h, r.err
}

// readHeader returns the newest header. fs.ErrNotExist when there is none; Corrupt when none of the slots is readable.
func (c Config) readHeader() (header, error) {
	b, err := c.FS.ReadFile(c.in(headerName))
	if err != nil {
		return header{}, err
	}
	b = append(b, make([]byte, max(0, 2*headerSlot-len(b)))...)
	one, errOne := parseHeader(b)
	two, errTwo := parseHeader(b[headerSlot:])
	switch {
	case base.IsKind(errOne, base.Invalid):
		return one, fmt.Errorf("%s: %w", c.in(headerName), errOne)
	case base.IsKind(errTwo, base.Invalid):
		return two, fmt.Errorf("%s: %w", c.in(headerName), errTwo)
	case errOne != nil && errTwo != nil:
		return one, base.Errorf(base.Corrupt, "%s: both copies of the header are unreadable: %v; it is not taken for an unused directory: restore the file, or move the directory away if its content may be lost", c.in(headerName), errOne)
	case errOne != nil || errTwo == nil && two.generation > one.generation:
		return two, nil
	default:
		return one, nil
	}
}

// Identify reads whose directory it is.
func (c Config) Identify(context.Context) (block.Identity, error) {
	h, err := c.header()
	return h.id, err
}

// header returns the newest header, or says what a directory without one is: NotFound (missing or empty), Corrupt (it has WALs),
// Invalid (it has something else). Another node may format a shared directory between the two looks; so a header that the second
// one sees is read again, and since headers are never removed that ends.
func (c Config) header() (header, error) {
	for range 3 {
		h, err := c.readHeader()
		if !errors.Is(err, fs.ErrNotExist) {
			return h, classify(err)
		}
		names, err := c.FS.List(c.Dir)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return header{}, classify(err)
		}
		if !slices.Contains(names, headerName) {
			return header{}, c.unformatted(names)
		}
	}
	return header{}, base.Errorf(base.Unavailable, "%s is listed, and yet not there to be read", c.in(headerName))
}

// unformatted says what a directory without header is that holds these names.
func (c Config) unformatted(names []string) error {
	for _, name := range names {
		_, isEpoch := parseEpochName(name)
		_, isOver := parseOverName(name)
		switch {
		case isEpoch || isOver:
			return base.Errorf(base.Corrupt, "%s: the header %s is missing, but there is the WAL %s; it is not taken for an unused directory", c.Dir, headerName, name)
		case name == "lost+found", strings.HasPrefix(name, probePrefix), strings.HasSuffix(name, ".tmp"):
		default:
			return base.Errorf(base.Invalid, "%s is not a WAL directory: it has no %s, but holds %s; want an empty or missing directory", c.Dir, headerName, name)
		}
	}
	return base.Errorf(base.NotFound, "%s is not formatted as a WAL directory", c.Dir)
}

// Format makes the directory a WAL directory of that identity.
func (c Config) Format(_ context.Context, id block.Identity) error {
	if err := classify(disk.MakeDir(c.FS, c.Dir)); err != nil {
		return err
	}
	h, err := c.header()
	if base.IsKind(err, base.NotFound) {
		content := make([]byte, 2*headerSlot)
		copy(content, header{generation: 1, id: c.own(id)}.append())
		err = c.FS.Put(c.in(headerName), content)
		if !errors.Is(err, fs.ErrExist) {
			return classify(err)
		}
		h, err = c.header() // somebody else was quicker
	}
	if err != nil {
		return err
	}
	if h.id == c.own(id) {
		return nil
	}
	return base.Errorf(base.Exists, "%s is formatted already, for cluster %v, node %v", c.Dir, h.id.Cluster, h.id.Node)
}

// own is what a directory's header says for a node: a shared directory belongs to none.
func (c Config) own(id block.Identity) block.Identity {
	if c.Shared {
		return block.Identity{Cluster: id.Cluster, Node: base.NoNode}
	}
	return id
}

// SetIdentity replaces the identity of a formatted directory. The cluster cannot change, nor whether the directory is shared: other nodes use one
// that is.
func (c Config) SetIdentity(_ context.Context, id block.Identity) error {
	h, err := c.readHeader()
	if err != nil {
		return classify(err)
	}
	if h.id.Cluster != id.Cluster {
		return base.Errorf(base.Invalid, "%s belongs to cluster %v, not to %v", c.Dir, h.id.Cluster, id.Cluster)
	}
	if err := c.checkShared(h.id); err != nil {
		return err
	}
	if h.id == c.own(id) {
		return nil
	}
	next := header{generation: h.generation + 1, id: c.own(id)}
	slot := int64((next.generation - 1) % 2)
	content := make([]byte, headerSlot)
	copy(content, next.append())
	return classify(c.FS.Overwrite(c.in(headerName), slot*headerSlot, content))
}

// check makes sure that the directory is of that cluster and, where it belongs to one, that node.
func (c Config) check(cluster base.UUID, node base.NodeID) error {
	id, err := c.Identify(context.Background())
	if err != nil {
		return err
	}
	if id.Cluster != cluster || id.Node != base.NoNode && !c.Shared && id.Node != node {
		return base.Errorf(base.Invalid, "%s belongs to cluster %v, node %v, not to cluster %v, node %v", c.Dir, id.Cluster, id.Node, cluster, node)
	}
	return c.checkShared(id)
}

// checkShared makes sure that a directory of that identity is shared just if it is used so.
func (c Config) checkShared(id block.Identity) error {
	if (id.Node == base.NoNode) != c.Shared {
		return base.Errorf(base.Invalid, "%s was formatted with shared=%t, but is used with shared=%t", c.Dir, id.Node == base.NoNode, c.Shared)
	}
	return nil
}
