package stream

import (
	"fmt"

	"sluice/base"
)

// Damage is why committed records cannot be read, and where: what the metadata name is lost, or is not what was put there. Its kind is Corrupt.
type Damage struct {
	Object base.ObjectID    // 0: no object covers the range
	Range  base.OffsetRange // of the stream, as the metadata have it
	Err    error
}

func (d *Damage) Error() string {
	return fmt.Sprintf("offsets %v in object %s: %v", d.Range, d.Object, d.Err)
}

// Unwrap returns the cause, which has the kind.
func (d *Damage) Unwrap() error { return d.Err }

// uncovered is the damage of a stream that lacks what lies in a range.
func (s *Stream) uncovered(from, to base.Offset) error {
	return &Damage{Range: base.OffsetRange{Start: from, End: to}, Err: base.Errorf(base.Corrupt, "stream %d: no object covers %d to %d, the durable end is %d", s.id, from, to, s.Durable())}
}

// broken says of an error of a read in an object where it lies: a NotFound of the bucket is gone, and may come right.
func broken(o ObjectRange, err error) error {
	switch {
	case base.IsKind(err, base.NotFound):
		return &goneError{o, err}
	case base.IsKind(err, base.Corrupt):
		return &Damage{o.ID, o.Range, err}
	}
	return err
}
