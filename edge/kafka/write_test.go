package kafka

import (
	"bytes"
	"net"
	"testing"

	"pgregory.net/rapid"
)

// TestSlice: slices are all bytes in order, none of them much larger than sliceBytes.
func TestSlice(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var all net.Buffers
		var want []byte
		for i := range rapid.IntRange(1, 20).Draw(t, "pieces") {
			size := rapid.OneOf(rapid.IntRange(1, 4096), rapid.IntRange(1, 5*sliceBytes)).Draw(t, "size")
			all = append(all, bytes.Repeat([]byte{byte(i)}, size))
			want = append(want, all[i]...)
		}
		var got []byte
		for len(all) > 0 {
			var part net.Buffers
			part, all = slice(all)
			size := 0
			for _, p := range part {
				got = append(got, p...)
				size += len(p)
			}
			if size == 0 || size > 2*sliceBytes {
				t.Fatalf("a slice of %d bytes", size)
			}
		}
		if !bytes.Equal(got, want) {
			t.Fatal("the slices are not what was to be written")
		}
	})
}
