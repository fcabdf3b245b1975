//go:build !unix

package kafka

import (
	"net"
	"syscall"
)

// pollerOf returns nil: nothing is known of sockets here.
func pollerOf(net.Conn) syscall.RawConn { return nil }

func readNow(uintptr, []byte) (int, error) { panic("BUG: kafka: a read of what has no poller") }
