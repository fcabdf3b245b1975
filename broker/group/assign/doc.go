// Package assign computes which member of a consumer group gets which partitions. It is pure: members, what they subscribe to and what
// they have now go in, everybody's target comes out.
//
// Invariants, of both assignors:
//
//  1. Every partition of every topic that at least one member subscribes to is in exactly one target; nothing else is in any.
//  2. A target holds only topics its member subscribes to.
//  3. The result depends on the input alone, not on the order of a map.
//
// Uniform balances: among members with the same subscription no two differ by more than one partition, and among members with
// different ones no partition could move to a member that has at least two fewer. It is sticky: what a member has, it keeps, unless
// balance takes it. Range gives every member a contiguous stretch of each topic, the same stretch of topics of the same size, so that
// joins by partition number stay on one member; it does not look at what members have.
package assign
