// Package block has the types that every WAL class shares, and the codec of a WAL block (docs/formats.md, section WAL).
//
// Invariants:
//
//  1. A block is self-describing: cluster, node, node epoch and position stand in its header, so nothing that another WAL, or an
//     earlier life of the same disk space, left behind is ever taken for a block of this one.
//  2. Everything in a block is covered by its header's CRC, directly or through the CRCs the header and the record table hold.
//     The next block repeats that CRC, so the log is a chain: a block cannot follow any other block than the one it was sealed after.
//  3. A header records the durable position known when the block was sealed. So a valid block proves that all blocks below its
//     durable position were durable: if one of them cannot be read, that is corruption and not a torn end.
//  4. The bytes of a sealed block never change until its last reference is released.
//
// The package starts no goroutine.
package block
