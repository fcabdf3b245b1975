package handle

// DescribeAcls (key 29), CreateAcls (key 30), DeleteAcls (key 31), versions 1-3. Without an authorizer they answer SECURITY_DISABLED.
// The ACLs of one resource pattern are kept together; creating what exists and deleting what does not are no errors.

import (
	"context"
	"maps"
	"slices"

	"sluice/broker/auth"
	"sluice/cluster/control"
	"sluice/cluster/meta"
	"sluice/wire/kerr"
	"sluice/wire/msg"
)

// What they answer without an authorizer: Kafka's deletion has a text of its own.
var (
	securityDisabled = kerr.Errorf(kerr.SecurityDisabled, "No Authorizer is configured on the broker")
	nothingToDelete  = kerr.Errorf(kerr.SecurityDisabled, "No Authorizer is configured.")
)

func (h *Handler) describeAcls(c *call, req *msg.DescribeAclsRequest) *msg.DescribeAclsResponse {
	resp := new(msg.DescribeAclsResponse)
	resp.SetDefaults()
	f := auth.Filter{
		Type: auth.ResourceType(req.ResourceTypeFilter), Pattern: auth.PatternType(req.PatternTypeFilter), Name: req.ResourceNameFilter,
		Principal: req.PrincipalFilter, Host: req.HostFilter, Operation: auth.Operation(req.Operation), Permission: auth.Permission(req.PermissionType),
	}
	if unknownElements(f) {
		c.Abort(unknownInACLs)
		return nil
	}
	err := h.aclsPossible()
	if err == nil {
		err = invalidRequest(f.Check())
	}
	if err != nil {
		resp.ErrorCode, resp.ErrorMessage = int16(codeOf(err)), messageOf(err)
		return resp
	}
	acls, _ := auth.Stored(h.opt.Control.Image())
	var last auth.Pattern
	for _, a := range acls {
		if !f.Matches(a) {
			continue
		}
		if len(resp.Resources) == 0 || a.Pattern != last {
			r := add(&resp.Resources)
			r.ResourceType, r.PatternType, r.ResourceName = int8(a.Type), int8(a.Pattern.Pattern), a.Name
			last = a.Pattern
		}
		e := add(&resp.Resources[len(resp.Resources)-1].Acls)
		e.Principal, e.Host, e.Operation, e.PermissionType = string(a.Principal), a.Host, int8(a.Operation), int8(a.Permission)
	}
	resp.ErrorMessage = nil
	return resp
}

// unknownElements reports whether a client names a kind, an operation or a permission that it says it does not know itself. Kafka does not take such a
// request for one, and closes the connection.
func unknownElements(f auth.Filter) bool {
	return f.Type == 0 || f.Pattern == 0 || f.Operation == 0 || f.Permission == 0
}

const unknownInACLs = "a request about ACLs has elements that are not known"

func (h *Handler) aclsPossible() error {
	if h.authorizer() == nil {
		return securityDisabled
	}
	return nil
}

func invalidRequest(err error) error {
	if err == nil {
		return nil
	}
	return kerr.Errorf(kerr.InvalidRequest, "%v", err)
}

func (h *Handler) createAcls(c *call, req *msg.CreateAclsRequest) *msg.CreateAclsResponse {
	resp := new(msg.CreateAclsResponse)
	resp.SetDefaults()
	wanted := map[auth.Pattern][]auth.ACL{}
	errs := make([]error, len(req.Creations))
	acls := make([]auth.ACL, len(req.Creations))
	for i, e := range req.Creations {
		acls[i] = auth.ACL{
			Pattern:   auth.Pattern{Type: auth.ResourceType(e.ResourceType), Pattern: auth.PatternType(e.ResourcePatternType), Name: e.ResourceName},
			Principal: auth.Principal(e.Principal), Host: e.Host, Operation: auth.Operation(e.Operation), Permission: auth.Permission(e.PermissionType),
		}
		if a := acls[i]; unknownElements(auth.Filter{Type: a.Type, Pattern: a.Pattern.Pattern, Operation: a.Operation, Permission: a.Permission}) {
			c.Abort(unknownInACLs)
			return nil
		}
		if errs[i] = h.aclsPossible(); errs[i] == nil {
			errs[i] = invalidRequest(acls[i].Check())
		}
		if errs[i] == nil {
			wanted[acls[i].Pattern] = append(wanted[acls[i].Pattern], acls[i])
		}
	}
	failed := h.changeACLs(c.Context(), slices.Collect(maps.Keys(wanted)), func(p auth.Pattern, keys map[string]string) {
		for _, a := range wanted[p] {
			keys[a.Key()] = ""
		}
	})
	for i, a := range acls {
		out := add(&resp.Results)
		if errs[i] == nil {
			errs[i] = failed[a.Pattern]
		}
		out.ErrorCode, out.ErrorMessage = int16(codeOf(errs[i])), messageOf(errs[i])
		if errs[i] == nil {
			h.log.Info("created an ACL", "resource", a.Type, "name", a.Name, "acl", a.Key(), "by", c.session.who, "host", c.session.host)
		}
	}
	return resp
}

