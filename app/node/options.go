package node

import (
	"context"
	"log/slog"
	"net"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"sluice/base"
	"sluice/base/config"
	"sluice/storage/objstore"
	"sluice/storage/wal/disk"
)

// Options are the settings and the ports of a broker process. Config is required.
type Options struct {
	Config *config.Config
	Memory config.Memory // zero: divided as for a machine of unknown size

	// Store is the bucket. Nil opens the one that Config names.
	Store objstore.Store
	// Files is the file system of the WALs in directories, and of the data directory. Nil is the operating system's.
	Files disk.FS
	// Listen makes the listeners. Nil is net.Listen.
	Listen func(network, address string) (net.Listener, error)
	// Dial connects to another broker. Nil: TCP.
	Dial func(ctx context.Context, address string) (net.Conn, error)
	// Now is the wall clock by which the controller counts the ages of objects. Nil is time.Now.
	Now func() time.Time
	// Hostname is this machine's name, advertised where the broker listens on all interfaces; empty is "localhost".
	Hostname string
	// Getenv is the environment, in which some stores find their credentials. Nil: empty.
	Getenv func(string) string

	Version  string               // for the admin page
	Logger   *slog.Logger         // nil: none
	LogLevel *slog.LevelVar       // of Logger, to be changed by clients; nil: it cannot be
	Registry *prometheus.Registry // nil: a new one
}

// Info says where a running broker is and what it works with.
type Info struct {
	Cluster base.UUID
	Node    base.NodeID
	Kafka   string // HOST:PORT that clients are told
	Listen  string // HOST:PORT that is listened on
	Admin   string // HOST:PORT; empty if off
	Bucket  string // URL without credentials
	WAL     string // URL without credentials
	Meta    string // URL of the metadata log without credentials; the same as Bucket if it is there
}

const (
	abandonTimeout = 2 * time.Second // for ending what cannot end in an orderly way
	servingTimeout = time.Minute     // for all partitions to be served before connections are accepted anyway
)
