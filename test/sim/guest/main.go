// Command guest runs the scenario that it reads, in WebAssembly under test/sim, and prints what came of it. Its events go to standard error.
package main

import (
	"encoding/json"
	"io"
	"os"

	"sluice/test/sim/world"
)

func main() {
	text, err := io.ReadAll(os.Stdin)
	if err != nil {
		panic(err)
	}
	s, err := world.ParseScenario(text)
	if err != nil {
		panic(err)
	}
	if err := json.NewEncoder(os.Stdout).Encode(world.Run(s, os.Stderr)); err != nil {
		panic(err)
	}
}
