package simdisk

import (
	"errors"
	"io"
	"io/fs"
	"strings"
	"sync"
	"syscall"
	"time"

	"sluice/storage/wal/disk"
)

// Shared begins the paths of the shared file system.
const Shared = "/shared"

// Mount is what one life of a process sees: the disk of its machine and, under [Shared], the one that is shared.
type Mount struct {
	name          string
	local, shared *Disk
	point         func(op, path string, before bool)
	dead          chan struct{} // closed by Down

	mu struct {
		sync.Mutex
		down   bool
		shut   chan struct{} // nil: open; else closed when it opens
		locks  []*held
		flight []*action // that have not happened
		hit    int       // rules have hit so many of its operations
	}
}

var _ disk.FS = (*Mount)(nil)

// NewMount returns the view of a process of that name. point, if not nil, is told of each operation that changes something, right before it happens and right after it;
// it may call Down.
func NewMount(name string, local, shared *Disk, point func(op, path string, before bool)) *Mount {
	if point == nil {
		point = func(string, string, bool) {}
	}
	return &Mount{name: name, local: local, shared: shared, point: point, dead: make(chan struct{})}
}

// action is an operation under way.
type action struct {
	op, path string
	changes  bool
	data     []byte                                // of a write
	write    func(part []byte, offset int64) error // a part of it
	do       func() error                          // all of it
}

// Hit returns how many operations of this mount the rules have hit, and how many had to wait because the mount or its disk was shut.
func (m *Mount) Hit() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.mu.hit
}

// SetShut holds all operations back, or lets them go on.
func (m *Mount) SetShut(shut bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.mu.shut = switched(m.mu.shut, shut)
}

// Down ends the process: what has not happened does not happen, or by halves; its locks are free.
func (m *Mount) Down() {
	m.mu.Lock()
	if m.mu.down {
		m.mu.Unlock()
		return
	}
	m.mu.down = true
	flight, locks := m.mu.flight, m.mu.locks
	m.mu.flight, m.mu.locks = nil, nil
	m.mu.Unlock()
	for _, a := range flight {
		if a.write != nil {
			m.disk(a.path).tear(a.data, a.write)
		}
	}
	close(m.dead)
	for _, l := range locks {
		l.inner.Close()
	}
}

func (m *Mount) disk(path string) *Disk {
	if strings.HasPrefix(path, Shared) {
		return m.shared
	}
	return m.local
}

// pass takes half of the time of an operation. An error says that the process is gone.
func (m *Mount) pass(k *Disk) error {
	t := time.NewTimer(k.draw())
	defer t.Stop()
	select {
	case <-t.C:
	case <-m.dead:
		return syscall.EIO
	}
	for waits := false; ; waits = true {
		opens := m.whenOpen(k)
		if opens == nil {
			return nil
		}
		if !waits {
			m.mu.Lock()
			m.mu.hit++
			m.mu.Unlock()
		}
		select {
		case <-opens:
		case <-m.dead:
			return syscall.EIO
		}
	}
}

