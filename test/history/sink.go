package history

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/klauspost/compress/zstd"
)

// sink takes encoded events. Errors are kept and returned by flush and Close.
type sink interface {
	write(line []byte)
	flush() error
	Close() error
}

// memory keeps a history in chunks, each of which only grows.
type memory struct{ chunks [][]byte }

const chunkBytes = 256 << 10

func (m *memory) write(line []byte) {
	last := len(m.chunks) - 1
	if last < 0 || cap(m.chunks[last])-len(m.chunks[last]) < len(line) {
		m.chunks = append(m.chunks, make([]byte, 0, max(chunkBytes, len(line))))
		last++
	}
	m.chunks[last] = append(m.chunks[last], line...)
}

func (m *memory) flush() error { return nil }
func (m *memory) Close() error { return nil }

// reader reads what is there now.
func (m *memory) reader() io.ReadCloser {
	parts := make([]io.Reader, len(m.chunks))
	for i, c := range m.chunks {
		parts[i] = bytes.NewReader(c)
	}
	return io.NopCloser(io.MultiReader(parts...))
}

// flusher is a compressor.
type flusher interface {
	io.WriteCloser
	Flush() error
}

// file is a history in a file.
type file struct {
	f       *os.File
	z       flusher // nil: not compressed
	w       *bufio.Writer
	flushed time.Time
	err     error
	closed  bool
}

const (
	fileBufferBytes = 64 << 10
	// flushEvery is how much of a history is lost when its process is killed.
	flushEvery = 2 * time.Second
)

func createFile(path string) (*file, error) {
	f, err := os.Create(path)
	if err != nil {
		return nil, err
	}
	out := &file{f: f, flushed: time.Now()}
	switch {
	case strings.HasSuffix(path, ".zst"):
		z, err := zstd.NewWriter(f, zstd.WithEncoderConcurrency(1), zstd.WithWindowSize(1<<20))
		if err != nil {
			f.Close()
			return nil, err
		}
		out.z = z
	case strings.HasSuffix(path, ".gz"):
		out.z = gzip.NewWriter(f)
	}
	if out.z != nil {
		out.w = bufio.NewWriterSize(out.z, fileBufferBytes)
	} else {
		out.w = bufio.NewWriterSize(f, fileBufferBytes)
	}
	return out, nil
}

func (o *file) note(err error) {
	if o.err == nil && err != nil {
		o.err = err
	}
}

func (o *file) write(line []byte) {
	if o.closed {
		o.note(fmt.Errorf("an event was recorded after the end of the history: %s", line))
		return
	}
	_, err := o.w.Write(line)
	o.note(err)
	if time.Since(o.flushed) > flushEvery {
		o.flush()
	}
}

func (o *file) flush() error {
	if o.closed {
		return o.err
	}
	o.flushed = time.Now()
	o.note(o.w.Flush())
	if o.z != nil {
		o.note(o.z.Flush())
	}
	return o.err
}

func (o *file) Close() error {
	if o.closed {
		return o.err
	}
	o.note(o.w.Flush())
	o.closed = true
	if o.z != nil {
		o.note(o.z.Close())
	}
	o.note(o.f.Close())
	return o.err
}

// both closes a reader and the file under it.
type both struct {
	io.Reader
	close func()
}

func (b both) Close() error {
	b.close()
	return nil
}

// openFile opens a history; through counts what is read of the file itself, if it is not nil.
func openFile(path string, through func(io.Reader) io.Reader) (io.ReadCloser, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	var in io.Reader = f
	if through != nil {
		in = through(in)
	}
	r, err := decompress(in)
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return both{r, func() { r.Close(); f.Close() }}, nil
}

// decompress looks at the first bytes to see whether, and how, a history is compressed.
func decompress(in io.Reader) (io.ReadCloser, error) {
	b := bufio.NewReaderSize(in, fileBufferBytes)
	head, _ := b.Peek(4)
	switch {
	case bytes.HasPrefix(head, []byte{0x28, 0xb5, 0x2f, 0xfd}):
		z, err := zstd.NewReader(b, zstd.WithDecoderMaxWindow(64<<20))
		if err != nil {
			return nil, err
		}
		return z.IOReadCloser(), nil
	case bytes.HasPrefix(head, []byte{0x1f, 0x8b}):
		return gzip.NewReader(b)
	}
	return io.NopCloser(b), nil
}
