package seeded

// Name names a mistake.
type Name string

// Env is the variable that names the mistake to turn on, where the tag is set.
const Env = "SLUICE_SEEDED_BUG"

// The mistakes; [All] says what each of them breaks.
const (
	SkipSync            Name = "skip-sync"
	AckBeforeDurable    Name = "ack-before-durable"
	SkipFenceRecheck    Name = "skip-fence-recheck"
	ExistsIsSuccess     Name = "exists-is-success"
	SealTakenIsSealed   Name = "seal-taken-is-sealed"
	TrimOneTooFar       Name = "trim-one-too-far"
	TrimBeforeCommit    Name = "trim-before-commit"
	GapAccepted         Name = "gap-accepted"
	WindowOfFour        Name = "window-of-four"
	EpochUnchecked      Name = "epoch-unchecked"
	LSOPlusOne          Name = "lso-plus-one"
	AbortedForgotten    Name = "aborted-forgotten"
	VerdictFlipped      Name = "verdict-flipped"
	EndTxnTwice         Name = "endtxn-twice"
	TimeoutForgotten    Name = "timeout-forgotten"
	GenerationUnchecked Name = "generation-unchecked"
	OffsetsLost         Name = "offsets-lost"
	TwoOwners           Name = "two-owners"
	MissingIsEmpty      Name = "missing-is-empty"
	HandOverUnchecked   Name = "hand-over-unchecked"
	HWPastDurable       Name = "hw-past-durable"
	ServesAfterFence    Name = "serves-after-fence"
	TellsAfterFence     Name = "tells-after-fence"
	NewestDropped       Name = "newest-dropped"
	TombstoneResurrects Name = "tombstone-resurrects"
	WrongClock          Name = "wrong-clock"
	TrimForgotten       Name = "trim-forgotten"
	NoGrace             Name = "no-grace"
	ObjectLeak          Name = "object-leak"
	AnswersEarly        Name = "answers-early"
	FencedCommits       Name = "fenced-commits"
	LostWakeUp          Name = "lost-wake-up"
)

// Entry describes a mistake.
type Entry struct {
	Name      Name
	Guarantee string // of docs/reliability.md
	Place     string // the package
	Does      string // what is wrong, in words
}

// All returns the registry, in the order of the guarantees.
func All() []Entry {
	return []Entry{
		{SkipSync, "G1", "storage/wal/file", "a block is acknowledged while its durable write is still under way"},
		{AckBeforeDurable, "G1", "storage/wal/s3", "a block is acknowledged before its slot is put"},
		{SkipFenceRecheck, "G1", "storage/wal/file", "the token is not read again before an acknowledgement"},
		{ExistsIsSuccess, "G1", "storage/slotlog", "a slot that is taken counts as stored"},
		{TrimOneTooFar, "G1", "storage/stream", "the commit of an upload trims the WAL one block too far"},
		{TrimBeforeCommit, "G1", "storage/stream", "the WAL is trimmed before the upload is put and committed"},
		{HandOverUnchecked, "G1", "cluster/meta", "a partition is handed over though not everything of it is committed"},
		{GapAccepted, "G2", "broker/partition", "a batch whose sequence does not follow the last one is taken"},
		{WindowOfFour, "G3", "broker/partition", "of a producer's last five batches only four are known as duplicates"},
		{EpochUnchecked, "G4", "broker/partition", "a batch of an older producer epoch is taken"},
		{LSOPlusOne, "G7", "broker/partition", "the last stable offset is one too high"},
		{AbortedForgotten, "G4", "broker/partition", "snapshots of the producer state hold no aborted transactions"},
		{VerdictFlipped, "G4", "broker/txn", "a coordinator that loads a prepared commit aborts it"},
		{EndTxnTwice, "G4", "broker/txn", "a late EndTxn of the last transaction ends the present one"},
		{TimeoutForgotten, "G4", "broker/txn", "a coordinator that loads an open transaction sets no timeout for it"},
		{GenerationUnchecked, "G5", "broker/group", "a commit of a stale generation is taken"},
		{OffsetsLost, "G5", "broker/group", "a coordinator that loads offsets keeps the first of each partition, not the last"},
		{TwoOwners, "G5", "broker/group", "a partition is assigned though its former owner has not given it up"},
		{MissingIsEmpty, "G6", "storage/stream", "an object that is not there counts as an empty range"},
		{HWPastDurable, "G7", "broker/partition", "the high watermark that clients are told counts what is not durable"},
		{ServesAfterFence, "G7", "broker/fetch", "a broker without contact for a session goes on answering fetches"},
		{TellsAfterFence, "G7", "edge/handle", "a broker without contact for a session goes on telling offsets"},
		{NewestDropped, "G8", "broker/clean", "key compaction drops the newest record of a key if it is the last of its batch"},
		{TombstoneResurrects, "G8", "broker/clean", "key compaction keeps what a tombstone has deleted"},
		{WrongClock, "G9", "broker/clean", "retention goes by when a record came, not by its timestamp"},
		{TrimForgotten, "G9", "storage/stream", "a new log start is not made durable, and goes back with the next leader"},
		{NoGrace, "G10", "cluster/control", "objects are deleted as soon as they are marked"},
		{ObjectLeak, "G11", "cluster/control", "of the objects that are to be deleted together the last one stays"},
		{AnswersEarly, "G12", "cluster/control", "the controller answers commands before their slot is acknowledged"},
		{SealTakenIsSealed, "G12", "storage/slotlog", "a sealer takes a slot that was filled meanwhile for its seal"},
		{FencedCommits, "G12", "cluster/meta", "commands of a fenced node are carried out"},
		{LostWakeUp, "G13", "broker/partition", "a retry that waits for its original to become durable is never answered"},
	}
}

// Find returns the entry of a mistake.
func Find(n Name) (Entry, bool) {
	for _, e := range All() {
		if e.Name == n {
			return e, true
		}
	}
	return Entry{}, false
}
