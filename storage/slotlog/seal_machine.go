package slotlog

import "sluice/base/seeded"

// sealMachine holds the rules of a sealer: it walks from a slot to the first empty one and puts a seal there.
type sealMachine struct {
	slot   uint64 // where the walk is; at the end the position of the seal
	next   sealAction
	resume sealAction // what follows a pause
}

// sealAction is what a sealer does next.
type sealAction uint8

const (
	sealProbe sealAction = iota // look at the slot
	sealPut                     // put the seal into the slot
	sealPause                   // wait a little
	sealEnd                     // the epoch is sealed at slot
)

// sealEvent is what came of it.
type sealEvent uint8

const (
	slotEmpty   sealEvent = iota // probe: there is nothing
	slotData                     // probe: there is data
	slotSeal                     // probe: there is a seal, our own or somebody else's
	sealStored                   // put: it succeeded
	sealTaken                    // put: the slot is taken, perhaps by an earlier try of ours
	sealUnknown                  // probe or put: it is not known
	sealPassed                   // the pause is over
)

// report tells what came of the last action and sets the next one.
func (m *sealMachine) report(e sealEvent) {
	switch e {
	case slotEmpty:
		m.next = sealPut
	case slotData:
		m.slot++
		m.next = sealProbe
	case sealTaken:
		m.next = sealProbe
		if seeded.Bug(seeded.SealTakenIsSealed) {
			m.next = sealEnd
		}
	case slotSeal, sealStored:
		m.next = sealEnd
	case sealUnknown:
		m.next, m.resume = sealPause, m.next // an undetermined put is repeated, not skipped
	case sealPassed:
		m.next = m.resume
	}
}
