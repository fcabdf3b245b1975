package meta

import (
	"iter"

	"sluice/base"
)

// AllStreams yields every stream in the order of their ids, those of deleted topics included until they are reaped; [Image.Stream] does not
// know the latter.
func (img *Image) AllStreams() iter.Seq[Stream] { return values(&img.streams) }

// EachRange yields all ranges of the stream in order; the first may begin below Start.
func (s *Stream) EachRange() iter.Seq[Range] {
	return func(yield func(Range) bool) { s.ranges.from(0, yield) }
}

// NextObject returns the object id that is handed out next: all that exist, or ever did, are below.
func (img *Image) NextObject() base.ObjectID { return img.nextObject }

// NextNodeEpoch returns the node epoch that is handed out next: all that exist, or ever did, are below.
func (img *Image) NextNodeEpoch() base.NodeEpoch { return img.nextNodeEpoch }

// EpochOver reports whether a node epoch, or that of another volume, is over for good as the name of a WAL: it was handed out once, and neither has a
// node a volume by it nor is there a rescue of it. Its
// write-ahead log holds nothing that is needed.
func (img *Image) EpochOver(ref NodeRef) bool {
	if ref.Epoch <= 0 || ref.Epoch >= img.nextNodeEpoch || img.rescues.has(rescueKey(ref)) {
		return false
	}
	n, ok := img.nodes.get(ref.ID)
	return !ok || n.Fenced || n.volume(ref.Epoch) == nil
}
