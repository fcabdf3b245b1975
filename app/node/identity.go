package node

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"

	"sluice/base"
	"sluice/storage/wal"
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

// readIdentity finds out who this node was. formatted says that the WAL directory is ready for use.
func readIdentity(ctx context.Context, data, walURL string) (id identity, formatted bool, err error) {
	header, err := wal.Identify(ctx, walURL)
	switch {
	case base.IsKind(err, base.NotFound):
	case err != nil:
		return nobody, false, err
	default:
		formatted = true
		if ownWAL(walURL) {
			return identity{header.Cluster, header.Node}, true, nil
		}
	}
	if ownWAL(walURL) || data == "" {
		return nobody, formatted, nil
	}
	b, err := os.ReadFile(filepath.Join(data, identityName))
	if errors.Is(err, os.ErrNotExist) {
		if formatted {
			return identity{header.Cluster, base.NoNode}, true, nil
		}
		return nobody, false, nil
	}
	if err != nil {
		return nobody, false, base.Errorf(base.Invalid, "data directory: %w", err)
	}
	var f identityFile
	if err := json.Unmarshal(b, &f); err != nil {
		return nobody, false, base.Errorf(base.Corrupt, "%s: %w; remove the file to start as a new node", filepath.Join(data, identityName), err)
	}
	cluster, err := base.ParseUUID(f.Cluster)
	if err != nil {
		return nobody, false, base.Errorf(base.Corrupt, "%s: %w; remove the file to start as a new node", filepath.Join(data, identityName), err)
	}
	if formatted && header.Cluster != cluster {
		return nobody, false, base.Errorf(base.Invalid, "the WAL directory %s belongs to cluster %s, but the data directory %s to %s", walURL, header.Cluster, data, cluster)
	}
	return identity{cluster, base.NodeID(f.Node)}, formatted, nil
}

// writeIdentity records who this node is now, before it has anything in its WAL.
func writeIdentity(ctx context.Context, data, walURL string, formatted bool, id identity, incarnation base.UUID) error {
	header := wal.Identity{Cluster: id.Cluster, Node: base.NoNode}
	if ownWAL(walURL) {
		header.Node, header.Incarnation = id.Node, incarnation
	}
	switch {
	case !formatted:
		if err := wal.Format(ctx, walURL, header); err != nil && !base.IsKind(err, base.Exists) {
			return err
		}
	case ownWAL(walURL):
		if err := wal.SetIdentity(ctx, walURL, header); err != nil {
			return err
		}
	}
	if ownWAL(walURL) || data == "" {
		return nil
	}
	b, err := json.Marshal(identityFile{Cluster: id.Cluster.String(), Node: int32(id.Node)})
	if err != nil {
		return err
	}
	return replaceFile(filepath.Join(data, identityName), append(b, '\n'))
}

// replaceFile writes a file so that a crash leaves the old or the new content.
func replaceFile(name string, content []byte) error {
	tmp := name + ".tmp"
	f, err := os.Create(tmp)
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	if err == nil {
		err = f.Sync()
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return err
	}
	return os.Rename(tmp, name)
}

// claimData creates and locks the data directory, so that no two processes on one machine think they are the same node.
func claimData(data string) (release func(), err error) {
	if data == "" {
		return func() {}, nil
	}
	if err := os.MkdirAll(data, 0o755); err != nil {
		return nil, base.Errorf(base.Invalid, "setting data = %q: %w", data, err)
	}
	return lockFile(filepath.Join(data, "lock"), data)
}
