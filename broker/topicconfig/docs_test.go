package topicconfig

import (
	"fmt"
	"os"
	"strings"
	"testing"
)

const docFile = "../../docs/topic-configs.md"

// TestDocs: docs/topic-configs.md has exactly the rows that the tables here give. SLUICE_WRITE_DOCS=1 writes them.
func TestDocs(t *testing.T) {
	text, err := os.ReadFile(docFile)
	if err != nil {
		t.Fatal(err)
	}
	want := string(text)
	for name, rows := range map[string]string{"topics": topicRows(), "groups": groupRows(), "brokers": brokerRows()} {
		begin, end := "<!-- "+name+" -->\n", "<!-- end of "+name+" -->\n"
		head, rest, ok := strings.Cut(want, begin)
		_, tail, ok2 := strings.Cut(rest, end)
		if !ok || !ok2 {
			t.Fatalf("%s has no place for %s", docFile, name)
		}
		want = head + begin + rows + end + tail
	}
	if want == string(text) {
		return
	}
	if os.Getenv("SLUICE_WRITE_DOCS") == "" {
		t.Fatalf("%s is not what the tables of this package say; SLUICE_WRITE_DOCS=1 go test writes it", docFile)
	}
	if err := os.WriteFile(docFile, []byte(want), 0o644); err != nil {
		t.Fatal(err)
	}
}

func row(d *Def, from, what string) string {
	value := "`" + d.Default + "`"
	if d.Default == "" {
		value = ""
	}
	if from != "" {
		from = "`" + strings.ReplaceAll(from, ",", "`, `") + "`"
	}
	return fmt.Sprintf("| `%s` | %s | %s | %s |\n", d.Name, value, from, what)
}

const head = "| setting | default | broker setting behind it | what it does here |\n|---|---|---|---|\n"

func topicRows() string {
	out := head
	for _, d := range Topic() {
		out += row(d, strings.Join(d.Synonyms, ","), d.Doc)
	}
	return out
}

func groupRows() string {
	out := head
	for _, d := range Group() {
		out += row(d, strings.Join(d.Synonyms, ","), d.Doc)
	}
	return out
}

func brokerRows() string {
	out := "| setting | default | what becomes of it here |\n|---|---|---|\n"
	for _, d := range Broker() {
		if d.Dynamic {
			out += strings.Replace(row(d, "", d.Effect()), " |  | ", " | ", 1)
		}
	}
	return out
}

// TestEffects: what is said of the dynamic settings of brokers agrees with what is said of topics.
func TestEffects(t *testing.T) {
	for _, d := range Broker() {
		if e := d.Effect(); d.Dynamic && e == "" {
			t.Errorf("nothing is said of %s", d.Name)
		}
	}
	for name := range brokerEffects {
		if d := LookupBroker(name); d == nil || !d.Dynamic || d.Refused() != "" {
			t.Errorf("%s is no setting that can be changed", name)
		}
	}
}
