//go:build linux || darwin || openbsd

package kafka

import (
	"net"
	"syscall"

	"golang.org/x/sys/unix"

	"sluice/base/bulk"
)

// piecesMost is how many pieces the kernel takes at a time.
const piecesMost = 1024

// writeBulk writes pieces to a plain socket. Only what the kernel does with them takes a turn; waiting for the client takes none. It changes pieces.
func writeBulk(_ net.Conn, poller syscall.RawConn, pieces net.Buffers) error {
	var failed error
	err := poller.Write(func(fd uintptr) bool {
		for len(pieces) > 0 {
			var n int
			bulk.Do(func() { n, failed = unix.Writev(int(fd), pieces[:min(len(pieces), piecesMost)]) })
			switch failed {
			case nil:
				pieces = rest(pieces, n)
			case unix.EINTR:
			case unix.EAGAIN:
				failed = nil
				return false
			default:
				return true
			}
		}
		return true
	})
	if err == nil {
		err = failed
	}
	return err
}

// rest is what is left of pieces when n bytes of them are written.
func rest(pieces net.Buffers, n int) net.Buffers {
	for len(pieces) > 0 && n >= len(pieces[0]) {
		n -= len(pieces[0])
		pieces = pieces[1:]
	}
	if n > 0 {
		pieces[0] = pieces[0][n:]
	}
	return pieces
}
