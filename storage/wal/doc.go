// Package wal is one broker's write-ahead log: the fenced log that makes produced batches durable before they are acknowledged,
// and that anybody can read after the broker is gone. DESIGN.md says why it is as it is; the bytes are in docs/formats.md.
//
//	block    the types all classes share, and the codec of a block
//	commit   group commit: appends become blocks, blocks become durable, acknowledgements come in order
//	disk     the port to a file system; disk/memdisk one in memory that crashes and fails
//	file     class file: segments in a directory, fenced by a token or a lock
//	s3       class s3: a slot log in a bucket, fenced by its seal
//
// Invariants, of every class:
//
//  1. A record is acknowledged when its block and every block before it are durable, in the order of the appends, each exactly
//     once; after the first failure there are only failures.
//  2. After Seal has returned, nothing that lies at or behind the end it gave is ever acknowledged, and what was acknowledged
//     before lies below it. Sealing again gives the same end.
//  3. A node epoch's WAL is made at most once, also after it was sealed before it was made, or removed.
//  4. Read gives the blocks as they were written, or an error of kind Corrupt that names the place. Nothing is skipped.
//  5. What is not trimmed is kept; what is trimmed may be gone. A full log waits, it loses nothing.
//  6. A durable write is never weakened: no error is ignored or retried, no sync skipped, no class replaced by another.
//
// A Log owns its goroutines; Close ends them. See the packages of the classes.
package wal
