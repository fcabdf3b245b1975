package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"

	"sluice/base/seeded"
	"sluice/test/sim/world"
)

// wallOfOne is how long a world may take: some mistakes make one go round for ever. The same world without the mistake has the same time, so that a slow one finds nothing.
const wallOfOne = "1m"

// simulate has test/sim look for each mistake: one build of the guest serves all.
func (r *runner) simulate(ctx context.Context, names []seeded.Name) error {
	var list []string
	for _, n := range names {
		list = append(list, string(n))
	}
	cmd := exec.CommandContext(ctx, "go", "run", "./test/sim", "-tags", "seededbugs", "-seeds", strconv.Itoa(r.seeds), "-wall", wallOfOne, "-bugs", strings.Join(list, ","))
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		return err
	}
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		text, ok := strings.CutPrefix(lines.Text(), world.HuntPrefix)
		if !ok {
			fmt.Println(lines.Text())
			continue
		}
		var h world.Hunt
		if err := json.Unmarshal([]byte(text), &h); err != nil {
			return fmt.Errorf("test/sim printed %q: %w", text, err)
		}
		o := outcome{Found: h.Found, Seeds: h.Seeds, How: h.Why, Seconds: h.Seconds}
		fmt.Printf("%-22s %-8s %s\n", h.Bug, sim, o)
		if err := r.results.set(h.Bug, sim, o); err != nil {
			return err
		}
	}
	return cmd.Wait()
}
