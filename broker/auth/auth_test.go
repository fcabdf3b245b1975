package auth

import (
	"crypto/x509/pkix"
	"encoding/asn1"
	"strconv"
	"testing"

	"sluice/cluster/meta"
)

func acl(t ResourceType, p PatternType, name, who, host string, op Operation, perm Permission) ACL {
	return ACL{Pattern{t, p, name}, Principal(who), host, op, perm}
}

func TestHosts(t *testing.T) {
	for text, want := range map[string]string{
		"::1": "0:0:0:0:0:0:0:1", "2001:DB8::8:800:200c:417a": "2001:db8:0:0:8:800:200c:417a", "fe80::1%eth0": "fe80:0:0:0:0:0:0:1%eth0",
		"::ffff:10.0.0.1": "10.0.0.1", "10.0.0.1": "10.0.0.1", "*": "*", "host.example": "host.example",
	} {
		if got := Host(text); got != want {
			t.Errorf("%s: %s, want %s", text, got, want)
		}
	}
	a := Compile([]ACL{acl(Topic, Literal, "t", "User:x", "::1", Read, Allow)}, nil, false)
	if !a.Allowed("User:x", Host("0:0:0:0:0:0:0:1"), Read, Topic, "t") {
		t.Error("an ACL for the short form of an address does not count")
	}
}

func TestDecisions(t *testing.T) {
	a := Compile([]ACL{
		acl(Topic, Literal, "orders", "User:alice", "*", Read, Allow),
		acl(Topic, Prefixed, "log-", "User:bob", "10.0.0.1", Write, Allow),
		acl(Topic, Prefixed, "log-secret", "User:*", "*", All, Deny),
		acl(Topic, Literal, "*", "User:auditor", "*", Describe, Allow),
		acl(Topic, Literal, "orders", "User:mallory", "*", Read, Deny),
		acl(Topic, Literal, "orders", "User:mallory", "*", All, Allow),
		acl(Topic, Literal, "conf", "User:carol", "*", AlterConfigs, Allow),
		acl(Cluster, Literal, ClusterName, "User:carol", "*", Create, Allow),
	}, []Principal{"User:root"}, false)
	for _, tc := range []struct {
		who, host string
		op        Operation
		kind      ResourceType
		name      string
		want      bool
	}{
		{"User:alice", "h", Read, Topic, "orders", true},
		{"User:alice", "h", Describe, Topic, "orders", true}, // implied by Read
		{"User:alice", "h", Write, Topic, "orders", false},
		{"User:alice", "h", Read, Topic, "orders2", false},
		{"User:alice", "h", Read, Group, "orders", false},
		{"User:bob", "10.0.0.1", Write, Topic, "log-a", true},
		{"User:bob", "10.0.0.2", Write, Topic, "log-a", false}, // another host
		{"User:bob", "10.0.0.1", Write, Topic, "log", false},   // shorter than the prefix
		{"User:bob", "10.0.0.1", Write, Topic, "log-secret-1", false},
		{"User:auditor", "h", Describe, Topic, "anything", true},
		{"User:auditor", "h", Describe, Topic, "log-secret", false},
		{"User:mallory", "h", Read, Topic, "orders", false},    // DENY wins
		{"User:mallory", "h", Describe, Topic, "orders", true}, // a DENY of Read denies Read only
		{"User:carol", "h", DescribeConfigs, Topic, "conf", true},
		{"User:carol", "h", Describe, Topic, "conf", false},
		{"User:carol", "h", Create, Cluster, ClusterName, true},
		{"User:root", "h", Alter, Cluster, ClusterName, true},
		{"User:root", "h", Write, Topic, "log-secret", true}, // super users are asked nothing
	} {
		if got := a.Allowed(Principal(tc.who), tc.host, tc.op, tc.kind, tc.name); got != tc.want {
			t.Errorf("%s from %s, %v of %v %s: got %v, want %v", tc.who, tc.host, tc.op, tc.kind, tc.name, got, tc.want)
		}
	}
	for who, want := range map[Principal]bool{"User:bob": true, "User:alice": false, "User:root": true, "User:mallory": true, "User:nobody": false} {
		if got := a.AllowedAny(who, "10.0.0.1", Write, Topic); got != want {
			t.Errorf("%s may write some topic: got %v, want %v", who, got, want)
		}
	}
	if bits := a.Bits("User:alice", "h", Topic, "orders"); bits != 1<<Read|1<<Describe {
		t.Errorf("operations of alice: %b", bits)
	}
}

func TestEveryoneWhereNoACLSpeaks(t *testing.T) {
	a := Compile([]ACL{acl(Topic, Prefixed, "x", "User:alice", "*", Read, Allow)}, nil, true)
	if !a.Allowed("User:bob", "h", Write, Topic, "free") || a.Allowed("User:bob", "h", Write, Topic, "x1") || !a.Allowed("User:bob", "h", Read, Group, "x1") {
		t.Error("an ACL of whoever takes the resource from everybody, and nothing else does")
	}
}

