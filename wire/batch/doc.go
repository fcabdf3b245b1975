// Package batch reads, checks, stamps and builds Kafka record batches (magic 2, the only format Kafka 4 accepts).
//
// A [Batch] is a view: it holds the bytes of one batch and reads its header from them, so that records pass from socket to WAL to
// socket without being re-encoded. The layout, all numbers big-endian:
//
//	byte  size  field
//	   0     8  base offset                      ┐ stamped by the broker, not covered by the CRC
//	   8     4  length of what follows           │
//	  12     4  partition leader epoch           │
//	  16     1  magic, 2                         ┘
//	  17     4  CRC32C of byte 21 to the end
//	  21     2  attributes: 0-2 codec, 3 timestamp type, 4 transactional, 5 control, 6 first timestamp is a delete horizon
//	  23     4  last offset delta
//	  27     8  first timestamp, ms (base of the records' deltas)
//	  35     8  max timestamp, ms
//	  43     8  producer id, -1 none
//	  51     2  producer epoch, -1 none
//	  53     4  base sequence, -1 none
//	  57     4  number of records
//	  61        records, compressed as a whole
//
// Invariants:
//
//  1. A Batch from [Parse] holds at least a whole header, has magic 2, and its length field is its length in bytes. Accessors
//     therefore never fail. The zero Batch is not a batch; only Bytes may be called on it.
//  2. A batch that passed [Batch.Check] has a right CRC, a known codec and 0 ≤ number of records ≤ last offset delta + 1 (compaction leaves
//     gaps, and batches without records); its last offset and the ends of its ranges do not overflow.
//  3. SetBaseOffset and SetLeaderEpoch write only bytes outside the CRC. SetLogAppendTime and SetMaxTimestamp recompute it. All setters write in place:
//     the caller must own the bytes.
//  4. Decompression is capped by [Limits]: neither the output nor what is allocated for it exceeds the cap by more than one
//     decoder's fixed buffers, whatever the input claims. All that share a [Budget] stay below it together.
//  5. Records yields exactly NumRecords records with ascending offset deltas within [0, last offset delta], or ends with an error.
//  6. A [Record] yielded by an iterator aliases the batch or a recycled buffer: it is valid until the loop's next step.
//
// Errors have kind Corrupt where the bytes are damaged (length, CRC), and Invalid where somebody wrote what is not allowed: another
// magic, an unknown codec, records that do not parse under a right CRC. The package starts no goroutine but the one of a timer that drops memory.
package batch
