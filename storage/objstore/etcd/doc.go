// Package etcd is a bucket in etcd, for what is small and has to be durable fast: the slots of the metadata log. It speaks to etcd's own
// HTTP/JSON gateway (/v3/kv/…), version 3.4 or newer. One request, one attempt; repeating is the affair of package retry and of the
// callers.
//
// # Keys
//
// Below the prefix of the URL an object has two keys, or more if it is larger than partBytes:
//
//	<prefix>/o/<key>                       the head: size, time, and the id of the parts if there are any; 37 bytes
//	<prefix>/b/<key>                       the body of an object of one part
//	<prefix>/p/<key> 0x00 <id> 0x00 <n>    part n of a larger one; id and n in hexadecimal
//
// The head is apart from the body so that a listing moves heads only.
//
// Invariants:
//
//  1. An object exists when its head does. Head and body change in one transaction; parts are put first, under an id of their own,
//     and the transaction that puts the head compares that all of them are there.
//  2. A transaction that puts or deletes a head deletes every part of the key that does not belong to it, so of a put that was given up
//     nothing is left but parts of a key that was never put again nor deleted, and a put that was overtaken by a delete fails.
//  3. The condition of IfAbsent is compared by etcd in the transaction that puts the head.
//  4. A put is answered nil only when the transaction was. Unavailable means that no byte of it can have reached etcd, or that etcd said
//     before proposing it that it would not. All else that is no refusal is Undetermined: a timeout, a lost connection, a lost
//     leader, "database space exceeded", which etcd may say of what it has done.
//  5. Reads are linearizable: etcd asks a majority of its members before it answers.
//  6. Every request has a deadline. It is short, because a request that reached a member without a leader is not answered when there is one
//     again, but grows while it is run into, so that a slow etcd gets its requests done. A member that does not answer is left for the
//     next one of the URL.
//  7. All members must answer for one etcd cluster; the id of the first answer decides.
//
// The package starts no goroutine of its own; net/http has two per open connection.
package etcd
