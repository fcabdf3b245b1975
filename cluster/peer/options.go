package peer

import (
	"context"
	"log/slog"
	"net"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"sluice/base"
)

// Method names what a call asks for. Its numbers and the bodies that go with them are the affair of whoever registers handlers.
type Method uint8

func (m Method) String() string { return strconv.Itoa(int(m)) }

// Handler answers the calls of one method, several at a time. The body belongs to the handler for the call, and the answer to the
// server once it is returned. ctx ends when the caller has given up, its connection is lost, or the server is closed. The kind and the
// text of an error reach the caller; one that nobody classified arrives as Unknown, the bare error of a context as Undetermined.
// A panic ends the process, so a handler checks what it decodes.
type Handler func(ctx context.Context, body []byte) ([]byte, error)

// ServerOptions set up a server. Cluster, Secret and Handlers are required; zero values of the rest mean the defaults named.
type ServerOptions struct {
	Cluster  base.UUID           // only members of this cluster are let in
	Secret   [32]byte            // both sides prove that they know it; it is neither sent nor logged
	Handlers map[Method]Handler  // not changed after Serve
	MaxFrame int                 // bytes of one body, asked or answered; 64 MiB
	Name     func(Method) string // label of a method in metrics; its number
	Logger   *slog.Logger        // nil: none

	Registerer prometheus.Registerer // nil: no metrics

	limits limits // for tests
}

// ClientOptions set up a client. Cluster and Secret are required; zero values of the rest mean the defaults named.
type ClientOptions struct {
	Cluster base.UUID           // only servers of this cluster are talked to
	Secret  [32]byte            // both sides prove that they know it; it is neither sent nor logged
	Name    func(Method) string // label of a method in metrics; its number
	Logger  *slog.Logger        // nil: none

	// Dial connects to an address; nil: TCP by net.Dialer. It must end when its context does.
	Dial       func(ctx context.Context, addr string) (net.Conn, error)
	Registerer prometheus.Registerer // nil: no metrics

	limits limits // for tests
}

// limits are the bounds of both sides. Tests shorten them.
type limits struct {
	handshake   time.Duration // dialing and handshake together; the server's half alone
	ping        time.Duration // a client says something at least so often
	silence     time.Duration // a client that heard nothing for so long gives the connection up; a server after twice that
	stall       time.Duration // a piece of pieceBytes that cannot be written for so long ends the connection
	idle        time.Duration // a client closes a connection without calls after so long
	backoffMin  time.Duration // after the first failed dial; doubled with each further one
	backoffMax  time.Duration
	calls       int    // of one connection in flight, as the client counts them; the server allows twice that
	queuedBytes int    // of one connection, not yet written: a client with more sheds calls, a server stops reading; 128 MiB
	handshakes  int    // connections in their handshake at once, of a server
	connections int    // of a server, in all
	versionMin  uint16 // of the protocol
	versionMax  uint16
}

const (
	maxFrameDefault = 64 << 20
	maxFrameLimit   = 1 << 30   // what a hello may say
	pieceBytes      = 256 << 10 // written under one deadline
	batchBytes      = 64 << 10  // taken by the writer at once, or one frame if that is more
	bufferBytes     = 32 << 10  // of a connection's reads, and of its writes
	messageBytesMax = 4 << 10   // of an error's text; what is longer is cut
	targetsMax      = 1024      // addresses remembered by a client before the unused ones are forgotten
)

func (l limits) withDefaults() limits {
	or := func(d *time.Duration, value time.Duration) {
		if *d <= 0 {
			*d = value
		}
	}
	or(&l.handshake, 3*time.Second)
	or(&l.ping, time.Second)
	or(&l.silence, 5*time.Second)
	or(&l.stall, 5*time.Second)
	or(&l.idle, time.Minute)
	or(&l.backoffMin, 20*time.Millisecond)
	or(&l.backoffMax, time.Second)
	if l.calls <= 0 {
		l.calls = 1024
	}
	if l.queuedBytes <= 0 {
		l.queuedBytes = 2 * maxFrameDefault
	}
	if l.handshakes <= 0 {
		l.handshakes = 256
	}
	if l.connections <= 0 {
		l.connections = 4096
	}
	if l.versionMin == 0 {
		l.versionMin, l.versionMax = version, version
	}
	return l
}

func (o ServerOptions) withDefaults() ServerOptions {
	if o.MaxFrame <= 0 {
		o.MaxFrame = maxFrameDefault
	}
	o.MaxFrame = min(o.MaxFrame, maxFrameLimit)
	if o.Name == nil {
		o.Name = Method.String
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	o.limits = o.limits.withDefaults()
	return o
}

func (o ClientOptions) withDefaults() ClientOptions {
	if o.Name == nil {
		o.Name = Method.String
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Dial == nil {
		o.Dial = func(ctx context.Context, addr string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "tcp", addr)
		}
	}
	o.limits = o.limits.withDefaults()
	return o
}
