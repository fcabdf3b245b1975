// Package auth decides who clients are and what they may do: principals, access control lists (ACLs) as in Kafka's StandardAuthorizer, SCRAM
// credentials, and how these are written in the cluster's metadata. It is pure: no clock, no goroutine, no I/O.
//
// A check asks whether a principal from a host may do an operation to a resource. The ACLs that count are those of the resource's own name,
// of each prefixed pattern that its name begins with, and of the pattern * of its type; and of them those of the principal or of
// User:*, of the host or of any, for the operation or for all. Then
//
//	super user         -> yes
//	any DENY           -> no
//	any ALLOW          -> yes
//	no ACL at all, of whatever principal, speaks of the resource -> allow.everyone.if.no.acl.found
//	otherwise          -> no
//
// An ALLOW of Read, Write, Delete or Alter allows Describe, one of AlterConfigs allows DescribeConfigs. A DENY denies what it says only.
// Whether somebody may do an operation to any resource of a type at all ([Authorizer.AllowedAny]) is another question, where nothing is implied, and answered as
// Kafka answers it.
//
// Invariants:
//
//  1. An [Authorizer] never changes: every change of the ACLs makes a new one, and a check takes no lock.
//  2. What is in the metadata was valid when it was written; what this program cannot read there denies nothing and allows nothing, so an
//     unreadable ALLOW fails closed. Unreadable entries are counted.
//  3. Secrets (keys of SCRAM, the HMAC of tokens) have no String method that shows them.
//
// The package starts no goroutine.
package auth