func (h *Handler) deleteAcls(c *call, req *msg.DeleteAclsRequest) *msg.DeleteAclsResponse {
	resp := new(msg.DeleteAclsResponse)
	resp.SetDefaults()
	filters := make([]auth.Filter, len(req.Filters))
	errs := make([]error, len(req.Filters))
	acls, _ := auth.Stored(h.opt.Control.Image())
	matches := make([][]auth.ACL, len(req.Filters))
	touched := map[auth.Pattern]bool{}
	for i, e := range req.Filters {
		filters[i] = auth.Filter{
			Type: auth.ResourceType(e.ResourceTypeFilter), Pattern: auth.PatternType(e.PatternTypeFilter), Name: e.ResourceNameFilter,
			Principal: e.PrincipalFilter, Host: e.HostFilter, Operation: auth.Operation(e.Operation), Permission: auth.Permission(e.PermissionType),
		}
		if unknownElements(filters[i]) {
			c.Abort(unknownInACLs)
			return nil
		}
		if errs[i] = invalidRequest(filters[i].Check()); h.aclsPossible() != nil {
			errs[i] = nothingToDelete
		}
		if errs[i] != nil {
			continue
		}
		for _, a := range acls {
			if filters[i].Matches(a) {
				matches[i] = append(matches[i], a)
				touched[a.Pattern] = true
			}
		}
	}
	doomed := map[auth.ACL]bool{}
	for _, list := range matches {
		for _, a := range list {
			doomed[a] = true
		}
	}
	failed := h.changeACLs(c.Context(), slices.Collect(maps.Keys(touched)), func(p auth.Pattern, keys map[string]string) {
		for a := range doomed {
			if a.Pattern == p {
				delete(keys, a.Key())
			}
		}
	})
	for i := range filters {
		out := add(&resp.FilterResults)
		out.ErrorCode, out.ErrorMessage = int16(codeOf(errs[i])), messageOf(errs[i])
		for _, a := range matches[i] {
			m := add(&out.MatchingAcls)
			m.ErrorCode, m.ErrorMessage = int16(codeOf(failed[a.Pattern])), messageOf(failed[a.Pattern])
			m.ResourceType, m.PatternType, m.ResourceName = int8(a.Type), int8(a.Pattern.Pattern), a.Name
			m.Principal, m.Host, m.Operation, m.PermissionType = string(a.Principal), a.Host, int8(a.Operation), int8(a.Permission)
			if failed[a.Pattern] == nil {
				h.log.Info("deleted an ACL", "resource", a.Type, "name", a.Name, "acl", a.Key(), "by", c.session.who, "host", c.session.host)
			}
		}
	}
	return resp
}

// changeACLs changes the ACLs of patterns, each for itself, and returns what failed.
func (h *Handler) changeACLs(ctx context.Context, patterns []auth.Pattern, change func(auth.Pattern, map[string]string)) map[auth.Pattern]error {
	byName := map[string]auth.Pattern{}
	names := make([]string, 0, len(patterns))
	for _, p := range patterns {
		byName[p.Resource()] = p
		names = append(names, p.Resource())
	}
	failed := map[auth.Pattern]error{}
	for name, err := range h.changeStored(ctx, meta.ACLConfig, names, func(name string, keys map[string]string) { change(byName[name], keys) }) {
		failed[byName[name]] = err
	}
	return failed
}

// changeStored changes configurations of a kind by reading, changing and writing each, again where somebody else came in between. It
// returns what failed.
func (h *Handler) changeStored(ctx context.Context, kind meta.ConfigKind, names []string, change func(string, map[string]string)) map[string]error {
	failed := map[string]error{}
	slices.Sort(names)
	for attempt := 0; len(names) > 0; attempt++ {
		img := h.opt.Control.Image()
		cmd := &meta.AlterConfigs{}
		for _, name := range names {
			ch := meta.ConfigChange{Kind: kind, Name: name, Configs: map[string]string{}, Since: img.Pos()}
			maps.Copy(ch.Configs, img.Configs(kind, name))
			change(name, ch.Configs)
			cmd.Changes = append(cmd.Changes, ch)
		}
		res, err := control.Do[meta.Outcomes](ctx, h.opt.Control, cmd)
		var again []string
		for i, name := range names {
			failed[name] = err
			if err == nil {
				failed[name] = refusal(res.Errs[i])
			}
			if h.again(ctx, failed[name], img, attempt) {
				again = append(again, name)
			}
		}
		names = again
	}
	h.inForce(ctx)
	return failed
}
