package request

import (
	"bytes"
	"io"
	"testing"

	"pgregory.net/rapid"
)

// TestSource compares the scattered body with the gathered one.
func TestSource(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		body := rapid.SliceOfN(rapid.SliceOfN(rapid.Byte(), 0, 9), 0, 9).Draw(rt, "body")
		flat := bytes.Join(body, nil)
		s, ref := NewSource(body), bytes.NewReader(flat)
		if s.Size != int64(len(flat)) {
			rt.Fatalf("size %d", s.Size)
		}
		for range rapid.IntRange(0, 8).Draw(rt, "steps") {
			if rapid.Bool().Draw(rt, "seek") {
				to := rapid.Int64Range(0, s.Size).Draw(rt, "to")
				whence := rapid.IntRange(0, 2).Draw(rt, "whence")
				delta := map[int]int64{0: to, 1: to - s.mu.pos, 2: to - s.Size}[whence]
				a, err := s.Seek(delta, whence)
				b, _ := ref.Seek(delta, whence)
				if err != nil || a != b {
					rt.Fatalf("seek: %d, %v, want %d", a, err, b)
				}
				continue
			}
			p := make([]byte, rapid.IntRange(1, 12).Draw(rt, "n"))
			q := make([]byte, len(p))
			n, err := s.Read(p)
			m, err2 := ref.Read(q)
			if n != m || err != err2 || !bytes.Equal(p, q) {
				rt.Fatalf("read %q %v, want %q %v", p[:n], err, q[:m], err2)
			}
		}
		from := rapid.Int64Range(0, s.Size).Draw(rt, "from")
		to := rapid.Int64Range(from, s.Size).Draw(rt, "to")
		if got := bytes.Join(Slice(body, from, to), nil); !bytes.Equal(got, flat[from:to]) {
			rt.Fatalf("slice [%d, %d): %q", from, to, got)
		}
		s.Detach()
		if _, err := s.Seek(0, io.SeekStart); err != nil {
			rt.Fatal(err)
		}
		if _, err := s.Read(make([]byte, 1)); s.Size > 0 && err != errDetached {
			rt.Fatalf("a detached source: %v", err)
		}
	})
}
