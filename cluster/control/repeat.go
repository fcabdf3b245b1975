package control

import (
	"context"
	"errors"
	"slices"

	"sluice/base"
	"sluice/cluster/meta"
)

// repetition is a command whose answer was lost.
type repetition struct {
	cmd     meta.Command
	deleted uint32 // topics that had been deleted, as far as the image knew, before it was submitted at all
	doubt   bool   // it may have happened
}

// errGone is the end of a creation that may have happened, and been undone.
var errGone = errors.New("topics were deleted since, perhaps the one that was to be created")

// attempt submits the command. Its first attempt may have created topics that somebody has deleted since, having been told that they exist: then they are not
// created again. It asks the controller first, and thereby comes to an image in which the first attempt is decided.
func (r *repetition) attempt(ctx context.Context, m *Member) (meta.Result, error) {
	create, ok := r.cmd.(*meta.CreateTopics)
	if !r.doubt || !ok || create.ValidateOnly {
		return m.attempt(ctx, r.cmd)
	}
	var rej *meta.Rejection
	if _, err := m.attempt(ctx, &meta.CreateTopics{Topics: create.Topics, ValidateOnly: true}); err != nil && !errors.As(err, &rej) {
		return nil, err
	}
	img := m.Image()
	missing := slices.ContainsFunc(create.Topics, func(t meta.NewTopic) bool {
		_, ok := img.TopicByID(t.ID)
		return !ok
	})
	if missing && img.TopicsDeleted() != r.deleted {
		return nil, base.Wrap(base.Undetermined, errGone)
	}
	return m.attempt(ctx, r.cmd)
}

// over reports whether the command must not be submitted again after an error, and notes what is to be known when it is.
func (r *repetition) over(err error) bool {
	if !base.IsKind(err, base.Undetermined) {
		return false
	}
	r.doubt = true
	return !meta.Repeatable(r.cmd) || errors.Is(err, errGone)
}
