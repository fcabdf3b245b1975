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

// SlotsNeeded returns the first position from which on the write-ahead log of that name is needed, the trim of a volume whose node lives: below it
// nobody reads, however late, nor seals, for whoever seals begins at the trim of an image that shows the fence. ok is false for any other log.
func (img *Image) SlotsNeeded(ref NodeRef) (from base.WALPos, ok bool) {
	n, known := img.nodes.get(ref.ID)
	if !known || n.Fenced {
		return 0, false
	}
	if v := n.volume(ref.Epoch); v != nil {
		return v.Trim, true
	}
	return 0, false
}

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
