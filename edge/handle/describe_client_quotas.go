package handle

// DescribeClientQuotas (key 48), versions 0-1.

import (
	"maps"
	"slices"

	"sluice/cluster/meta"
	"sluice/edge/quota"
	"sluice/wire/kerr"
	"sluice/wire/msg"
)

// How a component of a filter matches.
const (
	matchExact     int8 = 0
	matchDefault   int8 = 1
	matchSpecified int8 = 2 // any name, and the default
)

type quotaComponent = msg.DescribeClientQuotasRequestComponentData

func (h *Handler) describeClientQuotas(_ *call, req *msg.DescribeClientQuotasRequest) *msg.DescribeClientQuotasResponse {
	resp := new(msg.DescribeClientQuotasResponse)
	resp.SetDefaults()
	if err := checkFilter(req.Components); err != nil {
		resp.ErrorCode, resp.ErrorMessage = int16(codeOf(err)), messageOf(err)
		return resp
	}
	resp.Entries = []msg.DescribeClientQuotasResponseEntryData{}
	for r := range h.opt.Control.Image().ConfigResources(meta.QuotaConfig) {
		e, err := quota.ParseEntity(r.Name)
		if err != nil || !matchesFilter(e, req.Components, req.Strict) {
			continue
		}
		out := add(&resp.Entries)
		for _, p := range e {
			part := add(&out.Entity)
			part.EntityType, part.EntityName = p.Type, nil
			if !p.Default {
				part.EntityName = &p.Name
			}
		}
		for _, key := range slices.Sorted(maps.Keys(r.Configs)) {
			v := add(&out.Values)
			v.Key = key
			v.Value, _ = quota.ParseLimit(r.Configs[key])
		}
	}
	return resp
}

// checkFilter says what is wrong with a filter.
func checkFilter(components []quotaComponent) error {
	seen := map[string]bool{}
	for _, f := range components {
		switch {
		case f.EntityType == "":
			return kerr.Errorf(kerr.InvalidRequest, "Invalid empty entity type.")
		case seen[f.EntityType]:
			return kerr.Errorf(kerr.InvalidRequest, "Entity type %s cannot appear more than once in the filter.", f.EntityType)
		case f.EntityType != quota.User && f.EntityType != quota.ClientID && f.EntityType != quota.IP:
			return kerr.Errorf(kerr.UnsupportedVersion, "Unsupported entity type %s", f.EntityType)
		case f.MatchType < matchExact || f.MatchType > matchSpecified:
			return kerr.Errorf(kerr.InvalidRequest, "Unknown match type %d", f.MatchType)
		case f.MatchType == matchExact && f.Match == nil:
			return kerr.Errorf(kerr.InvalidRequest, "An exact match of %s needs a name.", f.EntityType)
		case f.MatchType != matchExact && f.Match != nil:
			return kerr.Errorf(kerr.InvalidRequest, "Only an exact match of %s takes a name.", f.EntityType)
		}
		seen[f.EntityType] = true
	}
	if seen[quota.IP] && len(seen) > 1 {
		return kerr.Errorf(kerr.InvalidRequest, "Invalid entity filter component combination. IP filter component should not be used with user or clientId filter component.")
	}
	return nil
}

func matchesFilter(e quota.Entity, components []quotaComponent, strict bool) bool {
	if strict && len(e) != len(components) {
		return false
	}
	return !slices.ContainsFunc(components, func(f quotaComponent) bool {
		p := e.Part(f.EntityType)
		switch {
		case p == nil:
			return true
		case f.MatchType == matchExact:
			return p.Default || p.Name != *f.Match
		}
		return f.MatchType == matchDefault && !p.Default
	})
}
