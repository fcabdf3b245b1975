package node

import (
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"path/filepath"
	"slices"

	"sluice/base"
	"sluice/cluster/meta"
	"sluice/storage/wal"
	"sluice/storage/wal/disk"
)

// identity says who this node was when it ran last. Where the WAL is a directory of its own, the directory's header says it,
// because whoever has the WAL is the one who may claim the id. Otherwise the file node.json in the data directory does; it is a
// convenience: without it the node gets a new id, and nothing is lost.
type identity struct {
	Cluster base.UUID
	Node    base.NodeID
}

var nobody = identity{Node: base.NoNode}

// identityFile is the form of node.json.
type identityFile struct {
	Cluster string `json:"cluster"`
	Node    int32  `json:"node"`
}

const identityName = "node.json"

// readIdentity finds out who this node was, from the first of its WALs that says it.
func readIdentity(ctx context.Context, files disk.FS, data string, wals []string) (id identity, err error) {
	id = nobody
	in := wal.Options{FS: files}
	for _, url := range wals {
		header, err := wal.Identify(ctx, url, in)
		switch {
		case base.IsKind(err, base.NotFound):
			continue
		case err != nil:
			return nobody, err
		case !id.Cluster.IsZero() && header.Cluster != id.Cluster:
			return nobody, base.Errorf(base.Invalid, "the WAL directory %s belongs to cluster %s, but another one of this node to cluster %s", url, header.Cluster, id.Cluster)
		case ownWAL(url) && header.Node == base.NoNode:
			return nobody, base.Errorf(base.Invalid, "the WAL directory %s is shared by the nodes of its cluster: add shared=true to its URL, as in %s?shared=true", url, meta.WALPlace(url))
		case ownWAL(url) && id.Node != base.NoNode && header.Node != id.Node:
			return nobody, base.Errorf(base.Invalid, "the WAL directory %s belongs to node %v, but another one of this node to node %v", url, header.Node, id.Node)
		}
		if id.Cluster = header.Cluster; ownWAL(url) {
			id.Node = header.Node
		}
	}
	if id.Node != base.NoNode || data == "" || !slices.ContainsFunc(wals, func(url string) bool { return !ownWAL(url) }) {
		return id, nil
	}
	return readIdentityFile(files, data, id.Cluster)
}

// readIdentityFile reads node.json; its cluster must be the one given, unless that is zero.
func readIdentityFile(files disk.FS, data string, cluster base.UUID) (identity, error) {
	b, err := files.ReadFile(filepath.Join(data, identityName))
	if errors.Is(err, fs.ErrNotExist) {
		return identity{cluster, base.NoNode}, nil
	}
	if err != nil {
		return nobody, base.Errorf(base.Invalid, "data directory: %w", err)
	}
	var f identityFile
	if err := json.Unmarshal(b, &f); err != nil {
		return nobody, base.Errorf(base.Corrupt, "%s: %w; remove the file to start as a new node", filepath.Join(data, identityName), err)
	}
	own, err := base.ParseUUID(f.Cluster)
	if err != nil {
		return nobody, base.Errorf(base.Corrupt, "%s: %w; remove the file to start as a new node", filepath.Join(data, identityName), err)
	}
	if !cluster.IsZero() && cluster != own {
		return nobody, base.Errorf(base.Invalid, "the WAL directory belongs to cluster %s, but the data directory %s to %s", cluster, data, own)
	}
	return identity{own, base.NodeID(f.Node)}, nil
}

// prepareWAL makes a WAL's directory ready for use by this node, which then is the one that may claim its id.
func prepareWAL(ctx context.Context, files disk.FS, url string, id identity, incarnation base.UUID) error {
	in := wal.Options{FS: files}
	header := wal.Identity{Cluster: id.Cluster, Node: base.NoNode}
	if ownWAL(url) {
		header.Node, header.Incarnation = id.Node, incarnation
	}
	was, err := wal.Identify(ctx, url, in)
	switch {
	case base.IsKind(err, base.NotFound):
		if err = wal.Format(ctx, url, in, header); base.IsKind(err, base.Exists) {
			err = nil
		}
		return err
	case err != nil:
		return err
	case was.Cluster != id.Cluster:
		return base.Errorf(base.Invalid, "it belongs to cluster %s", was.Cluster)
	case !ownWAL(url):
		return nil
	}
	return wal.SetIdentity(ctx, url, in, header)
}

// writeIdentity records who this node is now, before it has anything in its WALs.
func writeIdentity(ctx context.Context, files disk.FS, data string, wals []string, id identity, incarnation base.UUID) error {
	if err := prepareWAL(ctx, files, wals[0], id, incarnation); err != nil {
		return err
	}
	if data == "" || !slices.ContainsFunc(wals, func(url string) bool { return !ownWAL(url) }) {
		return nil
	}
	b, err := json.Marshal(identityFile{Cluster: id.Cluster.String(), Node: int32(id.Node)})
	if err != nil {
		return err
	}
	return files.Replace(filepath.Join(data, identityName), append(b, '\n'))
}

// claimData creates and locks the data directory, so that no two processes on one machine think they are the same node.
func (n *Node) claimData() (release func(), err error) {
	data := n.dataDir()
	if data == "" {
		return func() {}, nil
	}
	files, name := n.files(), filepath.Join(data, "lock")
	err = disk.MakeDir(files, filepath.ToSlash(data))
	if err == nil {
		err = files.Put(name, nil)
	}
	if err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, base.Errorf(base.Invalid, "setting data = %q: %w", data, err)
	}
	lock, err := files.Lock(name)
	if errors.Is(err, disk.ErrLocked) {
		return nil, base.Errorf(base.Invalid, "another sluice uses the data directory %s; stop it, or give this one another directory with --data", data)
	}
	if err != nil {
		return nil, base.Errorf(base.Invalid, "setting data = %q: %w", data, err)
	}
	return func() { lock.Close() }, nil
}