func TestStoredACLs(t *testing.T) {
	want := acl(Group, Prefixed, "a/b,c", "User:CN=x,O=y|z", "*", Read, Allow)
	p, ok := parsePattern(want.Resource())
	got, ok2 := parseACL(p, want.Key())
	if !ok || !ok2 || got != want {
		t.Errorf("%+v was kept as %q, %q and read as %+v", want, want.Resource(), want.Key(), got)
	}
	if acls, unreadable := Stored(meta.Empty()); len(acls) != 0 || unreadable != 0 {
		t.Errorf("an empty image holds %v", acls)
	}
}

func TestMappingRules(t *testing.T) {
	const dn = "CN=kafka-1.example,OU=Servers,O=Example\\, Inc.,C=DE"
	for _, tc := range []struct{ rules, want string }{
		{"", dn},
		{"DEFAULT", dn},
		{"RULE:^CN=([^,]+),.*$/$1/", "kafka-1.example"},
		{"RULE:^CN=([^,]+),.*$/$1/U, DEFAULT", "KAFKA-1.EXAMPLE"},
		{"RULE:^OU=(.*)$/$1/,RULE:^CN=([^.]+)\\..*,OU=([^,]+),.*$/$1@$2/L", "kafka-1@servers"},
		{"RULE:^CN=(.*?),.*$/$1$7/", "kafka-1.example$7"}, // there is no group 7
		{"RULE:^nothing$/x/", ""},
	} {
		m, err := ParseMapping(tc.rules)
		if err != nil {
			t.Errorf("%q: %v", tc.rules, err)
			continue
		}
		if got, ok := m.Name(dn); got != tc.want || ok != (tc.want != "") {
			t.Errorf("%q: got %q, %v; want %q", tc.rules, got, ok, tc.want)
		}
	}
	for _, bad := range []string{"RULE:x", "RULE:(/x/", "DEFAULT,", "OTHER", "DEFAULT DEFAULT"} {
		if _, err := ParseMapping(bad); err == nil {
			t.Errorf("%q was taken", bad)
		}
	}
}

func TestDistinguishedName(t *testing.T) {
	der, err := asn1.Marshal(pkix.RDNSequence{
		{{Type: asn1.ObjectIdentifier{2, 5, 4, 6}, Value: "DE"}},
		{{Type: asn1.ObjectIdentifier{2, 5, 4, 10}, Value: "A, B"}},
		{{Type: asn1.ObjectIdentifier{2, 5, 4, 3}, Value: "#x "}},
	})
	if err != nil {
		t.Fatal(err)
	}
	if got, err := DistinguishedName(der); err != nil || got != `CN=\#x\ ,O=A\, B,C=DE` {
		t.Errorf("got %q, %v", got, err)
	}
}

func FuzzMapping(f *testing.F) {
	f.Add("RULE:^CN=(.*?),.*$/$1/L,DEFAULT", "CN=a,O=b")
	f.Add(`RULE:a\/b/\$1$12/U`, "a/b")
	f.Fuzz(func(t *testing.T, rules, dn string) {
		if m, err := ParseMapping(rules); err == nil {
			m.Name(dn)
		}
	})
}

func FuzzDistinguishedName(f *testing.F) {
	der, _ := asn1.Marshal(pkix.RDNSequence{{{Type: asn1.ObjectIdentifier{2, 5, 4, 3}, Value: "x"}}})
	f.Add(der)
	f.Fuzz(func(_ *testing.T, der []byte) { DistinguishedName(der) })
}

func FuzzStored(f *testing.F) {
	f.Add("2/3/orders", "3,3,*,User:alice", "salt=YQ==,stored_key=YQ==,server_key=YQ==,iterations=4096")
	f.Fuzz(func(t *testing.T, pattern, key, credential string) {
		if p, ok := parsePattern(pattern); ok {
			if a, ok := parseACL(p, key); ok {
				if b, ok := parseACL(p, a.Key()); !ok || a != b {
					t.Errorf("%q reads as %+v, and that as %+v", key, a, b)
				}
			}
		}
		if c, err := ParseCredential(credential); err == nil {
			if d, err := ParseCredential(c.Encode()); err != nil || d.Iterations != c.Iterations {
				t.Errorf("%q does not survive", credential)
			}
		}
	})
}

// The cost of a check among ten thousand ACLs: some look-ups.
func BenchmarkAllowed(b *testing.B) {
	var acls []ACL
	for i := range 5000 {
		acls = append(acls, acl(Topic, Literal, "topic-"+strconv.Itoa(i), "User:u"+strconv.Itoa(i), "*", Write, Allow),
			acl(Topic, Prefixed, "team-"+strconv.Itoa(i)+"-", "User:u"+strconv.Itoa(i), "*", Write, Allow))
	}
	a := Compile(acls, nil, false)
	b.ReportAllocs()
	for b.Loop() {
		if !a.Allowed("User:u77", "10.0.0.1", Write, Topic, "team-77-orders") {
			b.Fatal("refused")
		}
	}
}
