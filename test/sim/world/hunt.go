package world

import "sluice/base/seeded"

// Hunt is what came of looking for a seeded bug, one seed after the other. The runner of test/bugs reads it from a line that begins with HuntPrefix.
type Hunt struct {
	Bug     seeded.Name
	Found   bool
	Seeds   int // that were run
	Why     string
	Seconds float64
}

// HuntPrefix begins a line that holds a Hunt as JSON.
const HuntPrefix = "hunt "
