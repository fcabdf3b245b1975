package wal

import (
	"context"
	"iter"
	neturl "net/url"
	"slices"
	"strings"
	"sync"

	"sluice/base"
	"sluice/base/config"
	"sluice/storage/wal/block"
	"sluice/storage/wal/disk"
	"sluice/storage/wal/disk/memdisk"
	"sluice/storage/wal/file"
	"sluice/storage/wal/s3"
)

// class is what a WAL URL stands for.
type class interface {
	Create(ctx context.Context, opt block.Options) (block.Log, error)
	Seal(ctx context.Context, opt block.Options, victim block.Victim, from base.WALPos, who string) (base.WALPos, error)
	Read(ctx context.Context, opt block.Options, victim block.Victim, from, end base.WALPos) iter.Seq2[*block.Block, error]
	Remove(ctx context.Context, opt block.Options, victim block.Victim) error
	Probe(ctx context.Context) error
	Epochs(ctx context.Context) ([]block.Victim, error)
	Identify(ctx context.Context) (block.Identity, error)
	Format(ctx context.Context, id block.Identity) error
	SetIdentity(ctx context.Context, id block.Identity) error
}

var (
	_ class = file.Config{}
	_ class = s3.Class{}
)

const forms = "want file://DIR[?shared=true][&capacity=SIZE], s3, s3://BUCKET[/PREFIX], gs://BUCKET[/PREFIX], az://ACCOUNT/CONTAINER[/PREFIX] or mem://NAME"

// bucketSchemes are those of the stores that can hold a WAL of class s3.
var bucketSchemes = []string{"s3", "gs", "az"}

// inBucket reports whether a WAL at the URL is of class s3: in the bucket, or in another one.
func inBucket(rawURL string) bool {
	scheme, _, found := strings.Cut(rawURL, "://")
	return rawURL == "s3" || found && slices.Contains(bucketSchemes, scheme)
}

// open finds the class of a URL; files is the file system of directories, nil the operating system's. The error has kind Invalid.
func open(rawURL string, files disk.FS) (class, error) {
	scheme, rest, found := strings.Cut(rawURL, "://")
	switch {
	case rawURL == "s3":
		return s3.Class{}, nil
	case inBucket(rawURL):
		return s3.Class{URL: rawURL}, nil
	case found && scheme == "file" && rest != "":
		return openFile(rawURL, rest, files)
	case found && scheme == "mem" && rest != "" && !strings.ContainsAny(rest, "?#/"):
		return openMem(rest)
	}
	return nil, base.Errorf(base.Invalid, "WAL URL %q: %s", rawURL, forms)
}

// Local reports whether only the node id that writes the WAL at url can reach it: a directory that is not shared, or memory. Nobody else
// can rescue such a WAL. So is a URL that this program does not understand.
func Local(url string) bool {
	scheme, rest, found := strings.Cut(url, "://")
	switch {
	case inBucket(url):
		return false
	case found && scheme == "file":
		_, query, _ := strings.Cut(rest, "?")
		values, err := neturl.ParseQuery(query)
		shared := values["shared"]
		return err != nil || len(shared) == 0 || shared[len(shared)-1] != "true"
	}
	return true
}

func openFile(rawURL, rest string, files disk.FS) (class, error) {
	dir, query, _ := strings.Cut(rest, "?")
	values, err := neturl.ParseQuery(query)
	if err != nil || dir == "" || strings.Contains(dir, "#") {
		return nil, base.Errorf(base.Invalid, "WAL URL %q: %s", rawURL, forms)
	}
	var shared bool
	var capacity, segment config.Bytes
	for key, all := range values {
		value := all[len(all)-1]
		switch key {
		case "shared":
			if shared = value == "true"; !shared && value != "false" {
				return nil, base.Errorf(base.Invalid, "WAL URL %q: shared=%q: want true or false", rawURL, value)
			}
		case "capacity":
			capacity, err = config.ParseBytes(value)
		case "segment":
			segment, err = config.ParseBytes(value)
		default:
			return nil, base.Errorf(base.Invalid, "WAL URL %q: unknown option %q; known are shared, capacity and segment", rawURL, key)
		}
		if err != nil {
			return nil, base.Errorf(base.Invalid, "WAL URL %q: %s=%q: %w", rawURL, key, value, err)
		}
	}
	c, err := file.New(dir, shared, int64(capacity), int64(segment))
	if err != nil {
		return nil, err
	}
	if files != nil {
		c.FS = files
	}
	return c, nil
}

// memories holds the WALs of class mem: they live as long as the process does, like a disk that the name stands for.
var memories sync.Map

// The size of a WAL of class mem. What is not written takes no memory.
const (
	memCapacity = 1 << 30
	memSegment  = 16 << 20
)

func openMem(name string) (class, error) {
	d, _ := memories.LoadOrStore(name, memdisk.New())
	c, err := file.New(name, false, memCapacity, memSegment)
	c.FS = d.(*memdisk.Disk)
	return c, err
}

// InStore reports whether the WAL at url is a log of objects: in the bucket, if url is s3, else in the store that url names.
func InStore(url string) bool { return inBucket(url) }

// Check reads the WAL of a node epoch in files from a position to where it ends now, and changes nothing; see file.Config.Check. Invalid: it is
// not a WAL in files, or the directory is not this cluster's. A directory that is not there is NotFound.
func Check(ctx context.Context, url string, opt Options, victim Victim, from base.WALPos) (end base.WALPos, blocks int, err error) {
	c, err := open(url, opt.FS)
	if err != nil {
		return 0, 0, err
	}
	f, ok := c.(file.Config)
	if !ok {
		return 0, 0, base.Errorf(base.Invalid, "%s is not a WAL in files", url)
	}
	return f.Check(ctx, pooled(opt), victim, from)
}
