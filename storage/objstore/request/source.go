package request

import (
	"errors"
	"hash/crc32"
	"io"
	"sync"
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Source is the body of a request: a seekable reader of scattered bytes. The transport reads it on a goroutine of its own and
// may do so after the request has been answered or given up; once Detach has returned it sees an error instead of the memory,
// which the caller may then reuse. Read copies under the lock, so no read is under way when Detach returns.
type Source struct {
	Size int64 // bytes

	mu struct {
		sync.Mutex
		body [][]byte // nil once detached
		pos  int64
		seg  int // the segment that holds pos
		off  int // the offset of pos in it
	}
}

var errDetached = errors.New("the request is over")

// NewSource returns a reader of body.
func NewSource(body [][]byte) *Source {
	s := &Source{}
	s.mu.body = body
	for _, b := range body {
		s.Size += int64(len(b))
	}
	return s
}

// Read implements io.Reader.
func (s *Source) Read(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := 0
	for n < len(p) && s.mu.seg < len(s.mu.body) {
		c := copy(p[n:], s.mu.body[s.mu.seg][s.mu.off:])
		n += c
		s.mu.pos += int64(c)
		if s.mu.off += c; s.mu.off == len(s.mu.body[s.mu.seg]) {
			s.mu.seg, s.mu.off = s.mu.seg+1, 0
		}
	}
	switch {
	case n > 0 || len(p) == 0:
		return n, nil
	case s.mu.pos < s.Size:
		return 0, errDetached
	default:
		return 0, io.EOF
	}
}

// Seek implements io.Seeker.
func (s *Source) Seek(offset int64, whence int) (int64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch whence {
	case io.SeekCurrent:
		offset += s.mu.pos
	case io.SeekEnd:
		offset += s.Size
	}
	if offset < 0 || offset > s.Size {
		return 0, errors.New("seek outside of the body")
	}
	s.mu.pos, s.mu.seg, s.mu.off = offset, 0, 0
	for left := offset; s.mu.seg < len(s.mu.body); s.mu.seg++ {
		if n := int64(len(s.mu.body[s.mu.seg])); left < n {
			s.mu.off = int(left)
			break
		} else {
			left -= n
		}
	}
	return offset, nil
}

// Detach takes the memory away from whoever still reads.
func (s *Source) Detach() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mu.body = nil
}

// CRC32C returns the CRC32C of body.
func CRC32C(body [][]byte) uint32 {
	crc := uint32(0)
	for _, b := range body {
		crc = crc32.Update(crc, castagnoli, b)
	}
	return crc
}

// Slice returns bytes [from, to) of body, sharing its memory.
func Slice(body [][]byte, from, to int64) [][]byte {
	var out [][]byte
	for _, b := range body {
		n := int64(len(b))
		if lo, hi := max(from, 0), min(to, n); lo < hi {
			out = append(out, b[lo:hi])
		}
		from, to = from-n, to-n
	}
	return out
}
