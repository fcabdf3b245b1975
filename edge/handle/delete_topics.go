package handle

// DeleteTopics (key 20), versions 1-6: by name, from version 6 also by id. The records are deleted later, in the background.

import (
	"slices"

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
	for _, t := range req.Topics {
		ref := meta.TopicRef{ID: t.TopicId}
		if t.Name != nil {
			ref.Name = *t.Name
		}
		refs = append(refs, ref)
	}
	asked := slices.Clone(refs)
	byName := len(req.TopicNames) > 0
	refs = onceOfEach(refs)
	resp.Responses = slices.Grow(resp.Responses, len(refs))
	var remove []meta.TopicRef
	var where []int
	for i, ref := range refs {
		out := add(&resp.Responses)
		out.TopicId, out.Name = ref.ID, nil
		if ref.ID.IsZero() || ref.Name != "" {
			out.Name = &refs[i].Name
		}
		if err := checkTopicRef(asked, ref, byName); err != nil {
			out.ErrorCode, out.ErrorMessage = int16(err.Code), &err.Message
			continue
		}
		if err := c.mutate(5, h.partitionsOf(ref)); err != nil {
			out.ErrorCode, out.ErrorMessage = int16(codeOf(err)), messageOf(err)
			continue
		}
		remove, where = append(remove, ref), append(where, i)
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

// onceOfEach leaves of each topic the first. What names none, or two ways, is answered each time.
func onceOfEach(refs []meta.TopicRef) (kept []meta.TopicRef) {
	seen := map[meta.TopicRef]bool{}
	for _, ref := range refs {
		if one := ref.ID.IsZero() != (ref.Name == ""); one && seen[ref] {
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
	case !ref.ID.IsZero() && ref.Name != "":
		return kerr.Errorf(kerr.InvalidRequest, "You may not specify both topic name and topic id.")
	case slices.Contains(asked[slices.Index(asked, ref)+1:], ref):
		return kerr.Errorf(kerr.InvalidRequest, "Duplicate topic in the request.")
	}
	return nil
}
