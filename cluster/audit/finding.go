package audit

import (
	"fmt"

	"sluice/base"
)

// Kind is what is wrong.
type Kind string

// The kinds of findings. They are part of the JSON output and do not change their meaning.
const (
	MissingObject     Kind = "missing object"      // the metadata refers to it, and it is not there
	SizeMismatch      Kind = "size mismatch"       // it has another size than the metadata says
	DamagedObject     Kind = "damaged object"      // header, footer or index cannot be read, or belong to another object
	CRCError          Kind = "CRC error"           // bytes are not what was written
	BadRecord         Kind = "bad record"          // intact bytes that are no record batch, or one of other offsets
	RangeNotCovered   Kind = "range not covered"   // offsets that should be there are in no object
	Overlap           Kind = "overlap"             // offsets are there twice
	WrongEpoch        Kind = "wrong epoch"         // records under an epoch that did not write these offsets
	DanglingReference Kind = "dangling reference"  // the metadata refers to something that it does not have
	MissingSlot       Kind = "missing slot"        // a log has a hole below its end
	DamagedSlot       Kind = "damaged slot"        // a slot or a WAL block cannot be read
	Unreadable        Kind = "unreadable metadata" // the metadata log or a snapshot cannot be read
	SnapshotDiffers   Kind = "snapshot differs"    // from what a replay of the log gives
	OrphanObject      Kind = "orphan object"       // nothing refers to it, and nothing ever will
	OrphanSlot        Kind = "orphan slot"         // of a log that is over, or below what is needed
	ForeignKey        Kind = "foreign key"         // not of this cluster
	NotChecked        Kind = "not checked"         // could not be looked at from here
	StoreError        Kind = "store error"         // the store does not answer
)

// Severity says how bad it is.
type Severity string

// Error: data is lost, or will be. Warning: nothing is lost, but it is not as it should be. Note: for information; all is well.
const (
	Error   Severity = "error"
	Warning Severity = "warning"
	Note    Severity = "note"
)

// Finding is one thing that is not as it should be.
type Finding struct {
	Kind     Kind     `json:"kind"`
	Severity Severity `json:"severity"`
	Key      string   `json:"key,omitempty"`   // of the object, slot or file
	Where    string   `json:"where,omitempty"` // topic, partition and offsets, or the log, for people
	Detail   string   `json:"detail"`
	Advice   string   `json:"advice"`

	object base.ObjectID // what the finding is about, where it is about an object
	stream base.StreamID // and where it is about a range, which
	rng    base.OffsetRange
}

func (f Finding) String() string {
	at := f.Key
	if f.Where != "" {
		if at != "" {
			at += ", "
		}
		at += f.Where
	}
	return fmt.Sprintf("%s: %s: %s: %s", f.Severity, f.Kind, at, f.Detail)
}

var severities = map[Kind]Severity{
	MissingObject: Error, SizeMismatch: Error, DamagedObject: Error, CRCError: Error, BadRecord: Error, RangeNotCovered: Error, Overlap: Error,
	WrongEpoch: Error, DanglingReference: Error, MissingSlot: Error, DamagedSlot: Error, Unreadable: Error, SnapshotDiffers: Error,
	OrphanObject: Warning, OrphanSlot: Warning, ForeignKey: Note, NotChecked: Note, StoreError: Error,
}

const restore = "restore the object from a version or a backup of the bucket (same key, same bytes)"

var advice = map[Kind]string{
	MissingObject:     restore + "; without one these offsets are lost, and consumers get errors there until retention passes them",
	SizeMismatch:      restore,
	DamagedObject:     restore,
	CRCError:          restore,
	BadRecord:         "report it as a bug with the object; consumers stop at these offsets",
	RangeNotCovered:   "report it as a bug with the output of sluice inspect for the object and the stream",
	Overlap:           "report it as a bug with the output of sluice inspect for the object and the stream",
	WrongEpoch:        "report it as a bug with the output of sluice inspect for the object and the stream",
	DanglingReference: "report it as a bug with the newest snapshot of the metadata",
	MissingSlot:       "restore the slot from a version or a backup of the bucket; do not start brokers before",
	DamagedSlot:       "restore it from a version or a backup; do not start brokers before",
	Unreadable:        "restore it from a version or a backup of the bucket; the older snapshot and the log behind it may still be whole",
	SnapshotDiffers:   "keep both snapshots and the slots between them, and report it as a bug",
	OrphanObject:      "nothing: the controller removes it, see the setting sweep-interval",
	OrphanSlot:        "nothing: the controller removes it, see the setting sweep-interval",
	ForeignKey:        "nothing, unless you do not expect it there: Sluice leaves it alone",
	NotChecked:        "run sluice verify where it can be reached",
	StoreError:        "make the store reachable, then run sluice verify again",
}

// finding makes a finding with the severity and the advice of its kind.
func finding(k Kind, format string, args ...any) Finding {
	return Finding{Kind: k, Severity: severities[k], Advice: advice[k], Detail: fmt.Sprintf(format, args...)}
}

func (f Finding) at(key, where string) Finding {
	f.Key, f.Where = key, where
	return f
}

func (f Finding) about(id base.ObjectID) Finding {
	f.object = id
	return f
}

func (f Finding) of(id base.StreamID, r base.OffsetRange) Finding {
	f.stream, f.rng = id, r
	return f
}
