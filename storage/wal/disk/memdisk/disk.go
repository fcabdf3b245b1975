package memdisk

import (
	"io"
	"io/fs"
	"maps"
	"math/rand/v2"
	"path"
	"slices"
	"strings"
	"sync"
	"syscall"

	"sluice/storage/wal/disk"
)

// Op is an operation about to happen, for a Hook.
type Op struct {
	Kind string // the name of the method: Create, WriteDurable, …
	Path string
	Off  int64
	Data []byte // WriteDurable, Overwrite: must not be changed
}

// Hook is asked before each operation. It may block. An error is the operation's result, which then has no effect.
type Hook func(Op) error

// Disk is a file system. Its root exists.
type Disk struct {
	mu struct {
		sync.Mutex
		root   *node
		hook   Hook
		dead   bool
		flight map[*write]struct{}
	}
}

// write is a durable write that has begun and not returned.
type write struct {
	node *node
	data []byte
	off  int64
}

// node is a file or a directory.
type node struct {
	content *pages // of a file
	entries map[string]*node
	synced  map[string]*node // the entries that a crash keeps
	locked  bool
}

func newDir() *node { return &node{entries: map[string]*node{}, synced: map[string]*node{}} }

var _ disk.FS = (*Disk)(nil)

// New returns an empty file system.
func New() *Disk {
	d := &Disk{}
	d.mu.root = newDir()
	d.mu.flight = map[*write]struct{}{}
	return d
}

// SetHook replaces the hook; nil takes it away.
func (d *Disk) SetHook(h Hook) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.mu.hook = h
}

// Crash ends this file system, and returns what a machine finds after a power failure at this moment.
func (d *Disk) Crash(rng *rand.Rand) *Disk {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.mu.dead = true
	for w := range d.mu.flight {
		for at := 0; at < len(w.data); at += sectorBytes {
			if rng.IntN(2) == 0 {
				w.node.content.write(w.data[at:min(at+sectorBytes, len(w.data))], w.off+int64(at))
			}
		}
	}
	after := New()
	after.mu.root = survive(d.mu.root, rng, map[*node]*node{})
	return after
}

