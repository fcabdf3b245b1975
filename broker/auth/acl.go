package auth

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

// Principal is who a client is, as Kafka writes it: User:alice.
type Principal string

// Who has not said who he is, and who stands for every user in an ACL.
const (
	Anonymous Principal = "User:ANONYMOUS"
	Anybody   Principal = "User:*"
)

// User returns the principal of a user.
func User(name string) Principal { return Principal("User:" + name) }

// Cut returns type and name.
func (p Principal) Cut() (kind, name string) {
	kind, name, _ = strings.Cut(string(p), ":")
	return kind, name
}

// ResourceType is what kind of thing an ACL speaks of, in Kafka's numbers.
type ResourceType int8

// Types of resources.
const (
	AnyResource     ResourceType = 1 // in filters
	Topic           ResourceType = 2
	Group           ResourceType = 3
	Cluster         ResourceType = 4
	TransactionalID ResourceType = 5
	DelegationToken ResourceType = 6
	UserResource    ResourceType = 7

	resourceTypes = UserResource + 1
)

// ClusterName is the name of the one resource of type Cluster.
const ClusterName = "kafka-cluster"

// PatternType says how the name of an ACL stands for resources, in Kafka's numbers.
type PatternType int8

// Types of patterns.
const (
	AnyPattern PatternType = 1 // in filters: of whatever type
	Match      PatternType = 2 // in filters: whatever counts for the name
	Literal    PatternType = 3
	Prefixed   PatternType = 4
)

// Wildcard stands for all names in a literal pattern, and for all hosts.
const Wildcard = "*"

// Operation is what is done to a resource, in Kafka's numbers.
type Operation int8

// Operations.
const (
	AnyOperation    Operation = 1 // in filters
	All             Operation = 2
	Read            Operation = 3
	Write           Operation = 4
	Create          Operation = 5
	Delete          Operation = 6
	Alter           Operation = 7
	Describe        Operation = 8
	ClusterAction   Operation = 9
	DescribeConfigs Operation = 10
	AlterConfigs    Operation = 11
	IdempotentWrite Operation = 12
	CreateTokens    Operation = 13
	DescribeTokens  Operation = 14
	TwoPhaseCommit  Operation = 15

	operations = TwoPhaseCommit + 1
)

var operationNames = [...]string{"UNKNOWN", "ANY", "ALL", "READ", "WRITE", "CREATE", "DELETE", "ALTER", "DESCRIBE", "CLUSTER_ACTION",
	"DESCRIBE_CONFIGS", "ALTER_CONFIGS", "IDEMPOTENT_WRITE", "CREATE_TOKENS", "DESCRIBE_TOKENS", "TWO_PHASE_COMMIT"}

func (o Operation) String() string {
	if o < 0 || o >= operations {
		return fmt.Sprintf("operation(%d)", int8(o))
	}
	return operationNames[o]
}

var resourceNames = [...]string{"UNKNOWN", "ANY", "TOPIC", "GROUP", "CLUSTER", "TRANSACTIONAL_ID", "DELEGATION_TOKEN", "USER"}

func (r ResourceType) String() string {
	if r < 0 || r >= resourceTypes {
		return fmt.Sprintf("resource(%d)", int8(r))
	}
	return resourceNames[r]
}

// Permission says whether an ACL allows or denies, in Kafka's numbers.
type Permission int8

// Permissions.
const (
	AnyPermission Permission = 1 // in filters
	Deny          Permission = 2
	Allow         Permission = 3
)

// Pattern names the resources of an ACL.
type Pattern struct {
	Type    ResourceType
	Pattern PatternType
	Name    string
}

// ACL is one access control list entry.
type ACL struct {
	Pattern
	Principal  Principal
	Host       string
	Operation  Operation
	Permission Permission
}

// Host returns an address in the one form in which hosts are compared, which is Java's: IPv6 in full, 0:0:0:0:0:0:0:1. What is no address stays as it is.
func Host(text string) string {
	addr, err := netip.ParseAddr(text)
	if err != nil {
		return text
	}
	if addr = addr.Unmap(); addr.Is4() {
		return addr.String()
	}
	var groups []string
	for b := addr.As16(); len(groups) < 8; {
		i := 2 * len(groups)
		groups = append(groups, strconv.FormatUint(uint64(b[i])<<8|uint64(b[i+1]), 16))
	}
	full := strings.Join(groups, ":")
	if zone := addr.Zone(); zone != "" {
		full += "%" + zone
	}
	return full
}

