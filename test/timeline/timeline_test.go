package timeline

import (
	"encoding/json"
	"encoding/xml"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestVerdicts: what speaks against a guarantee fails it, whatever else was shown; what is missing leaves it unknown, and the run with it.
func TestVerdicts(t *testing.T) {
	shown := &Guarantee{ID: "shown"}
	shown.Need("records", 3, 3)
	short := &Guarantee{ID: "short"}
	short.Need("records", 2, 3)
	short.Need("faults", 5, 1)
	wrong := &Guarantee{ID: "wrong"}
	wrong.Need("records", 0, 1)
	wrong.Wrongf("record %d is gone", 7)
	tests := []struct {
		name string
		all  []*Guarantee
		want Verdict
	}{
		{"all shown", []*Guarantee{shown}, Pass},
		{"one is short", []*Guarantee{short, shown}, Unknown},
		{"one is wrong", []*Guarantee{short, wrong, shown}, Fail},
		{"a wrong one first", []*Guarantee{wrong, short}, Fail},
		{"nothing was asked for", []*Guarantee{{ID: "empty"}}, Unknown},
		{"nothing", nil, Unknown},
	}
	for _, test := range tests {
		if got := NewRecorder().Run(test.name, nil, test.all).Verdict; got != test.want {
			t.Errorf("%s: %s, want %s", test.name, got, test.want)
		}
	}
	if shown.Verdict != Pass || short.Verdict != Unknown || wrong.Verdict != Fail {
		t.Errorf("verdicts %s, %s, %s", shown.Verdict, short.Verdict, wrong.Verdict)
	}
}

func TestCounts(t *testing.T) {
	r := NewRecorder()
	for i := range 100 {
		r.Acked("a", time.Duration(i+1)*time.Millisecond)
	}
	r.Acked("b", 0)
	r.Consumed("b", 5)
	r.Begin("disk", "full")(true, time.Second)
	r.Begin("disk", "never")(false, 3*time.Second)
	r.Stop()
	r.Acked("a", time.Hour)
	run := r.Run("t", nil, nil)
	var produced, consumed int64
	var p50, p99 float64
	for _, s := range run.Seconds {
		produced, consumed, p50, p99 = produced+s.Produced, consumed+s.Consumed, max(p50, s.P50), max(p99, s.P99)
	}
	if produced != 101 || consumed != 5 || p99 > 100 || p50 > p99 || p99 == 0 {
		t.Errorf("%d produced, %d consumed in the plot, p50 %v, p99 %v", produced, consumed, p50, p99)
	}
	if r.Counted("a", "acknowledged") != 101 || r.Counted("", "acknowledged") != 102 || r.Fired("disk") != 1 || r.Longest().Name != "never" {
		t.Errorf("counts %+v, %d fired, longest %q", run.Stacks, r.Fired("disk"), r.Longest().Name)
	}
}

// TestPage: the page is well formed, whatever the names, asks for nothing from elsewhere, and says what the JSON says.
func TestPage(t *testing.T) {
	r := NewRecorder()
	r.Acked(`<script>"x"`, time.Millisecond)
	r.Begin("network", `cut & "paste" <b>`)(true, 0)
	r.Notef("a note with </pre>")
	g := &Guarantee{ID: "G1", Promise: "nothing < lost"}
	g.Wrongf("value <7>")
	run := r.Run("a run & more", map[string]string{"seed": "<1>"}, []*Guarantee{g})
	path, err := run.Write(t.TempDir(), "page")
	if err != nil {
		t.Fatal(err)
	}
	page, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, bad := range []string{"<script", "http:", "https:", "<b>", "<7>", "<1>"} {
		if strings.Contains(string(page), bad) {
			t.Errorf("the page contains %q", bad)
		}
	}
	d := xml.NewDecoder(strings.NewReader(string(page)))
	d.Strict, d.AutoClose, d.Entity = false, append(xml.HTMLAutoClose, "meta", "tr", "td", "th"), xml.HTMLEntity
	polylines := 0
	for {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatalf("the page is not well formed: %v", err)
		}
		if e, ok := token.(xml.StartElement); ok && e.Name.Local == "polyline" {
			polylines++
		}
	}
	text, err := os.ReadFile(filepath.Join(filepath.Dir(path), "page.json"))
	if err != nil {
		t.Fatal(err)
	}
	var back Run
	if err := json.Unmarshal(text, &back); err != nil {
		t.Fatal(err)
	}
	if polylines != 4 || back.Verdict != Fail || back.Guarantees[0].Wrong[0] != "value <7>" || back.Bands[0].Name != `cut & "paste" <b>` {
		t.Errorf("%d curves, %+v", polylines, back)
	}
}
