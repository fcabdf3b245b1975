package handle

import (
	"errors"
	"testing"

	"sluice/wire/kerr"
)

// TestNothingIsToldWithoutContact: what ListOffsets, OffsetForLeaderEpoch and DescribeProducers have found is not given out by a node that may be out of date.
func TestNothingIsToldWithoutContact(t *testing.T) {
	var why error
	h := &Handler{opt: Options{Contact: func() error { return why }}}
	if err := h.contact(); err != nil {
		t.Errorf("with contact: %v", err)
	}
	why = errors.New("no contact for a session")
	if err := h.contact(); kerr.CodeOf(err) != kerr.NotLeaderOrFollower {
		t.Errorf("without contact: %v", err)
	}
}
