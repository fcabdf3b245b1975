//go:build linux && (amd64 || arm64)

package file

import (
	"io"
	"os"
	"runtime"
	"sync"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"

	"sluice/base/bulk"
)

// Reads and writes around the page cache take milliseconds, and a goroutine that is inside of such a system call keeps its processor (Go's P) until the
// runtime's monitor notices, which sleeps for up to 10 ms. On a machine with two cores two readers of old data could so stop everything else for that long, with
// both cores idle. So direct I/O is handed to the kernel with io_submit(2), which returns at once, and awaited through the network poller, to which an eventfd
// says when something is done.
//
// The package's one goroutine delivers what is done; it exists as long as something is under way.

// asyncMax bounds the operations under way; those beyond are done by system calls that block.
const asyncMax = 128

// async is the kernel's queue of the process.
type async struct {
	context uintptr
	event   *os.File
	eventFD int // of event, whose Fd would make it block

	mu struct {
		sync.Mutex
		last  uint64
		wait  map[uint64]*asyncOp
		awake bool // the goroutine runs
	}
}

// asyncOp is one operation. The kernel has the address of its buffer until it is done.
type asyncOp struct {
	cb   iocb
	ref  *iocb // what io_submit takes the address of
	buf  []byte
	n    int64      // bytes, or an errno below 0
	done sync.Mutex // held until n is there; a channel would belong to the bubble of a test with a clock of its own
}

// iocb and ioEvent are the kernel's, see linux/aio_abi.h.
type iocb struct {
	data             uint64
	key              uint32
	rwFlags          int32
	opcode           uint16
	priority         int16
	fd               uint32
	buf, bytes       uint64
	offset           int64
	_                uint64
	flags, resultsFD uint32
}

type ioEvent struct {
	data, iocb  uint64
	res, second int64
}

const (
	opRead      = 0 // IOCB_CMD_PREAD
	opWrite     = 1 // IOCB_CMD_PWRITE
	flagEventFD = 1 // IOCB_FLAG_RESFD
)

// kernelQueue returns the process's queue, nil where the kernel refuses one: then I/O is done by system calls that block.
var kernelQueue = sync.OnceValue(func() *async {
	a := &async{}
	a.mu.wait = map[uint64]*asyncOp{}
	if _, _, errno := syscall.Syscall(unix.SYS_IO_SETUP, asyncMax, uintptr(unsafe.Pointer(&a.context)), 0); errno != 0 {
		return nil
	}
	fd, err := unix.Eventfd(0, unix.EFD_NONBLOCK|unix.EFD_CLOEXEC)
	if err != nil {
		_, _, _ = syscall.Syscall(unix.SYS_IO_DESTROY, a.context, 0, 0)
		return nil
	}
	a.event, a.eventFD = os.NewFile(uintptr(fd), "eventfd"), fd
	return a
})

// directReadAt and directWriteAt do what ReadAt and WriteAt of a file do that was opened for direct I/O, without keeping a processor.
func directReadAt(f *os.File, b []byte, off int64) (int, error) {
	n, err := transfer(opRead, f, b, off)
	if err == nil && n == 0 && len(b) > 0 {
		err = io.EOF
	}
	return n, err
}

func directWriteAt(f *os.File, b []byte, off int64) (int, error) { return transfer(opWrite, f, b, off) }

// transfer moves b, or less at the end of the file.
func transfer(opcode uint16, f *os.File, b []byte, off int64) (done int, err error) {
	a := kernelQueue()
	for done < len(b) {
		n, ok := int64(0), false
		if a != nil {
			n, ok = a.do(opcode, f, b[done:], off+int64(done))
		}
		switch {
		case !ok && opcode == opRead:
			more, err := f.ReadAt(b[done:], off+int64(done))
			return done + more, err
		case !ok:
			more, err := f.WriteAt(b[done:], off+int64(done))
			return done + more, err
		case n < 0:
			return done, &os.PathError{Op: "direct I/O", Path: f.Name(), Err: syscall.Errno(-n)}
		case n == 0 && opcode == opWrite:
			return done, io.ErrShortWrite
		}
		done += int(n)
		if n == 0 || opcode == opRead && done%int(directUnit) != 0 {
			return done, nil // the end of the file
		}
	}
	return done, nil
}

// directUnit is what a read that ends at a multiple of may go on from.
const directUnit = 512

// do does one operation; ok is false when the kernel does not take it.
func (a *async) do(opcode uint16, f *os.File, b []byte, off int64) (n int64, ok bool) {
	op := &asyncOp{buf: b}
	op.done.Lock()
	op.cb = iocb{opcode: opcode, fd: uint32(f.Fd()), buf: uint64(uintptr(unsafe.Pointer(&b[0]))), bytes: uint64(len(b)), offset: off,
		flags: flagEventFD, resultsFD: uint32(a.eventFD)}
	op.ref = &op.cb
	a.mu.Lock()
	a.mu.last++
	op.cb.data = a.mu.last
	a.mu.wait[op.cb.data] = op
	if !a.mu.awake {
		a.mu.awake = true
		go a.deliver()
	}
	a.mu.Unlock()
	errno := a.submit(op)
	if errno != 0 {
		a.mu.Lock()
		delete(a.mu.wait, op.cb.data)
		a.mu.Unlock()
		a.wake()
		return 0, false
	}
	op.done.Lock()
	runtime.KeepAlive(f)
	runtime.KeepAlive(op)
	return op.n, true
}

// submit hands an operation to the kernel, which pins the pages of its buffer meanwhile and may wait for room in the device's queue: much of it is bulk work.
func (a *async) submit(op *asyncOp) (errno syscall.Errno) {
	call := func() {
		_, _, errno = syscall.Syscall(unix.SYS_IO_SUBMIT, a.context, 1, uintptr(unsafe.Pointer(&op.ref)))
	}
	if len(op.buf) < bulk.Bytes {
		call()
	} else {
		bulk.Do(call)
	}
	return errno
}

// wake has the goroutine look whether it is still needed.
func (a *async) wake() {
	one := [8]byte{1}
	_, _ = a.event.Write(one[:])
}

// deliver hands out results until nothing is under way.
func (a *async) deliver() {
	events := make([]ioEvent, asyncMax)
	var counter [8]byte
	for {
		if _, err := a.event.Read(counter[:]); err != nil {
			panic("BUG: file: an eventfd cannot be read: " + err.Error())
		}
		for full := true; full; {
			var now unix.Timespec // do not wait
			n, _, errno := syscall.RawSyscall6(unix.SYS_IO_GETEVENTS, a.context, 0, asyncMax, uintptr(unsafe.Pointer(&events[0])), uintptr(unsafe.Pointer(&now)), 0)
			if errno == syscall.EINTR {
				continue
			}
			if errno != 0 {
				panic("BUG: file: io_getevents: " + errno.Error())
			}
			full = int(n) == len(events)
			if a.finish(events[:n]) {
				return
			}
		}
	}
}

// finish hands out results, and reports whether nothing is left.
func (a *async) finish(events []ioEvent) (idle bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for i := range events {
		op := a.mu.wait[events[i].data]
		delete(a.mu.wait, events[i].data)
		op.n = events[i].res
		op.done.Unlock()
	}
	a.mu.awake = len(a.mu.wait) > 0
	return !a.mu.awake
}
