// Command guest runs the world of one seed, in WebAssembly under test/sim, and prints what came of it.
package main

import (
	"encoding/json"
	"flag"
	"io"
	"os"

	"sluice/test/sim/world"
)

func main() {
	seed := flag.Uint64("seed", 1, "the world")
	events := flag.Bool("events", false, "print every event to standard error")
	flag.Parse()
	var out io.Writer
	if *events {
		out = os.Stderr
	}
	r := world.Run(*seed, out)
	if err := json.NewEncoder(os.Stdout).Encode(r); err != nil {
		panic(err)
	}
}
