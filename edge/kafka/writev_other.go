//go:build !(linux || darwin || openbsd)

package kafka

import (
	"net"
	"syscall"
)

// writeBulk writes pieces to a socket.
func writeBulk(nc net.Conn, _ syscall.RawConn, pieces net.Buffers) error {
	_, err := pieces.WriteTo(nc)
	return err
}
