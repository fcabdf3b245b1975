package s3

import (
	"errors"
	"hash/crc32"
	"io"
	"sync"
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// source is the body of a request: a seekable reader of scattered bytes. The transport reads it on a goroutine of its own and
// may do so after the request has been answered or given up; once detach has returned it sees an error instead of the memory,
// which the caller may then reuse. Read copies under the lock, so no read is under way when detach returns.
type source struct {
	size int64

	mu struct {
		sync.Mutex
		body [][]byte // nil once detached
		pos  int64
		seg  int // the segment that holds pos
		off  int // the offset of pos in it
	}
}

var errDetached = errors.New("the request is over")

func newSource(body [][]byte) *source {
	s := &source{}
	s.mu.body = body
	for _, b := range body {
		s.size += int64(len(b))
	}
	return s
}

func (s *source) Read(p []byte) (int, error) {
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
	case s.mu.pos < s.size:
		return 0, errDetached
	default:
		return 0, io.EOF
	}
}

func (s *source) Seek(offset int64, whence int) (int64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch whence {
	case io.SeekCurrent:
		offset += s.mu.pos
	case io.SeekEnd:
		offset += s.size
	}
	if offset < 0 || offset > s.size {
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

// detach takes the memory away from whoever still reads.
func (s *source) detach() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mu.body = nil
}

// crcOf returns the CRC32C of body.
func crcOf(body [][]byte) uint32 {
	crc := uint32(0)
	for _, b := range body {
		crc = crc32.Update(crc, castagnoli, b)
	}
	return crc
}

// slice returns bytes [from, to) of body, sharing its memory.
func slice(body [][]byte, from, to int64) [][]byte {
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