// applicable are the operations that each type of resource knows, All aside.
var applicable = [resourceTypes][]Operation{
	Topic:           {Read, Write, Create, Describe, Delete, Alter, DescribeConfigs, AlterConfigs},
	Group:           {Read, Describe, Delete, DescribeConfigs, AlterConfigs},
	Cluster:         {Create, ClusterAction, DescribeConfigs, AlterConfigs, IdempotentWrite, Alter, Describe},
	TransactionalID: {Describe, Write, TwoPhaseCommit},
	DelegationToken: {Describe},
	UserResource:    {CreateTokens, DescribeTokens},
}

// Operations returns the operations that a type of resource knows.
func Operations(t ResourceType) []Operation { return applicable[t] }

// nameMax is the longest name, principal or host of an ACL, in bytes.
const nameMax = 4096

// Check says what is wrong with an ACL that is to be made; nil if nothing is.
func (a ACL) Check() error {
	kind, name := a.Principal.Cut()
	switch {
	case a.Type < Topic || a.Type >= resourceTypes:
		return fmt.Errorf("Invalid resource type")
	case a.Pattern.Pattern != Literal && a.Pattern.Pattern != Prefixed:
		return fmt.Errorf("Invalid pattern type")
	case a.Operation < All || a.Operation >= operations:
		return fmt.Errorf("Invalid operation type")
	case a.Permission != Deny && a.Permission != Allow:
		return fmt.Errorf("Invalid permission type")
	case a.Name == "":
		return fmt.Errorf("Resource name should not be empty")
	case a.Type == Cluster && a.Name != ClusterName:
		return fmt.Errorf("The only valid name for the CLUSTER resource is %s", ClusterName)
	case kind == "" || name == "":
		return fmt.Errorf("Could not parse principal from `%s` (no colon is present separating the principal type from the principal name)", a.Principal)
	case a.Host == "":
		return fmt.Errorf("Host should not be empty")
	case len(a.Name) > nameMax || len(a.Principal) > nameMax || len(a.Host) > nameMax || strings.Contains(a.Host, ","):
		return fmt.Errorf("Name, principal or host is too long, or the host is none")
	}
	return nil
}

// Filter chooses ACLs; nil and the Any of a type match everything.
type Filter struct {
	Type       ResourceType
	Pattern    PatternType
	Name       *string
	Principal  *string
	Host       *string
	Operation  Operation
	Permission Permission
}

// Check says what is wrong with a filter; nil if nothing is.
func (f Filter) Check() error {
	switch {
	case f.Type < AnyResource || f.Type >= resourceTypes:
		return fmt.Errorf("Invalid resource type %d in the filter", f.Type)
	case f.Pattern < AnyPattern || f.Pattern > Prefixed:
		return fmt.Errorf("Invalid pattern type %d in the filter", f.Pattern)
	case f.Operation < AnyOperation || f.Operation >= operations:
		return fmt.Errorf("Invalid operation %d in the filter", f.Operation)
	case f.Permission < AnyPermission || f.Permission > Allow:
		return fmt.Errorf("Invalid permission type %d in the filter", f.Permission)
	}
	return nil
}

// Matches reports whether the filter chooses a.
func (f Filter) Matches(a ACL) bool {
	return f.matchesPattern(a.Pattern) &&
		(f.Principal == nil || *f.Principal == string(a.Principal)) &&
		(f.Host == nil || *f.Host == a.Host) &&
		(f.Operation == AnyOperation || f.Operation == a.Operation) &&
		(f.Permission == AnyPermission || f.Permission == a.Permission)
}

func (f Filter) matchesPattern(p Pattern) bool {
	if f.Type != AnyResource && f.Type != p.Type {
		return false
	}
	if f.Pattern == Literal || f.Pattern == Prefixed {
		if f.Pattern != p.Pattern {
			return false
		}
	}
	if f.Name == nil || *f.Name == p.Name && (f.Pattern != Match || p.Pattern == Literal) {
		return true
	}
	if f.Pattern != Match {
		return false
	}
	if p.Pattern == Prefixed {
		return strings.HasPrefix(*f.Name, p.Name)
	}
	return p.Name == Wildcard
}
