package audit

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
)

// Page is what an inspection shows: fields, tables, and where the damage is.
type Page struct {
	Title  string
	Fields []Field
	Tables []Table
	Damage []string // what could not be read, and where
}

// Field is a name and a value, which is a string, a number, a bool or has a String method.
type Field struct {
	Name  string
	Value any
}

// Table is a list of like things. More counts the rows that were left out.
type Table struct {
	Name    string
	Columns []string
	Rows    [][]any
	More    int

	max int
}

func (p *Page) field(name string, value any) { p.Fields = append(p.Fields, Field{name, value}) }

func (p *Page) damage(format string, args ...any) {
	p.Damage = append(p.Damage, fmt.Sprintf(format, args...))
}

// table adds a table of at most max rows; columns are separated by spaces, and an underscore in them stands for one.
func (p *Page) table(name, columns string, max int) *Table {
	t := Table{Name: name, Columns: strings.Fields(columns), max: max}
	for i := range t.Columns {
		t.Columns[i] = strings.ReplaceAll(t.Columns[i], "_", " ")
	}
	p.Tables = append(p.Tables, t)
	return &p.Tables[len(p.Tables)-1]
}

func (t *Table) row(cells ...any) {
	if len(t.Rows) >= t.max {
		t.More++
		return
	}
	t.Rows = append(t.Rows, cells)
}

// WriteText writes the page for people.
func (p *Page) WriteText(w io.Writer) error {
	var b bytes.Buffer
	fmt.Fprintf(&b, "%s\n", p.Title)
	tw := tabwriter.NewWriter(&b, 0, 8, 2, ' ', 0)
	for _, f := range p.Fields {
		fmt.Fprintf(tw, "  %s\t%s\n", f.Name, shown(f.Value))
	}
	tw.Flush()
	for i := range p.Tables {
		t := &p.Tables[i]
		if len(t.Rows) == 0 {
			continue
		}
		fmt.Fprintf(&b, "\n%s:\n", t.Name)
		tw := tabwriter.NewWriter(&b, 0, 8, 2, ' ', 0)
		fmt.Fprintln(tw, strings.ToUpper(strings.Join(t.Columns, "\t")))
		for _, row := range t.Rows {
			for k, cell := range row {
				if k > 0 {
					fmt.Fprint(tw, "\t")
				}
				fmt.Fprint(tw, shown(cell))
			}
			fmt.Fprintln(tw)
		}
		tw.Flush()
		if t.More > 0 {
			fmt.Fprintf(&b, "… and %d more; --all shows them\n", t.More)
		}
	}
	for i, d := range p.Damage {
		if i == 0 {
			fmt.Fprintf(&b, "\nDAMAGE:\n")
		}
		fmt.Fprintf(&b, "  %s\n", d)
	}
	_, err := w.Write(b.Bytes())
	return err
}

// shown writes a value without anything that a terminal would take for a command.
func shown(v any) string {
	s := fmt.Sprint(v)
	if strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r == 0x7f }) {
		return fmt.Sprintf("%q", s)
	}
	return s
}

// MarshalJSON writes the page with its fields and columns as names, in their order.
func (p *Page) MarshalJSON() ([]byte, error) {
	var b bytes.Buffer
	b.WriteString(`{"title":`)
	put(&b, p.Title)
	b.WriteString(`,"fields":`)
	names, values := make([]string, len(p.Fields)), make([]any, len(p.Fields))
	for i, f := range p.Fields {
		names[i], values[i] = f.Name, f.Value
	}
	putNamed(&b, names, values)
	b.WriteString(`,"tables":{`)
	for i := range p.Tables {
		t := &p.Tables[i]
		if i > 0 {
			b.WriteByte(',')
		}
		put(&b, t.Name)
		b.WriteString(`:[`)
		for k, row := range t.Rows {
			if k > 0 {
				b.WriteByte(',')
			}
			putNamed(&b, t.Columns, row)
		}
		b.WriteString(`]`)
	}
	b.WriteString(`},"damage":`)
	damage := p.Damage
	if damage == nil {
		damage = []string{}
	}
	put(&b, damage)
	b.WriteByte('}')
	return b.Bytes(), nil
}

func putNamed(b *bytes.Buffer, names []string, values []any) {
	b.WriteByte('{')
	for i, v := range values {
		if i > 0 {
			b.WriteByte(',')
		}
		put(b, strings.ReplaceAll(names[i], " ", "_"))
		b.WriteByte(':')
		put(b, v)
	}
	b.WriteByte('}')
}

func put(b *bytes.Buffer, v any) {
	if s, ok := v.(fmt.Stringer); ok {
		v = s.String()
		if n := json.Number(s.String()); isNumber(n) {
			v = n // an id or an offset
		}
	}
	text, err := json.Marshal(v)
	if err != nil {
		text, _ = json.Marshal(fmt.Sprint(v))
	}
	b.Write(text)
}

// isNumber reports whether n is a whole number as JSON has it.
func isNumber(n json.Number) bool {
	i, err := n.Int64()
	return err == nil && fmt.Sprint(i) == n.String()
}
