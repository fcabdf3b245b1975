package peer

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"time"

	"sluice/base"
)

// The handshake. Both sides send a hello, and a proof over both hellos, so a proof is good for this connection and this role only.
// The server proves first: a client never talks to a stranger.
//
//	client  hello
//	server  verdict, hello, proof
//	client  verdict, proof
//	server  verdict
//
// A verdict is one byte, 0 for going on; any other ends the connection. A hello:
//
//	0   4  magic "SLPR"
//	4   2  oldest version understood
//	6   2  newest; in the server's hello both are the version it chose, if there is one
//	8   16 cluster id
//	24  32 nonce
//	56  4  bytes of the longest body it takes
const (
	version    = 1 // of the protocol
	helloBytes = 60
	nonceBytes = 32
	proofBytes = sha256.Size
)

const magic = "SLPR"

type verdict uint8

const (
	welcome      verdict = 0
	wrongVersion verdict = 1
	wrongCluster verdict = 2
	wrongSecret  verdict = 3
	tooMany      verdict = 4
)

// ErrRefused is matched by the error of a call whose connection the handshake refused, on either side: another cluster, another secret,
// no common version, or a server with too many connections. The call was not executed; the error's kind is Unavailable, since the address
// may belong to another process by now.
var ErrRefused = errors.New("handshake refused")

func refused(format string, args ...any) error {
	return base.Errorf(base.Unavailable, "%w: "+format, append([]any{ErrRefused}, args...)...)
}

type hello struct {
	oldest, newest uint16
	cluster        base.UUID
	nonce          [nonceBytes]byte
	maxFrame       uint32
}

func newHello(cluster base.UUID, oldest, newest uint16, maxFrame int) hello {
	h := hello{oldest: oldest, newest: newest, cluster: cluster, maxFrame: uint32(maxFrame)}
	if _, err := rand.Read(h.nonce[:]); err != nil {
		panic("BUG: peer: no randomness: " + err.Error())
	}
	return h
}

func (h hello) append(dst []byte) []byte {
	dst = append(dst, magic...)
	dst = binary.BigEndian.AppendUint16(dst, h.oldest)
	dst = binary.BigEndian.AppendUint16(dst, h.newest)
	dst = append(dst, h.cluster[:]...)
	dst = append(dst, h.nonce[:]...)
	return binary.BigEndian.AppendUint32(dst, h.maxFrame)
}

func parseHello(b []byte) (hello, error) {
	if len(b) != helloBytes || string(b[:4]) != magic {
		return hello{}, refused("what answers does not speak the peer protocol")
	}
	h := hello{oldest: binary.BigEndian.Uint16(b[4:]), newest: binary.BigEndian.Uint16(b[6:]), maxFrame: binary.BigEndian.Uint32(b[56:])}
	copy(h.cluster[:], b[8:24])
	copy(h.nonce[:], b[24:56])
	if h.oldest > h.newest || h.maxFrame > maxFrameLimit {
		return hello{}, refused("a hello that makes no sense")
	}
	return h, nil
}

// proof is what only somebody who knows the secret can say to these two hellos in this role ("client" or "server").
func proof(secret [32]byte, role string, client, server hello) []byte {
	mac := hmac.New(sha256.New, secret[:])
	mac.Write([]byte("sluice peer " + role))
	mac.Write(server.append(client.append(nil)))
	return mac.Sum(nil)
}

