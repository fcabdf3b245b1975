package ecosystem

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
)

// postgresBin is where Debian's package postgresql-15 puts the server.
const postgresBin = "/usr/lib/postgresql/15/bin"

// postgres starts PostgreSQL with logical decoding and returns a function that runs SQL, and its port. As root it runs as the package's user: the server
// refuses to be root.
func postgres(t *testing.T) (sql func(string), port string) {
	t.Helper()
	if _, err := os.Stat(filepath.Join(postgresBin, "postgres")); err != nil {
		t.Fatalf("%v: install Debian's postgresql-15", err)
	}
	dir, err := os.MkdirTemp("", "sluice-postgres") // the test's own directory is closed to other users
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	var as []string
	if os.Getuid() == 0 {
		run(t, "", "chown", "postgres:postgres", dir)
		as = []string{"setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups", "--pdeathsig=KILL"}
	}
	command := func(args ...string) (string, []string) {
		args = append(slices.Clone(as), args...)
		return args[0], args[1:]
	}
	data := filepath.Join(dir, "data")
	program, args := command(filepath.Join(postgresBin, "initdb"), "-D", data, "-A", "trust", "-U", "sluice", "--no-sync", "-E", "UTF8", "--locale=C")
	run(t, "/", program, args...)
	addr := freeAddress(t)
	_, port, err = net.SplitHostPort(addr)
	if err != nil {
		t.Fatal(err)
	}
	program, args = command(filepath.Join(postgresBin, "postgres"), "-D", data, "-p", port, "-c", "listen_addresses=127.0.0.1",
		"-c", "unix_socket_directories="+dir, "-c", "wal_level=logical", "-c", "shared_buffers=16MB")
	start(t, program, args...)
	psql := func(text string) ([]byte, error) {
		return exec.Command(filepath.Join(postgresBin, "psql"), "-h", "127.0.0.1", "-p", port, "-U", "sluice", "-v", "ON_ERROR_STOP=1", "-qAtc", text, "postgres").CombinedOutput()
	}
	await(t, "PostgreSQL answers", func() error {
		out, err := psql("select 1")
		if err != nil {
			return fmt.Errorf("%w: %s", err, out)
		}
		return nil
	})
	return func(text string) {
		t.Helper()
		if out, err := psql(text); err != nil {
			t.Fatalf("%s: %v: %s", text, err, out)
		}
	}, port
}

// change is what Debezium says of a row, in part.
type change struct {
	Op            string
	Before, After *struct {
		ID    int    `json:"id"`
		Name  string `json:"name"`
		Cents int    `json:"cents"`
	}
}

func (c change) String() string {
	s := c.Op
	if c.Before != nil {
		s += fmt.Sprintf(" %d", c.Before.ID)
	}
	if c.After != nil {
		s += fmt.Sprintf(" %d=%s:%d", c.After.ID, c.After.Name, c.After.Cents)
	}
	return s
}

// TestDebezium: Debezium's connector for PostgreSQL, within Kafka Connect, writes what is in a table and then its inserts, updates and deletes to
// a topic, exactly once; its worker is killed in between, and what was changed meanwhile follows.
func TestDebezium(t *testing.T) {
	b := sluice(t)
	sql, port := postgres(t)
	sql("create table goods (id int primary key, name text, cents int); alter table goods replica identity full")
	sql("insert into goods select i, 'good ' || i, i * 10 from generate_series(1, 100) i")
	createTopic(t, b.Addr, "shop.public.goods", 1)

	plugins := t.TempDir() // each directory in it is a plugin
	if err := os.Symlink(filepath.Dir(jars(t, "debezium")), filepath.Join(plugins, "debezium")); err != nil {
		t.Fatal(err)
	}
	settings := []string{"plugin.path=" + plugins, "key.converter=org.apache.kafka.connect.json.JsonConverter", "key.converter.schemas.enable=false",
		"value.converter=org.apache.kafka.connect.json.JsonConverter", "value.converter.schemas.enable=false"}
	w := connect(t, b.Addr, settings...)
	w.awaitReady(t)
	w.call(t, http.MethodPut, "/connectors/shop/config", map[string]string{
		"connector.class": "io.debezium.connector.postgresql.PostgresConnector", "tasks.max": "1", "plugin.name": "pgoutput", "topic.prefix": "shop",
		"database.hostname": "127.0.0.1", "database.port": port, "database.user": "sluice", "database.password": "x", "database.dbname": "postgres",
		"table.include.list": "public.goods", "exactly.once.support": "required", "poll.interval.ms": "100",
	}, nil)
	w.awaitState(t, "shop", "RUNNING", 1)
	var want []string
	for i := 1; i <= 100; i++ {
		want = append(want, fmt.Sprintf("r %d=good %d:%d", i, i, i*10))
	}
	awaitChanges(t, b.Addr, want)
	sql("insert into goods values (101, 'new', 1)")
	sql("update goods set cents = cents + 1 where id <= 2")
	sql("delete from goods where id = 3")
	want = append(want, "c 101=new:1", "u 1 1=good 1:11", "u 2 2=good 2:21", "d 3")
	awaitChanges(t, b.Addr, want)

	w.Kill()
	sql("update goods set name = 'changed' where id = 101")
	w = connect(t, b.Addr, settings...)
	want = append(want, "u 101 101=changed:1")
	awaitChanges(t, b.Addr, want)
	w.awaitState(t, "shop", "RUNNING", 1)
	t.Logf("%d changes", len(want))
	b.Verify()
}

// awaitChanges waits until the topic has so many changes and demands that they are those.
func awaitChanges(t *testing.T, addr string, want []string) {
	t.Helper()
	var got []string
	await(t, fmt.Sprintf("%d changes", len(want)), func() error {
		records, err := read(t, addr, "shop.public.goods")
		if err != nil {
			return err
		}
		got = nil
		for _, r := range records {
			if r.Value == nil { // a tombstone follows a delete
				continue
			}
			var c change
			if err := json.Unmarshal(r.Value, &c); err != nil {
				t.Fatalf("%s: %v", r.Value, err)
			}
			got = append(got, c.String())
		}
		if len(got) < len(want) {
			return fmt.Errorf("%d are there", len(got))
		}
		return nil
	})
	if !slices.Equal(got, want) {
		t.Errorf("changes are %q, want %q", got, want)
	}
}