func (m *Mount) whenOpen(k *Disk) chan struct{} {
	m.mu.Lock()
	shut := m.mu.shut
	m.mu.Unlock()
	if shut != nil {
		return shut
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.mu.shut
}

// run does an operation.
func (m *Mount) run(a *action) error {
	k := m.disk(a.path)
	if err := m.begin(a, k); err != nil {
		return &fs.PathError{Op: a.op, Path: a.path, Err: err}
	}
	r := k.decide(a.op, a.path, a.changes)
	err := m.happen(a, k, r)
	if a.changes || err != nil && r != nil {
		k.trace("%s disk %s %s: %s", m.name, a.op, a.path, outcome(err, r))
	}
	if a.changes && m.alive() {
		m.point(a.op, a.path, false)
	}
	if gone := m.pass(k); gone != nil {
		err = gone
	}
	if err != nil && !isPathError(err) {
		err = &fs.PathError{Op: a.op, Path: a.path, Err: err}
	}
	return err
}

// begin takes an operation to the instant at which it happens.
func (m *Mount) begin(a *action, k *Disk) error {
	m.mu.Lock()
	if m.mu.down {
		m.mu.Unlock()
		return syscall.EIO
	}
	m.mu.flight = append(m.mu.flight, a)
	m.mu.Unlock()
	err := m.pass(k)
	if err == nil && a.changes {
		m.point(a.op, a.path, true)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if err != nil || m.mu.down {
		return syscall.EIO
	}
	for i, b := range m.mu.flight {
		if a == b {
			m.mu.flight = append(m.mu.flight[:i], m.mu.flight[i+1:]...)
			break
		}
	}
	return nil
}

func (m *Mount) alive() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return !m.mu.down
}

// happen has an operation happen, as the rule says.
func (m *Mount) happen(a *action, k *Disk, r *rule) error {
	if r == nil {
		return a.do()
	}
	m.mu.Lock()
	m.mu.hit++
	m.mu.Unlock()
	switch r.Effect {
	case LoseAnswer:
		if err := a.do(); err != nil {
			return err
		}
		return repeated(a.op, r)
	case Tear:
		if a.write != nil {
			k.tear(a.data, a.write)
		}
	case Stuck:
		select {
		case <-k.changed():
			return a.do()
		case <-m.dead:
			return syscall.EIO
		}
	case Late:
		if k.shared && a.changes {
			a.keep()
			wait := k.late()
			go func() {
				time.Sleep(wait)
				k.trace("%s disk %s %s happens late: %s", m.name, a.op, a.path, outcome(a.do(), nil))
			}()
		}
	}
	return r.err()
}

// keep has a write own its bytes, because the caller will have them back before it happens.
func (a *action) keep() {
	if a.write != nil {
		data, write := append([]byte(nil), a.data...), a.write
		a.do = func() error { return write(data, 0) }
	}
}

// repeated is what a request gets that has succeeded, was not answered and is sent again.
func repeated(op string, r *rule) error {
	switch op {
	case "Rename":
		return fs.ErrNotExist
	case "Mkdir", "Create":
		return fs.ErrExist
	}
	return r.err()
}

func isPathError(err error) bool {
	var p *fs.PathError
	return errors.As(err, &p)
}

func outcome(err error, r *rule) string {
	text := "ok"
	if p := (*fs.PathError)(nil); errors.As(err, &p) {
		text = p.Err.Error()
	} else if err != nil {
		text = err.Error()
	}
	if r != nil {
		text += ", by the rule " + r.Name
	}
	return text
}

// change is an operation that changes something.
func (m *Mount) change(op, path string, do func() error) error {
	return m.run(&action{op: op, path: path, changes: true, do: do})
}

// look is one that does not.
func (m *Mount) look(op, path string, do func() error) error {
	return m.run(&action{op: op, path: path, do: do})
}

// Create implements disk.FS.
func (m *Mount) Create(path string, size int64) (f disk.File, err error) {
	mem := m.disk(path).mem()
	var inner disk.File
	err = m.change("Create", path, func() (err error) {
		inner, err = mem.Create(path, size)
		return err
	})
	return m.opened(inner, path, err)
}

// Open implements disk.FS.
func (m *Mount) Open(path string) (disk.File, error) {
	mem := m.disk(path).mem()
	var inner disk.File
	err := m.look("Open", path, func() (err error) {
		inner, err = mem.Open(path)
		return err
	})
	return m.opened(inner, path, err)
}

func (m *Mount) opened(inner disk.File, path string, err error) (disk.File, error) {
	if err != nil {
		return nil, err
	}
	return &file{m: m, path: path, File: inner}, nil
}

// Mkdir implements disk.FS.
func (m *Mount) Mkdir(path string) error {
	mem := m.disk(path).mem()
	return m.change("Mkdir", path, func() error { return mem.Mkdir(path) })
}

// SyncDir implements disk.FS.
func (m *Mount) SyncDir(path string) error {
	mem := m.disk(path).mem()
	return m.change("SyncDir", path, func() error { return mem.SyncDir(path) })
}

// Rename implements disk.FS.
func (m *Mount) Rename(from, to string) error {
	mem := m.disk(from).mem()
	return m.change("Rename", from, func() error { return mem.Rename(from, to) })
}

// Remove implements disk.FS.
func (m *Mount) Remove(path string) error {
	mem := m.disk(path).mem()
	return m.change("Remove", path, func() error { return mem.Remove(path) })
}

// List implements disk.FS.
func (m *Mount) List(path string) (names []string, err error) {
	mem := m.disk(path).mem()
	err = m.look("List", path, func() (err error) {
		names, err = mem.List(path)
		return err
	})
	return names, err
}

// ReadFile implements disk.FS.
func (m *Mount) ReadFile(path string) (content []byte, err error) {
	mem := m.disk(path).mem()
	err = m.look("ReadFile", path, func() (err error) {
		content, err = mem.ReadFile(path)
		return err
	})
	return content, err
}

// Put implements disk.FS.
func (m *Mount) Put(path string, content []byte) error {
	mem, content := m.disk(path).mem(), append([]byte(nil), content...)
	return m.change("Put", path, func() error { return mem.Put(path, content) })
}

// Replace implements disk.FS.
func (m *Mount) Replace(path string, content []byte) error {
	mem, content := m.disk(path).mem(), append([]byte(nil), content...)
	return m.change("Replace", path, func() error { return mem.Replace(path, content) })
}

// Overwrite implements disk.FS.
func (m *Mount) Overwrite(path string, off int64, content []byte) error {
	mem := m.disk(path).mem()
	write := func(part []byte, at int64) error { return mem.Overwrite(path, off+at, part) }
	return m.run(&action{op: "Overwrite", path: path, changes: true, data: content, write: write, do: func() error { return write(content, 0) }})
}

// Lock implements disk.FS.
func (m *Mount) Lock(path string) (io.Closer, error) {
	mem := m.disk(path).mem()
	l := &held{m: m}
	err := m.look("Lock", path, func() (err error) {
		m.mu.Lock()
		defer m.mu.Unlock()
		if m.mu.down {
			return syscall.EIO
		}
		if l.inner, err = mem.Lock(path); err == nil {
			m.mu.locks = append(m.mu.locks, l)
		}
		return err
	})
	if err != nil {
		l.Close()
		return nil, err
	}
	return l, nil
}

// held is a lock of the process.
type held struct {
	m     *Mount
	inner io.Closer
}

// Close gives the lock back, unless the end of the process has done that.
func (l *held) Close() error {
	l.m.mu.Lock()
	defer l.m.mu.Unlock()
	for i, o := range l.m.mu.locks {
		if o == l {
			l.m.mu.locks = append(l.m.mu.locks[:i], l.m.mu.locks[i+1:]...)
			return l.inner.Close()
		}
	}
	return nil
}

// file is an open file.
type file struct {
	m    *Mount
	path string // under which it was opened
	disk.File
}

// WriteDurable implements disk.File.
func (f *file) WriteDurable(p []byte, off int64) error {
	write := func(part []byte, at int64) error { return f.File.WriteDurable(part, off+at) }
	return f.m.run(&action{op: "WriteDurable", path: f.path, changes: true, data: p, write: write, do: func() error { return write(p, 0) }})
}

// ReadAt implements disk.File.
func (f *file) ReadAt(p []byte, off int64) (n int, err error) {
	var end error
	err = f.m.look("ReadAt", f.path, func() error {
		if n, end = f.File.ReadAt(p, off); end == io.EOF {
			return nil
		}
		return end
	})
	if err != nil {
		return 0, err
	}
	return n, end
}
