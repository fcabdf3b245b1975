// Package crash kills real broker processes, spoils what is under them, and checks with package history that nothing acknowledged is
// lost, duplicated or reordered.
//
// A [world] is one broker that is started again and again on the same ports, and clients that never give up: idempotent producers (five
// requests in flight, several partitions), consumers that read everything from the start, members of a group, and one that commits
// offsets. When the faults are over, the producers must come to an end (liveness), everything is read from the start, and the history
// is checked.
//
// Parameters, from the environment:
//
//	SLUICE_CRASH_ROUNDS  kills per WAL class; default 8
//	SLUICE_CRASH_SEED    seed of all random choices; printed, default from the clock
//	SLUICE_CRASH_TROUBLE how long the bucket is in each kind of trouble: a duration, long for minutes to an hour; default: seconds
//	SLUICE_CRASH_OUTAGE  how long the bucket answers 503; default 8s
//	SLUICE_CRASH_KEEP    directory for the history, the broker's log, its goroutines and metrics when a test fails; default: none
//
// What the seed fixes is what the test does, not the order in which processes run; a failure is repeated by repeating rounds.
//
// A full disk is a small tmpfs, which takes the right to mount; without it that test is skipped. There is no substitute: limits of a
// process (RLIMIT_FSIZE) give EFBIG, not ENOSPC.
//
// A disk that hangs is an ext4 in a file that is frozen (FIFREEZE), which takes root, a loop device, mkfs.ext4, mount and fsfreeze; without them those tests are
// skipped. Writes wait in the kernel then as they do for a device that is gone; reads do not.
package crash
