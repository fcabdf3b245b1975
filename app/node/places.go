package node

import (
	"path/filepath"
	"slices"
	"strings"

	"sluice/base"
	"sluice/base/config"
	"sluice/cluster/meta"
	"sluice/storage/wal"
)

// places are the URLs of bucket, WAL and metadata log with everything filled in that the configuration leaves open. Directories are absolute,
// because the WAL's place is recorded in the metadata.
type places struct {
	bucket string
	wals   []string // at least one
	meta   string   // empty: in the bucket
}

func findPlaces(c *config.Config) (p places, err error) {
	if p.bucket = c.Bucket; p.bucket == "" {
		p.bucket = "file://" + filepath.Join(c.Data, "bucket")
	}
	if p.wals = c.WALs(); len(p.wals) == 0 {
		switch scheme(p.bucket) {
		case "s3", "gs", "az":
			p.wals = []string{"s3"}
		case "mem":
			p.wals = []string{p.bucket}
		default:
			p.wals = []string{"file://" + filepath.Join(c.Data, "wal")}
		}
	}
	if p.bucket, err = absolute(p.bucket); err != nil {
		return p, err
	}
	for i, url := range p.wals {
		if url, err = absolute(url); err != nil {
			return p, err
		}
		if p.wals[i] = url; url == p.bucket && wal.InStore(url) {
			p.wals[i] = "s3" // the same, in fewer words and whatever the others call the bucket
		}
		for _, other := range p.wals[:i] {
			if place := meta.WALPlace(other); place == meta.WALPlace(p.wals[i]) {
				return p, base.Errorf(base.Invalid, "setting wal = %q names %s twice", c.WAL, place)
			}
		}
	}
	if p.meta, err = absolute(c.Meta); p.meta == p.bucket {
		p.meta = ""
	}
	return p, err
}

// dataOnly reports whether neither metadata log nor WAL is in the bucket.
func (p places) dataOnly() bool { return p.meta != "" && !slices.Contains(p.wals, "s3") }

// wayOut says what to do about a bucket without put-if-absent.
func (p places) wayOut() string {
	switch {
	case p.meta == "" && slices.Contains(p.wals, "s3"):
		return "use a store that has it, or keep only the data there: name other places for the metadata log with --meta and for the WAL with --wal"
	case p.meta == "":
		return "use a store that has it, or keep only the data there: name another place for the metadata log with --meta"
	default:
		return "use a store that has it, or keep only the data there: name another place for the WAL with --wal"
	}
}

// walStores returns the URLs of the stores that WALs have to themselves; those in the bucket or a directory have none.
func (p places) walStores() (urls []string) {
	for _, url := range p.wals {
		if wal.InStore(url) && url != "s3" && url != p.bucket {
			urls = append(urls, url)
		}
	}
	return urls
}

func scheme(url string) string {
	s, _, _ := strings.Cut(url, "://")
	return s
}

// ownWAL reports whether the WAL is a directory that belongs to one node alone (mem is a directory in memory).
func ownWAL(url string) bool {
	return wal.Local(url)
}

// absolute makes the directory of a file URL absolute and leaves other URLs alone.
func absolute(url string) (string, error) {
	dir, ok := strings.CutPrefix(url, "file://")
	if !ok {
		return url, nil
	}
	dir, query, hasQuery := strings.Cut(dir, "?")
	dir, err := filepath.Abs(dir)
	if err != nil {
		return "", base.Errorf(base.Invalid, "directory %s: %w", url, err)
	}
	if hasQuery {
		dir += "?" + query
	}
	return "file://" + dir, nil
}

// Places returns the URLs of the bucket, the WALs and the metadata log that a broker with this configuration would use; meta is empty where the
// log is in the bucket. Errors have kind Invalid.
func Places(c *config.Config) (bucket string, wals []string, meta string, err error) {
	p, err := findPlaces(c)
	return p.bucket, p.wals, p.meta, err
}
