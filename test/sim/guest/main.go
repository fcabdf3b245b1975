// Command guest runs the world of one seed, in WebAssembly under test/sim, and prints what came of it. Its events go to standard error.
package main

import (
	"encoding/json"
	"flag"
	"os"

	"sluice/test/sim/world"
)

func main() {
	seed := flag.Uint64("seed", 1, "the world")
	flag.Parse()
	r := world.Run(*seed, os.Stderr)
	if err := json.NewEncoder(os.Stdout).Encode(r); err != nil {
		panic(err)
	}
}
