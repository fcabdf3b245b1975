package handle

// DeleteTopics (key 20), versions 1-6: by name, from version 6 also by id. The records are deleted later, in the background.

import (
	"slices"

	"sluice/base"
	"sluice/cluster/control"
	"sluice/cluster/meta"
	"sluice/wire/kerr"
	"sluice/wire/msg"
)

func (h *Handler) deleteTopics(c *call, req *msg.DeleteTopicsRequest) *msg.DeleteTopicsResponse {
	resp := new(msg.DeleteTopicsResponse)
	resp.SetDefaults()
	var refs []meta.TopicRef
	for _, name := range req.TopicNames {
		refs = append(refs, meta.TopicRef{Name: name})
	}
	for i, t := range req.Topics {
		ref := meta.TopicRef{ID: t.TopicId}
		switch {
		case t.Name != nil && !t.TopicId.IsZero():
			out := add(&resp.Responses)
			text := "You may not specify both topic name and topic id."
			out.TopicId, out.Name, out.ErrorCode, out.ErrorMessage = t.TopicId, req.Topics[i].Name, int16(kerr.InvalidRequest), &text
			continue
		case t.Name != nil:
			ref.Name = *t.Name
		}
		refs = append(refs, ref)
	}
	var remove []meta.TopicRef
	var where []int
	for _, r := range h.removals(c.Version, refs, len(req.TopicNames) > 0) {
		out := add(&resp.Responses)
		out.TopicId, out.Name = r.ref.ID, nil
		if r.ref.ID.IsZero() || r.ref.Name != "" {
			out.Name = &r.ref.Name
		}
		if r.err != nil {
			out.ErrorCode, out.ErrorMessage = int16(r.err.Code), &r.err.Message
			continue
		}
		if err := c.mutate(5, h.partitionsOf(r.ref)); err != nil {
			out.ErrorCode, out.ErrorMessage = int16(codeOf(err)), messageOf(err)
			continue
		}
		remove, where = append(remove, r.ref), append(where, len(resp.Responses)-1)
	}
	if len(remove) == 0 {
		return resp
	}
	res, err := control.Do[meta.TopicsDeleted](c.Context(), h.opt.Control, &meta.DeleteTopics{Topics: remove})
	for i, at := range where {
		out := &resp.Responses[at]
		failed := err
		if err == nil {
			failed = refusal(res.Topics[i].Err)
		}
		if failed != nil {
			out.ErrorCode, out.ErrorMessage = int16(codeOf(failed)), messageOf(failed)
			continue
		}
		out.TopicId, out.Name = res.Topics[i].Topic.ID, &res.Topics[i].Topic.Name
		h.log.Info("deleted a topic", "topic", *out.Name, "client", c.client)
	}
	return resp
}

// removal is a topic that is to be deleted, or why it is not.
type removal struct {
	ref meta.TopicRef
	err *kerr.Error
}

// removals works out what is to become of the topics that are asked for, each once.
func (h *Handler) removals(version int16, asked []meta.TopicRef, byName bool) (all []removal) {
	off := h.deletionOff(version)
	for _, ref := range onceOfEach(asked, byName) {
		r := removal{ref, off}
		if off == nil {
			r.err = checkTopicRef(asked, ref, byName)
		}
		all = append(all, r)
	}
	if off != nil {
		return all
	}
	return refuseBothWays(h.opt.Control.Image(), all)
}

// refuseBothWays refuses a topic that is asked for by its name and by its id too. It is answered where its name stands.
func refuseBothWays(img *meta.Image, all []removal) []removal {
	ids, both := map[base.UUID]bool{}, map[base.UUID]bool{}
	for _, r := range all {
		ids[r.ref.ID] = !r.ref.ID.IsZero()
	}
	for i := range all {
		r := &all[i]
		if topic, ok := img.TopicByName(r.ref.Name); ok && r.err == nil && ids[topic.ID] {
			r.ref.ID, both[topic.ID] = topic.ID, true
			r.err = kerr.Errorf(kerr.InvalidRequest, "The provided topic name maps to an ID that was already supplied.")
		}
	}
	return slices.DeleteFunc(all, func(r removal) bool { return r.err == nil && both[r.ref.ID] })
}

// deletionOff refuses to delete topics where delete.topic.enable is false; clients before version 3 do not know the code for that.
func (h *Handler) deletionOff(version int16) *kerr.Error {
	switch {
	case h.opt.Config.DeleteTopics:
		return nil
	case version < 3:
		return kerr.Errorf(kerr.InvalidRequest, "Topic deletion is disabled.")
	}
	return kerr.Errorf(kerr.TopicDeletionDisabled, "Topic deletion is disabled.")
}

// onceOfEach leaves of each topic the first. What names none is answered each time, unless topics are called by their names only.
func onceOfEach(refs []meta.TopicRef, byName bool) (kept []meta.TopicRef) {
	seen := map[meta.TopicRef]bool{}
	for _, ref := range refs {
		if seen[ref] && (byName || ref != meta.TopicRef{}) {
			continue
		}
		seen[ref] = true
		kept = append(kept, ref)
	}
	return kept
}

// checkTopicRef says what is wrong with one of the named topics, nil if nothing is.
func checkTopicRef(asked []meta.TopicRef, ref meta.TopicRef, byName bool) *kerr.Error {
	switch {
	case byName && ref.Name == "" && !slices.Contains(asked[slices.Index(asked, ref)+1:], ref):
		return kerr.Errorf(kerr.UnknownTopicOrPartition, "This server does not host this topic-partition.")
	case byName && ref.Name == "":
		return kerr.Errorf(kerr.InvalidRequest, "Duplicate topic in the request.")
	case ref.ID.IsZero() && ref.Name == "":
		return kerr.Errorf(kerr.InvalidRequest, "Neither topic name nor id were specified.")
	case slices.Contains(asked[slices.Index(asked, ref)+1:], ref):
		return kerr.Errorf(kerr.InvalidRequest, "Duplicate topic in the request.")
	}
	return nil
}
