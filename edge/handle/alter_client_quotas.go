package handle

// AlterClientQuotas (key 49), versions 0-1. Entities change each for itself, and as a whole or not at all. Addresses are given as numbers: names of hosts,
// which Kafka looks up, are refused.

import (
	"context"
	"maps"
	"slices"
	"strconv"
	"strings"

	"sluice/cluster/control"
	"sluice/cluster/meta"
	"sluice/edge/quota"
	"sluice/wire/kerr"
	"sluice/wire/msg"
)

type quotaEntry = msg.AlterClientQuotasRequestEntryData

func (h *Handler) alterClientQuotas(c *call, req *msg.AlterClientQuotasRequest) *msg.AlterClientQuotasResponse {
	resp := new(msg.AlterClientQuotasResponse)
	resp.SetDefaults()
	answered := map[string]int{} // of resp.Entries; what stands twice is done once and answered once, with an error
	for i := range req.Entries {
		asked := &req.Entries[i]
		lastParts(asked)
		key := partsOf(asked)
		if at, again := answered[key]; again {
			out := &resp.Entries[at]
			err := kerr.Errorf(kerr.InvalidRequest, "Ignoring duplicate entity %s", key)
			out.ErrorCode, out.ErrorMessage = int16(codeOf(err)), messageOf(err)
			continue
		}
		answered[key] = len(resp.Entries)
		out := add(&resp.Entries)
		for _, p := range asked.Entity {
			part := add(&out.Entity)
			part.EntityType, part.EntityName = p.EntityType, p.EntityName
		}
		e, err := entityOf(asked)
		if err == nil {
			err = h.alterQuota(c.Context(), e, asked, req.ValidateOnly)
		}
		out.ErrorCode, out.ErrorMessage = int16(codeOf(err)), messageOf(err)
	}
	return resp
}

// partsOf names what was asked for, be it an entity or not.
func partsOf(asked *quotaEntry) string {
	var all []string
	for _, p := range asked.Entity {
		name := "<default>"
		if p.EntityName != nil {
			name = strconv.Quote(*p.EntityName)
		}
		all = append(all, strconv.Quote(p.EntityType)+"="+name)
	}
	slices.Sort(all)
	return strings.Join(all, ", ")
}

// lastParts leaves of each type of an entity what was said last, as Kafka does.
func lastParts(asked *quotaEntry) {
	slices.Reverse(asked.Entity)
	once(&asked.Entity, func(p *msg.AlterClientQuotasRequestEntityData) string { return p.EntityType })
	slices.Reverse(asked.Entity)
}

func entityOf(asked *quotaEntry) (quota.Entity, error) {
	var parts []quota.Part
	for _, p := range asked.Entity {
		part := quota.Part{Type: p.EntityType, Default: p.EntityName == nil}
		if !part.Default {
			part.Name = *p.EntityName
		}
		parts = append(parts, part)
	}
	e, err := quota.NewEntity(parts...)
	if err != nil {
		return nil, kerr.Errorf(kerr.InvalidRequest, "%v", err)
	}
	return e, nil
}

// alterQuota changes the limits of one entity. When others change them at the same time it begins anew.
func (h *Handler) alterQuota(ctx context.Context, e quota.Entity, asked *quotaEntry, validateOnly bool) error {
	for attempt := 0; ; attempt++ {
		change := meta.ConfigChange{Name: e.String()}
		img := h.opt.Control.Image()
		old := present(img, meta.QuotaConfig, &change)
		change.Configs = maps.Clone(old)
		if change.Configs == nil {
			change.Configs = map[string]string{}
		}
		seen := map[string]bool{}
		for _, op := range asked.Ops {
			switch {
			case seen[op.Key]:
				return kerr.Errorf(kerr.InvalidRequest, "Duplicate quota key %s not updating quota for this entity %s", op.Key, e)
			case op.Remove:
				delete(change.Configs, op.Key)
			default:
				if err := quota.CheckLimit(e, op.Key, op.Value); err != nil {
					return kerr.Errorf(kerr.InvalidRequest, "%v", err)
				}
				change.Configs[op.Key] = quota.FormatLimit(op.Value)
			}
			seen[op.Key] = true
		}
		if maps.Equal(change.Configs, old) {
			return nil
		}
		res, err := control.Do[meta.Outcomes](ctx, h.opt.Control, &meta.AlterConfigs{Changes: []meta.ConfigChange{change}, ValidateOnly: validateOnly})
		if err == nil {
			err = refusal(res.Errs[0])
		}
		if err == nil && !validateOnly {
			h.inForce(ctx)
		}
		if !h.again(ctx, err, img, attempt) {
			return err
		}
	}
}
