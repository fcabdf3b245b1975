package kafkasuite

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// The list must notice what differs from it in each direction.
func TestCheck(t *testing.T) {
	file := filepath.Join(t.TempDir(), "list")
	text := "# comment\n\nleft-out a.GoneTest: no reason to run\naborts a.OneTest#two: asks\nfails a.OneTest#three[2]: differs\nfails a.OneTest#five: ?\n"
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	seen := func(more ...result) []result {
		return append(more, result{class: "a.GoneTest", outcome: leftOut})
	}
	two := result{"a.OneTest", "two[1]", aborts, "asks"}
	three := result{"a.OneTest", "three[2]", fails, "x"}
	five := result{"a.OneTest", "five", fails, "y"}
	for _, c := range []struct {
		name string
		seen []result
		want []string
	}{
		{"as listed", seen(result{"a.OneTest", "three[1]", passes, ""}, two, three, five), []string{"does not say why"}},
		{"new failure", seen(two, three, five, result{"a.OneTest", "four", fails, "z"}), []string{"does not say why", "four fails: z"}},
		{"passes now", seen(two, result{"a.OneTest", "three[2]", passes, ""}, five), []string{"passes, and fails was expected", "does not say why"}},
		{"another reason", seen(result{"a.OneTest", "two[1]", aborts, "else"}, three, five), []string{"because it else", "does not say why"}},
		{"not there any more", seen(two, five), []string{"does not say why", "three[2]: the list says"}},
		{"another class alone", []result{{"a.OtherTest", "x", passes, ""}}, nil},
	} {
		all, err := readList(file)
		if err != nil {
			t.Fatal(err)
		}
		got := all.check(c.seen)
		if len(got) != len(c.want) {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
			continue
		}
		for i, w := range c.want {
			if !strings.Contains(got[i], w) {
				t.Errorf("%s: %q, want %q", c.name, got[i], w)
			}
		}
	}
}

func TestReadReport(t *testing.T) {
	got, err := readReport([]byte(`<testsuite><testcase name="a(ClusterInstance)[2]" classname="c"/>` +
		`<testcase name="b()" classname="c"><skipped><![CDATA[org.opentest4j.TestAbortedException: asks` + "\n\tat x" + `]]></skipped></testcase>` +
		`<testcase name="n" classname="c"><skipped><![CDATA[public void C.n() is @Disabled]]></skipped></testcase>` +
		`<testcase name="d" classname="c"><failure message="m">` + "e: m\n\tat y" + `</failure></testcase></testsuite>`))
	want := []result{{"c", "a[2]", passes, ""}, {"c", "b", aborts, "asks"}, {"c", "n", aborts, "Kafka has disabled it"}, {"c", "d", fails, "e: m"}}
	if err != nil || len(got) != len(want) {
		t.Fatalf("%v, %v", got, err)
	}
	for i := range want {
		if got[i] != want[i] {
			t.Errorf("%v, want %v", got[i], want[i])
		}
	}
}

// A part of a class takes the place of what the report of the class has of the same methods, and of nothing else.
func TestMerged(t *testing.T) {
	class := []byte(`<testsuite><testcase name="a()[1]" classname="c"/><testcase name="a()[2]" classname="c"/><testcase name="ab()" classname="c">` +
		`<failure message="m">` + "e: m\n\tat y" + `</failure></testcase></testsuite>`)
	part := []byte(`<testsuite><testcase name="a()[1]" classname="c"><failure message="n">e: n</failure></testcase></testsuite>`)
	want := []result{{"c", "a[1]", fails, "e: n"}, {"c", "ab", fails, "e: m"}}
	text, err := merged(class, part)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := readReport(text); err != nil || !slices.Equal(got, want) {
		t.Errorf("%v, %v, want %v", got, err, want)
	}
	if text, err = merged(nil, part); err != nil {
		t.Fatal(err)
	}
	if got, err := readReport(text); err != nil || !slices.Equal(got, want[:1]) {
		t.Errorf("without a report of the class: %v, %v", got, err)
	}
}
