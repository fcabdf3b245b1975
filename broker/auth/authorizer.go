package auth

import (
	"slices"
	"strings"
)

// Authorizer answers checks from a set of ACLs. It is immutable.
//
// A literal name is one look-up. Of the prefixed patterns of a type the lengths that occur are known, longest first, so a name takes one
// look-up for each length that is not longer than itself, however many patterns there are.
type Authorizer struct {
	super      map[Principal]struct{}
	everyone   bool // where no ACL speaks of a resource
	literal    [resourceTypes]map[string][]entry
	prefixed   [resourceTypes]map[string][]entry
	lengths    [resourceTypes][]int // of the prefixes; 0 is among them where the empty one is
	unreadable int
}

type entry struct {
	principal Principal
	host      string
	op        Operation
	allow     bool
}

// Compile makes an authorizer.
func Compile(acls []ACL, super []Principal, everyoneIfNoACL bool) *Authorizer {
	a := &Authorizer{super: map[Principal]struct{}{}, everyone: everyoneIfNoACL}
	for _, p := range super {
		a.super[p] = struct{}{}
	}
	for _, acl := range acls {
		a.add(acl)
	}
	return a
}

func (a *Authorizer) add(acl ACL) {
	into := &a.literal[acl.Type]
	if acl.Pattern.Pattern == Prefixed {
		into = &a.prefixed[acl.Type]
		if n := len(acl.Name); !slices.Contains(a.lengths[acl.Type], n) {
			a.lengths[acl.Type] = append(a.lengths[acl.Type], n)
		}
	}
	if *into == nil {
		*into = map[string][]entry{}
	}
	(*into)[acl.Name] = append((*into)[acl.Name], entry{acl.Principal, Host(acl.Host), acl.Operation, acl.Permission == Allow})
}

// Super reports whether p may do everything.
func (a *Authorizer) Super(p Principal) bool {
	_, yes := a.super[p]
	return yes
}

// Unreadable returns how many entries of the metadata this program could not read.
func (a *Authorizer) Unreadable() int { return a.unreadable }

// Allowed reports whether p from host may do op to the resource.
func (a *Authorizer) Allowed(p Principal, host string, op Operation, t ResourceType, name string) bool {
	if a.Super(p) {
		return true
	}
	v := verdict{p: p, host: host, op: op}
	if v.see(a.literal[t][name]) {
		return false
	}
	if name != Wildcard && v.see(a.literal[t][Wildcard]) {
		return false
	}
	for _, n := range a.lengths[t] {
		if n <= len(name) && v.see(a.prefixed[t][name[:n]]) {
			return false
		}
	}
	return v.allowed || a.everyone && !v.spoken
}

// verdict is what the ACLs seen so far come to.
type verdict struct {
	p       Principal
	host    string
	op      Operation
	spoken  bool // some ACL speaks of the resource
	allowed bool
}

// see looks at entries that count for the resource, and reports whether one denies.
func (v *verdict) see(entries []entry) (denied bool) {
	for i := range entries {
		e := &entries[i]
		v.spoken = true
		if !e.speaksTo(v.p, v.host) || !e.covers(v.op) {
			continue
		}
		if !e.allow {
			return true
		}
		v.allowed = true
	}
	return false
}

func (e *entry) speaksTo(p Principal, host string) bool {
	return (e.principal == p || e.principal == Anybody) && (e.host == Wildcard || e.host == host)
}

func (e *entry) covers(op Operation) bool {
	if e.op == op || e.op == All {
		return true
	}
	if !e.allow {
		return false
	}
	switch op {
	case Describe:
		return e.op == Read || e.op == Write || e.op == Delete || e.op == Alter
	case DescribeConfigs:
		return e.op == AlterConfigs
	}
	return false
}

// unlikely is a name that AllowedAny asks about as if a resource had it, and Kafka's StandardAuthorizer too.
const unlikely = "hardcode"

// AllowedAny reports whether p from host may do op to at least one resource of the type, be it one that does not exist: to one of an unlikely name, or
// by an ALLOW of just that operation that no DENY covers as a whole.
func (a *Authorizer) AllowedAny(p Principal, host string, op Operation, t ResourceType) bool {
	if a.Allowed(p, host, op, t, unlikely) {
		return true
	}
	speaks := func(entries []entry, allow bool) bool {
		return slices.ContainsFunc(entries, func(e entry) bool { return e.allow == allow && e.speaksTo(p, host) && (e.op == op || e.op == All) })
	}
	denies := func(entries []entry) bool { return speaks(entries, false) }
	if denies(a.literal[t][Wildcard]) {
		return false
	}
	prefixDenied := func(name string) bool {
		return slices.ContainsFunc(a.lengths[t], func(n int) bool { return n <= len(name) && denies(a.prefixed[t][name[:n]]) })
	}
	for name, entries := range a.literal[t] {
		if speaks(entries, true) && (name == Wildcard || !denies(entries) && !prefixDenied(name)) {
			return true
		}
	}
	for name, entries := range a.prefixed[t] {
		if speaks(entries, true) && !prefixDenied(name) {
			return true
		}
	}
	return false
}

// Bits returns the operations that p may do to the resource, one bit each (KIP-430).
func (a *Authorizer) Bits(p Principal, host string, t ResourceType, name string) (bits int32) {
	for _, op := range applicable[t] {
		if a.Allowed(p, host, op, t, name) {
			bits |= 1 << op
		}
	}
	return bits
}

// AllBits returns all operations that a type of resource knows, one bit each.
func AllBits(t ResourceType) (bits int32) {
	for _, op := range applicable[t] {
		bits |= 1 << op
	}
	return bits
}

// ParsePrincipals reads a list of principals; those without a type are left out.
func ParsePrincipals(list []string) (out []Principal) {
	for _, p := range list {
		if kind, name, ok := strings.Cut(p, ":"); ok && kind != "" && name != "" {
			out = append(out, Principal(p))
		}
	}
	return out
}