// greet is the client's half of the handshake. It returns the server's hello.
func greet(nc net.Conn, own hello, secret [32]byte, limit time.Duration) (hello, error) {
	nc.SetDeadline(time.Now().Add(limit))
	if _, err := nc.Write(own.append(nil)); err != nil {
		return hello{}, base.Errorf(base.Unavailable, "say hello: %w", err)
	}
	var b [1 + helloBytes + proofBytes]byte
	if _, err := io.ReadFull(nc, b[:]); err != nil {
		return hello{}, base.Errorf(base.Unavailable, "wait for the server's hello: %w", err)
	}
	other, err := parseHello(b[1 : 1+helloBytes])
	if err != nil {
		return hello{}, err
	}
	switch v := verdict(b[0]); {
	case v == wrongCluster || v == welcome && other.cluster != own.cluster:
		return hello{}, refused("the server belongs to cluster %v, not %v", other.cluster, own.cluster)
	case v == wrongVersion || v == welcome && (other.newest != other.oldest || other.newest < own.oldest || other.newest > own.newest):
		return hello{}, refused("the server speaks versions %d to %d, not %d to %d", other.oldest, other.newest, own.oldest, own.newest)
	case v == tooMany:
		return hello{}, refused("the server has too many connections")
	case v != welcome:
		return hello{}, refused("verdict %d", v)
	}
	if !hmac.Equal(b[1+helloBytes:], proof(secret, "server", own, other)) {
		nc.Write(append([]byte{byte(wrongSecret)}, make([]byte, proofBytes)...)) // for the server's log; the connection ends anyway
		return hello{}, refused("the server does not know the secret of cluster %v", own.cluster)
	}
	if _, err := nc.Write(append([]byte{byte(welcome)}, proof(secret, "client", own, other)...)); err != nil {
		return hello{}, base.Errorf(base.Unavailable, "prove membership: %w", err)
	}
	if _, err := io.ReadFull(nc, b[:1]); err != nil {
		return hello{}, base.Errorf(base.Unavailable, "wait for the server's verdict: %w", err)
	}
	if verdict(b[0]) != welcome {
		return hello{}, refused("the server does not take the proof of cluster %v's secret", own.cluster)
	}
	return other, nc.SetDeadline(time.Time{})
}

// receive is the server's half of the handshake. It returns the client's hello. full makes it refuse.
func receive(nc net.Conn, own hello, secret [32]byte, limit time.Duration, full bool) (hello, error) {
	nc.SetDeadline(time.Now().Add(limit))
	var b [helloBytes]byte
	if _, err := io.ReadFull(nc, b[:]); err != nil {
		return hello{}, base.Errorf(base.Unavailable, "wait for the client's hello: %w", err)
	}
	other, err := parseHello(b[:])
	if err != nil {
		return hello{}, err
	}
	v, chosen := welcome, min(own.newest, other.newest)
	switch {
	case chosen < own.oldest || chosen < other.oldest:
		v, err = wrongVersion, refused("the client speaks versions %d to %d, not %d to %d", other.oldest, other.newest, own.oldest, own.newest)
	case other.cluster != own.cluster:
		v, err = wrongCluster, refused("the client belongs to cluster %v, not %v", other.cluster, own.cluster)
	case full:
		v, err = tooMany, refused("too many connections")
	default:
		own.oldest, own.newest = chosen, chosen
	}
	out := own.append([]byte{byte(v)})
	if v != welcome {
		out = append(out, make([]byte, proofBytes)...)
		nc.Write(out)
		return hello{}, err
	}
	if _, err := nc.Write(append(out, proof(secret, "server", other, own)...)); err != nil {
		return hello{}, base.Errorf(base.Unavailable, "say hello: %w", err)
	}
	var p [1 + proofBytes]byte
	if _, err := io.ReadFull(nc, p[:]); err != nil {
		return hello{}, base.Errorf(base.Unavailable, "wait for the client's proof: %w", err)
	}
	if verdict(p[0]) != welcome || !hmac.Equal(p[1:], proof(secret, "client", other, own)) {
		nc.Write([]byte{byte(wrongSecret)})
		return hello{}, refused("the client does not know the secret of cluster %v", own.cluster)
	}
	if _, err := nc.Write([]byte{byte(welcome)}); err != nil {
		return hello{}, base.Errorf(base.Unavailable, "say welcome: %w", err)
	}
	return other, nc.SetDeadline(time.Time{})
}
