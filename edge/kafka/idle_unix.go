//go:build unix

package kafka

import (
	"io"
	"net"
	"syscall"
)

// pollerOf returns what tells when a socket has something to read; nil if it is none.
func pollerOf(nc net.Conn) syscall.RawConn {
	tcp, ok := nc.(*net.TCPConn)
	if !ok {
		return nil
	}
	poller, err := tcp.SyscallConn()
	if err != nil {
		return nil
	}
	return poller
}

// readNow reads what is there.
func readNow(fd uintptr, p []byte) (int, error) {
	for {
		switch n, err := syscall.Read(int(fd), p); {
		case err == syscall.EINTR:
		case err == syscall.EAGAIN:
			return 0, errNothing
		case err != nil:
			return 0, err
		case n == 0:
			return 0, io.EOF
		default:
			return n, nil
		}
	}
}
