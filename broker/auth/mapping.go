package auth

import (
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/hex"
	"fmt"
	"regexp"
	"strings"
)

// Mapping makes the names of principals of the distinguished names of certificates, by Kafka's ssl.principal.mapping.rules.
type Mapping []mappingRule

// mappingRule is RULE:pattern/replacement/[LU], or without a pattern DEFAULT.
type mappingRule struct {
	pattern     *regexp.Regexp // of the whole name; nil: DEFAULT
	replacement string
	letters     byte // L, U or 0: as they are
}

// ParseMapping reads rules. An empty text is DEFAULT.
func ParseMapping(text string) (rules Mapping, err error) {
	rest := strings.TrimSpace(text)
	if rest == "" {
		return Mapping{{}}, nil
	}
	for rest != "" {
		var r mappingRule
		if r, rest, err = cutRule(rest); err != nil {
			return nil, err
		}
		rules = append(rules, r)
		rest = strings.TrimSpace(rest)
		if rest == "" {
			break
		}
		if rest[0] != ',' {
			return nil, fmt.Errorf("%q where a comma should be", rest)
		}
		if rest = strings.TrimSpace(rest[1:]); rest == "" {
			return nil, fmt.Errorf("nothing after the last comma")
		}
	}
	return rules, nil
}

func cutRule(text string) (r mappingRule, rest string, err error) {
	if rest, ok := strings.CutPrefix(text, "DEFAULT"); ok {
		return r, rest, nil
	}
	body, ok := strings.CutPrefix(text, "RULE:")
	if !ok {
		return r, "", fmt.Errorf("%q is neither DEFAULT nor RULE:pattern/replacement/", text)
	}
	pattern, body, ok1 := cutUnescaped(body)
	replacement, body, ok2 := cutUnescaped(body)
	if !ok1 || !ok2 {
		return r, "", fmt.Errorf("%q has no two slashes", text)
	}
	if r.pattern, err = regexp.Compile("^(?:" + pattern + ")$"); err != nil {
		return r, "", fmt.Errorf("%q: %w", pattern, err)
	}
	r.replacement = replacement
	if body != "" && (body[0] == 'L' || body[0] == 'U') {
		r.letters, body = body[0], body[1:]
	}
	return r, body, nil
}

// cutUnescaped divides text at the first slash that has no backslash before it.
func cutUnescaped(text string) (before, after string, found bool) {
	for i := 0; i < len(text); i++ {
		switch text[i] {
		case '\\':
			i++
		case '/':
			return text[:i], text[i+1:], true
		}
	}
	return text, "", false
}

// Name returns the principal's name for a distinguished name; false if no rule matches.
func (m Mapping) Name(dn string) (string, bool) {
	for _, r := range m {
		if r.pattern == nil {
			return dn, true
		}
		groups := r.pattern.FindStringSubmatch(dn)
		if groups == nil {
			continue
		}
		name := expand(r.replacement, groups)
		switch r.letters {
		case 'L':
			name = strings.ToLower(name)
		case 'U':
			name = strings.ToUpper(name)
		}
		return name, true
	}
	return "", false
}

// expand puts groups in the place of $1, $2, …; as many digits as name a group. What names none stands for itself.
func expand(template string, groups []string) string {
	var b strings.Builder
	for i := 0; i < len(template); i++ {
		switch c := template[i]; {
		case c == '\\' && i+1 < len(template):
			i++
			b.WriteByte(template[i])
		case c == '$':
			n, used := 0, 0
			for j := i + 1; j < len(template) && template[j] >= '0' && template[j] <= '9'; j++ {
				next := n*10 + int(template[j]-'0')
				if next >= len(groups) {
					break
				}
				n, used = next, used+1
			}
			if used == 0 {
				b.WriteByte(c)
				continue
			}
			b.WriteString(groups[n])
			i += used
		default:
			b.WriteByte(c)
		}
	}
	return b.String()
}

// attributes are the types that a distinguished name writes by name; others are written as numbers.
var attributes = map[string]string{
	"2.5.4.3": "CN", "2.5.4.6": "C", "2.5.4.7": "L", "2.5.4.8": "ST", "2.5.4.9": "STREET", "2.5.4.10": "O", "2.5.4.11": "OU",
	"0.9.2342.19200300.100.1.1": "UID", "0.9.2342.19200300.100.1.25": "DC",
}

// DistinguishedName writes the subject of a certificate, in DER, as RFC 2253 and Kafka do: the last part first.
func DistinguishedName(rawSubject []byte) (string, error) {
	var parts pkix.RDNSequence
	if rest, err := asn1.Unmarshal(rawSubject, &parts); err != nil || len(rest) > 0 {
		return "", fmt.Errorf("the subject of the certificate cannot be read")
	}
	var out []string
	for i := len(parts) - 1; i >= 0; i-- {
		var values []string
		for _, a := range parts[i] {
			text, err := attribute(a)
			if err != nil {
				return "", err
			}
			values = append(values, text)
		}
		out = append(out, strings.Join(values, "+"))
	}
	return strings.Join(out, ","), nil
}

func attribute(a pkix.AttributeTypeAndValue) (string, error) {
	value, isText := a.Value.(string)
	name, known := attributes[a.Type.String()]
	if known && isText {
		return name + "=" + escaped(value), nil
	}
	der, err := asn1.Marshal(a.Value)
	if err != nil {
		return "", fmt.Errorf("the subject of the certificate has a part that cannot be written: %w", err)
	}
	return a.Type.String() + "=#" + hex.EncodeToString(der), nil
}

// escaped puts backslashes where RFC 2253 wants them.
func escaped(value string) string {
	var b strings.Builder
	for i, c := range value {
		if strings.ContainsRune(`,+"\<>;`, c) || i == 0 && (c == '#' || c == ' ') || i == len(value)-1 && c == ' ' {
			b.WriteByte('\\')
		}
		b.WriteRune(c)
	}
	return b.String()
}
