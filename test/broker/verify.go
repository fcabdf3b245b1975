package broker

import (
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"strings"
	"time"

	"sluice/cluster/audit"
)

// verifyWithin bounds a verification; those of the tests take well below a second.
const verifyWithin = 2 * time.Minute

// Verify runs `sluice verify --deep` on the bucket of the broker, which may be running, and fails the test with every finding that is an error
// or a warning.
func (p *Process) Verify() {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), verifyWithin)
	defer cancel()
	args := append(p.opt.Wrap[:len(p.opt.Wrap):len(p.opt.Wrap)], Binary(p.t), "verify", "--deep", "--json", "--bucket", p.opt.Bucket, "--data", p.opt.Dir)
	for i, a := range p.opt.Args {
		switch {
		case strings.HasPrefix(a, "meta="):
			args = append(args, "--meta", a[len("meta="):])
		case a == "--meta":
			args = append(args, a, p.opt.Args[i+1])
		}
	}
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	cmd.Env = append(os.Environ(), p.opt.Env...)
	var out, errs strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	var r audit.Report
	if decode := json.Unmarshal([]byte(out.String()), &r); decode != nil {
		p.t.Errorf("sluice verify: %v, %v\n%s%s", err, decode, out.String(), errs.String())
		return
	}
	for _, f := range r.Findings {
		if f.Severity == audit.Note {
			p.t.Logf("sluice verify: %v", f)
		} else {
			p.t.Errorf("sluice verify: %v", f)
		}
	}
	if err != nil && r.Well() || r.Objects == 0 && r.Slots == 0 { // in a short trouble nothing may have been uploaded
		p.t.Errorf("sluice verify: %v, %d objects, %d slots\n%s", err, r.Objects, r.Slots, errs.String())
	}
	p.t.Logf("sluice verify: %d objects, %d record batches, %d records, %d slots in %d ms", r.Objects, r.Batches, r.Records, r.Slots, r.TookMillis)
}