func survive(n *node, rng *rand.Rand, seen map[*node]*node) *node {
	if c := seen[n]; c != nil {
		return c
	}
	if n.content != nil {
		seen[n] = &node{content: n.content.clone()}
		return seen[n]
	}
	c := newDir()
	seen[n] = c
	names := slices.Sorted(maps.Keys(n.entries))
	for name := range n.synced {
		if _, ok := n.entries[name]; !ok {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	for _, name := range names {
		child := n.entries[name]
		if old := n.synced[name]; old != child && rng.IntN(2) == 0 {
			child = old
		}
		if child != nil {
			c.entries[name] = survive(child, rng, seen)
		}
	}
	c.synced = maps.Clone(c.entries)
	return c
}

// Corrupt changes a byte of a file behind everybody's back.
func (d *Disk) Corrupt(name string, off int64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	n := d.findLocked(name)
	b := []byte{0}
	n.content.read(b, off)
	b[0] ^= 0xff
	n.content.write(b, off)
}

func (d *Disk) begin(op Op) error {
	d.mu.Lock()
	hook, dead := d.mu.hook, d.mu.dead
	d.mu.Unlock()
	if hook != nil && !dead {
		if err := hook(op); err != nil {
			return &fs.PathError{Op: op.Kind, Path: op.Path, Err: err}
		}
	}
	return nil
}

// locked runs fn with the lock held unless the disk is dead.
func (d *Disk) locked(kind, name string, fn func() error) error {
	if err := d.begin(Op{Kind: kind, Path: name}); err != nil {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	err := error(syscall.EIO)
	if !d.mu.dead {
		err = fn()
	}
	if err != nil {
		return &fs.PathError{Op: kind, Path: name, Err: err}
	}
	return nil
}

func split(name string) []string {
	return strings.FieldsFunc(path.Clean(name), func(r rune) bool { return r == '/' })
}

func (d *Disk) findLocked(name string) *node {
	n := d.mu.root
	for _, part := range split(name) {
		if part == "." {
			continue
		}
		if n == nil || n.entries == nil {
			return nil
		}
		n = n.entries[part]
	}
	return n
}

// parentLocked returns the directory of name, or an error.
func (d *Disk) parentLocked(name string) (*node, string, error) {
	dir := d.findLocked(path.Dir(path.Clean(name)))
	if dir == nil || dir.entries == nil {
		return nil, "", fs.ErrNotExist
	}
	return dir, path.Base(name), nil
}

func (d *Disk) addLocked(name string, n *node) error {
	dir, last, err := d.parentLocked(name)
	if err != nil {
		return err
	}
	if dir.entries[last] != nil {
		return fs.ErrExist
	}
	dir.entries[last] = n
	return nil
}

// Create implements disk.FS.
func (d *Disk) Create(name string, size int64) (disk.File, error) {
	n := &node{content: &pages{size: size, page: map[int64][]byte{}}}
	err := d.locked("Create", name, func() error { return d.addLocked(name, n) })
	if err != nil {
		return nil, err
	}
	return &file{d: d, n: n, name: name}, nil
}

// Open implements disk.FS.
func (d *Disk) Open(name string) (disk.File, error) {
	f := &file{d: d, name: name}
	err := d.locked("Open", name, func() error {
		if f.n = d.findLocked(name); f.n == nil || f.n.content == nil {
			return fs.ErrNotExist
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return f, nil
}

// Mkdir implements disk.FS.
func (d *Disk) Mkdir(name string) error {
	return d.locked("Mkdir", name, func() error { return d.addLocked(name, newDir()) })
}

// SyncDir implements disk.FS.
func (d *Disk) SyncDir(name string) error {
	return d.locked("SyncDir", name, func() error {
		n := d.findLocked(name)
		if n == nil || n.entries == nil {
			return fs.ErrNotExist
		}
		n.synced = maps.Clone(n.entries)
		return nil
	})
}

// Rename implements disk.FS.
func (d *Disk) Rename(from, to string) error {
	return d.locked("Rename", from, func() error {
		dir, last, err := d.parentLocked(from)
		if err != nil || dir.entries[last] == nil {
			return fs.ErrNotExist
		}
		target, name, err := d.parentLocked(to)
		if err != nil {
			return err
		}
		if old := target.entries[name]; old != nil && old.entries != nil {
			return fs.ErrExist
		}
		target.entries[name] = dir.entries[last]
		delete(dir.entries, last)
		return nil
	})
}

// Remove implements disk.FS.
func (d *Disk) Remove(name string) error {
	return d.locked("Remove", name, func() error {
		if dir, last, err := d.parentLocked(name); err == nil {
			delete(dir.entries, last)
		}
		return nil
	})
}

// List implements disk.FS.
func (d *Disk) List(name string) (names []string, err error) {
	err = d.locked("List", name, func() error {
		n := d.findLocked(name)
		if n == nil {
			return fs.ErrNotExist
		}
		names = slices.Sorted(maps.Keys(n.entries))
		return nil
	})
	return names, err
}

// ReadFile implements disk.FS.
func (d *Disk) ReadFile(name string) (content []byte, err error) {
	err = d.locked("ReadFile", name, func() error {
		n := d.findLocked(name)
		if n == nil || n.content == nil {
			return fs.ErrNotExist
		}
		content = make([]byte, n.content.size)
		n.content.read(content, 0)
		return nil
	})
	return content, err
}

func fileOf(content []byte) *node {
	n := &node{content: &pages{size: int64(len(content)), page: map[int64][]byte{}}}
	n.content.write(content, 0)
	return n
}

// Put implements disk.FS.
func (d *Disk) Put(name string, content []byte) error {
	return d.locked("Put", name, func() error {
		n := fileOf(content)
		if err := d.addLocked(name, n); err != nil {
			return err
		}
		dir, last, _ := d.parentLocked(name)
		dir.synced[last] = n
		return nil
	})
}

// Replace implements disk.FS.
func (d *Disk) Replace(name string, content []byte) error {
	return d.locked("Replace", name, func() error {
		dir, last, err := d.parentLocked(name)
		if err != nil {
			return err
		}
		n := fileOf(content)
		dir.entries[last], dir.synced[last] = n, n
		return nil
	})
}

// Overwrite implements disk.FS.
func (d *Disk) Overwrite(name string, off int64, content []byte) error {
	f, err := d.Open(name)
	if err != nil {
		return err
	}
	return f.(*file).write("Overwrite", content, off)
}

// Lock implements disk.FS.
func (d *Disk) Lock(name string) (io.Closer, error) {
	l := &held{d: d}
	err := d.locked("Lock", name, func() error {
		if l.n = d.findLocked(name); l.n == nil {
			return fs.ErrNotExist
		}
		if l.n.locked {
			return disk.ErrLocked
		}
		l.n.locked = true
		return nil
	})
	if err != nil {
		return nil, err
	}
	return l, nil
}

type held struct {
	d *Disk
	n *node
}

func (l *held) Close() error {
	l.d.mu.Lock()
	defer l.d.mu.Unlock()
	l.n.locked = false
	return nil
}

// file is an open file.
type file struct {
	d    *Disk
	n    *node
	name string
}

func (f *file) WriteDurable(p []byte, off int64) error { return f.write("WriteDurable", p, off) }

func (f *file) write(kind string, p []byte, off int64) error {
	if off < 0 || off+int64(len(p)) > f.n.content.size {
		panic("BUG: memdisk: write outside of " + f.name)
	}
	w := &write{node: f.n, data: p, off: off}
	f.d.mu.Lock()
	f.d.mu.flight[w] = struct{}{}
	f.d.mu.Unlock()
	err := f.d.begin(Op{Kind: kind, Path: f.name, Off: off, Data: p})
	f.d.mu.Lock()
	defer f.d.mu.Unlock()
	delete(f.d.mu.flight, w)
	if err == nil && f.d.mu.dead {
		err = &fs.PathError{Op: kind, Path: f.name, Err: syscall.EIO}
	}
	if err == nil {
		f.n.content.write(p, off)
	}
	return err
}

func (f *file) ReadAt(p []byte, off int64) (n int, err error) {
	err = f.d.locked("ReadAt", f.name, func() error {
		n = f.n.content.read(p, off)
		return nil
	})
	if err == nil && n < len(p) {
		err = io.EOF
	}
	return n, err
}

func (f *file) Size() (int64, error) { return f.n.content.size, nil }
func (f *file) Direct() bool         { return true }
func (f *file) Preallocated() bool   { return true }
func (f *file) Close() error         { return nil }
