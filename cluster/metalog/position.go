package metalog

import (
	"fmt"
	"strconv"
	"strings"
)

// Position is a slot of the metadata log.
type Position struct{ Epoch, Slot uint64 }

// Less reports whether p lies before q.
func (p Position) Less(q Position) bool {
	return p.Epoch < q.Epoch || p.Epoch == q.Epoch && p.Slot < q.Slot
}

func (p Position) String() string { return fmt.Sprintf("%016x-%016x", p.Epoch, p.Slot) }

// parsePosition is the inverse of String.
func parsePosition(s string) (p Position, ok bool) {
	epoch, slot, ok := strings.Cut(s, "-")
	if !ok || len(epoch) != 16 || len(slot) != 16 {
		return p, false
	}
	var err1, err2 error
	p.Epoch, err1 = strconv.ParseUint(epoch, 16, 64)
	p.Slot, err2 = strconv.ParseUint(slot, 16, 64)
	return p, err1 == nil && err2 == nil && p.String() == s
}
