package peer

import (
	"context"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io"
	"strings"

	"sluice/base"
)

// A frame is a header and a body. Integers are big-endian.
//
//	0   4  N, bytes of the body
//	4   1  type
//	5   1  code: the method of a call, the kind of a failure, otherwise 0
//	6   2  0
//	8   8  number of the call, from 1 on each connection; 0 in pings and pongs
//	16  4  CRC32C of bytes [0, 16) and the body
//	20  N  body
type header struct {
	size int
	typ  frameType
	code uint8
	call uint64
	crc  uint32
}

type frameType uint8

const (
	frameCall    frameType = 1 // client: body is the question
	frameAnswer  frameType = 2 // server: body is the answer
	frameFailure frameType = 3 // server: body is the text of the error
	frameCancel  frameType = 4 // client: nobody waits for the answer any more; no body
	framePing    frameType = 5 // client; no body
	framePong    frameType = 6 // server; no body
)

const headerBytes = 20

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// appendFrame appends a frame to dst.
func appendFrame(dst []byte, typ frameType, code uint8, call uint64, body []byte) []byte {
	at := len(dst)
	dst = binary.BigEndian.AppendUint32(dst, uint32(len(body)))
	dst = append(dst, byte(typ), code, 0, 0)
	dst = binary.BigEndian.AppendUint64(dst, call)
	crc := crc32.Update(crc32.Checksum(dst[at:], castagnoli), castagnoli, body)
	dst = binary.BigEndian.AppendUint32(dst, crc)
	return append(dst, body...)
}

// encode returns a frame in memory of its own.
func encode(typ frameType, code uint8, call uint64, body []byte) []byte {
	return appendFrame(make([]byte, 0, headerBytes+len(body)), typ, code, call, body)
}

// parseHeader checks everything in b but the checksum. A body may have at most max bytes.
func parseHeader(b *[headerBytes]byte, max int) (header, error) {
	size := binary.BigEndian.Uint32(b[0:])
	h := header{typ: frameType(b[4]), code: b[5], call: binary.BigEndian.Uint64(b[8:]), crc: binary.BigEndian.Uint32(b[16:])}
	if uint64(size) > uint64(max) {
		return h, base.Errorf(base.Corrupt, "a frame of %d bytes, at most %d were agreed", size, max)
	}
	h.size = int(size)
	switch h.typ {
	case frameCall, frameAnswer, frameFailure:
		if h.call == 0 {
			return h, base.Errorf(base.Corrupt, "a frame of type %d without the number of a call", h.typ)
		}
	case frameCancel:
		if h.call == 0 || h.size != 0 {
			return h, base.Errorf(base.Corrupt, "a cancellation of call %d with %d bytes", h.call, h.size)
		}
	case framePing, framePong:
		if h.call != 0 || h.size != 0 {
			return h, base.Errorf(base.Corrupt, "a ping of call %d with %d bytes", h.call, h.size)
		}
	default:
		return h, base.Errorf(base.Corrupt, "a frame of unknown type %d", h.typ)
	}
	if b[6] != 0 || b[7] != 0 || h.code != 0 && h.typ != frameCall && h.typ != frameFailure {
		return h, base.Errorf(base.Corrupt, "a frame of type %d with reserved bytes set", h.typ)
	}
	return h, nil
}

// readFrame reads a frame. Memory grows as bytes arrive, so that a size alone costs nothing. The body is the caller's.
func readFrame(r io.Reader, max int) (header, []byte, error) {
	var b [headerBytes]byte
	if _, err := io.ReadFull(r, b[:]); err != nil {
		return header{}, nil, err
	}
	h, err := parseHeader(&b, max)
	if err != nil {
		return h, nil, err
	}
	body, err := readBody(r, h.size)
	if err != nil {
		return h, nil, err
	}
	if crc := crc32.Update(crc32.Checksum(b[:16], castagnoli), castagnoli, body); crc != h.crc {
		return h, nil, base.Errorf(base.Corrupt, "a frame of %d bytes with checksum %08x instead of %08x", h.size, crc, h.crc)
	}
	return h, body, nil
}

const growBytes = 1 << 20 // allocated at once on the word of a header

func readBody(r io.Reader, size int) ([]byte, error) {
	if size == 0 {
		return nil, nil
	}
	body := make([]byte, 0, min(size, growBytes))
	for len(body) < size {
		if len(body) == cap(body) {
			grown := make([]byte, len(body), min(size, 4*cap(body)))
			copy(grown, body)
			body = grown
		}
		n, err := io.ReadFull(r, body[len(body):cap(body)])
		body = body[:len(body)+n]
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		if err != nil {
			return nil, err
		}
	}
	return body, nil
}

// kinds are the error kinds by their number on the wire, which stays when base changes.
var kinds = [...]base.Kind{base.Unknown, base.Invalid, base.NotFound, base.Exists, base.Fenced, base.Unavailable, base.Undetermined,
	base.Full, base.Closed, base.Corrupt, base.Failed, base.OutOfRange}

func kindCode(k base.Kind) uint8 {
	for code, kind := range kinds {
		if kind == k {
			return uint8(code)
		}
	}
	return 0
}

// encodeFailure returns the frame that answers a call with err.
func encodeFailure(call uint64, err error) []byte {
	text := err.Error()
	if len(text) > messageBytesMax {
		text = strings.ToValidUTF8(text[:messageBytesMax], "")
	}
	return encode(frameFailure, kindCode(handlerKind(err)), call, []byte(text))
}

// handlerKind is the kind of a handler's error. The bare error of a context says nothing of what has been done by then, so unlike
// elsewhere it does not pass for Unavailable, which promises that nothing was.
func handlerKind(err error) base.Kind {
	var classified *base.Error
	if !errors.As(err, &classified) && (errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)) {
		return base.Undetermined
	}
	return base.KindOf(err)
}

// failure is the error that a failure frame tells.
func failure(code uint8, text []byte) error {
	kind := base.Unknown
	if int(code) < len(kinds) {
		kind = kinds[code]
	}
	return base.Errorf(kind, "%s", text)
}
