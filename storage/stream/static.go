package stream

import "sluice/base"

// StaticChunk makes a chunk of memory that is nobody's to give back, for stand-ins of a Stream in tests. It still has to be released
// exactly once.
func StaticChunk(r base.OffsetRange, segments [][]byte) *Chunk {
	c := newChunk(r.Start)
	for _, s := range segments {
		c.Segments = append(c.Segments, s)
		c.Bytes += len(s)
	}
	c.End = r.End
	return c
}
