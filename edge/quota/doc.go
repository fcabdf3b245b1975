// Package quota says how much clients may do: Kafka's client quotas. An entity (a user, a client id, both, or an address) has limits, which
// are kept in the cluster's metadata as configurations of kind [meta.QuotaConfig]; each broker counts for itself what its clients do.
//
//	producer_byte_rate, consumer_byte_rate   bytes of requests and responses in a second
//	request_percentage                       CPU time of requests; 100 is one core
//	controller_mutation_rate                 partitions created and deleted in a second (KIP-599)
//	connection_creation_rate                 connections of an address in a second
//
// What applies to a client is the first limit found for: its user with its client id, its user with any client id, its user, any user with its
// client id, any user with any client id, any user, its client id, any client id. Clients share a count as the limit says: a limit for a user is
// shared by everybody with that name.
//
// A rate is counted in windows as Kafka does (quota.window.num of quota.window.size.seconds each): what the windows hold, divided by the time
// that they span. Who is above his limit is told to wait for the time after which the rate would be the limit, and his connection is not read for so long
// (KIP-219): that is the connection's affair, not this package's. Partitions are counted in a bucket of tokens instead, which may be emptied at once.
//
// Invariants:
//
//  1. Over any time that is long against the windows, a client that goes on whenever it may gets its limit, give or take one window in all of them;
//     requests that are a large part of what all windows may hold can bring it a quarter more, as in Kafka, which forgets windows as a whole.
//  2. The arithmetic ([rate], [bucket]) has no clock: times are arguments, and may go back without harm.
//  3. Without limits nothing is counted: it costs one atomic load ([Manager.Client] gives nil).
//  4. The number of counts is bounded by [sensorsMax], whatever client ids there are: idle ones go first.
//  5. A changed limit applies to the next request, and keeps what was counted.
//
// One short lock guards a count, one the table of them; no goroutine is started.
package quota
