package auth

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"sluice/cluster/meta"
)

// ACLs are kept as configurations of kind meta.ACLConfig. The name of a resource is that of a pattern, TYPE/PATTERN/NAME with Kafka's numbers;
// its keys are the ACLs of that pattern, OPERATION,PERMISSION,HOST,PRINCIPAL, with no values.

// Resource returns the name under which the ACLs of p are kept.
func (p Pattern) Resource() string {
	return fmt.Sprintf("%d/%d/%s", p.Type, p.Pattern, p.Name)
}

// Key returns the key under which a is kept with its pattern.
func (a ACL) Key() string {
	return fmt.Sprintf("%d,%d,%s,%s", a.Operation, a.Permission, a.Host, a.Principal)
}

// parsePattern is the inverse of Pattern.Resource.
func parsePattern(text string) (p Pattern, ok bool) {
	parts := strings.SplitN(text, "/", 3)
	if len(parts) != 3 {
		return p, false
	}
	t, err1 := strconv.ParseInt(parts[0], 10, 8)
	k, err2 := strconv.ParseInt(parts[1], 10, 8)
	p = Pattern{ResourceType(t), PatternType(k), parts[2]}
	return p, err1 == nil && err2 == nil
}

// parseACL is the inverse of ACL.Key.
func parseACL(p Pattern, key string) (a ACL, ok bool) {
	parts := strings.SplitN(key, ",", 4)
	if len(parts) != 4 {
		return a, false
	}
	op, err1 := strconv.ParseInt(parts[0], 10, 8)
	perm, err2 := strconv.ParseInt(parts[1], 10, 8)
	a = ACL{Pattern: p, Host: parts[2], Principal: Principal(parts[3]), Operation: Operation(op), Permission: Permission(perm)}
	return a, err1 == nil && err2 == nil && a.Check() == nil
}

// Stored returns the ACLs of an image in a fixed order, and how many entries could not be read.
func Stored(img *meta.Image) (acls []ACL, unreadable int) {
	for r := range img.ConfigResources(meta.ACLConfig) {
		p, ok := parsePattern(r.Name)
		if !ok {
			unreadable += len(r.Configs)
			continue
		}
		from := len(acls)
		for key := range r.Configs {
			if a, ok := parseACL(p, key); ok {
				acls = append(acls, a)
			} else {
				unreadable++
			}
		}
		slices.SortFunc(acls[from:], func(a, b ACL) int { return strings.Compare(a.Key(), b.Key()) })
	}
	return acls, unreadable
}

// CompileImage makes an authorizer of what an image holds.
func CompileImage(img *meta.Image, super []Principal, everyoneIfNoACL bool) *Authorizer {
	acls, unreadable := Stored(img)
	a := Compile(acls, super, everyoneIfNoACL)
	a.unreadable = unreadable
	return a
}
