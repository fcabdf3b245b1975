//go:build unix

package batch

import "golang.org/x/sys/unix"

// arenaOf returns n bytes that are not of the heap. The system gives the memory when it is written to.
func arenaOf(n int) []byte {
	b, err := unix.Mmap(-1, 0, n, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON)
	if err != nil {
		return make([]byte, n) // there is no address space: the heap will say so
	}
	return b
}

// freeArena gives back what arenaOf returned.
func freeArena(b []byte) { _ = unix.Munmap(b) } // what is of the heap is not known to it, and is collected
