//go:build !unix || faketime

package load

import "time"

// processCPU is not known here (in a simulation neither: it would be the machine's): the node reports that it uses none, and is judged by the rest of its load.
func processCPU() time.Duration { return 0 }
