package cases

import (
	"bufio"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"
)

// Client is a client and a version of it. A client.txt holds one block of lines `key: value` for each, with an empty line between two:
//
//	client: NAME-VERSION      what it is called everywhere
//	about: TEXT               what it is, for the page
//	install: COMMAND          run by sh in the folder of client.txt, before the program, every time; it should notice when nothing is to be done
//	command: COMMAND          the same for the program, BOOTSTRAP and PREFIX are added
//	timeout: DURATION         for one run of the program; two minutes if there is none
//	broker: NAME=VALUE        a setting of both brokers; there may be several lines
//
// Both commands find a folder of their own for what they install or build in $CACHE, and the top of the source tree in $ROOT.
type Client struct {
	Name, About, Install, Command string
	Timeout                       time.Duration
	Dir                           string // of client.txt
	Broker                        []string
}

const defaultTimeout = 2 * time.Minute

var clientName = regexp.MustCompile(`^[a-z0-9.-]+$`)

// readClients returns what all client.txt below a folder say, by name.
func readClients(root string) ([]Client, error) {
	var all []Client
	for _, pattern := range []string{"*/client.txt", "*/*/client.txt"} {
		files, err := filepath.Glob(filepath.Join(root, pattern))
		if err != nil {
			return nil, err
		}
		for _, file := range files {
			text, err := os.ReadFile(file)
			if err != nil {
				return nil, err
			}
			some, err := parseClients(string(text), filepath.Dir(file))
			if err != nil {
				return nil, fmt.Errorf("%s: %w", file, err)
			}
			all = append(all, some...)
		}
	}
	slices.SortFunc(all, func(a, b Client) int { return strings.Compare(a.Name, b.Name) })
	for i := 1; i < len(all); i++ {
		if all[i].Name == all[i-1].Name {
			return nil, fmt.Errorf("two clients are called %s", all[i].Name)
		}
	}
	return all, nil
}

func parseClients(text, dir string) ([]Client, error) {
	var all []Client
	var c *Client
	for s := bufio.NewScanner(strings.NewReader(text)); s.Scan(); {
		line := strings.TrimSpace(s.Text())
		if strings.HasPrefix(line, "#") || line == "" {
			continue
		}
		key, value, ok := strings.Cut(line, ":")
		value = strings.TrimSpace(value)
		if !ok || value == "" {
			return nil, fmt.Errorf("%q is not `key: value`", line)
		}
		if key == "client" {
			all = append(all, Client{Name: value, Dir: dir, Timeout: defaultTimeout})
			c = &all[len(all)-1]
			if !clientName.MatchString(value) {
				return nil, fmt.Errorf("%q is no name of a client", value)
			}
			continue
		}
		if c == nil {
			return nil, fmt.Errorf("%q stands before the first `client:`", line)
		}
		if err := c.set(key, value); err != nil {
			return nil, err
		}
	}
	for _, c := range all {
		if c.Command == "" {
			return nil, fmt.Errorf("%s has no command", c.Name)
		}
	}
	return all, nil
}

func (c *Client) set(key, value string) (err error) {
	switch key {
	case "about":
		c.About = value
	case "install":
		c.Install = value
	case "command":
		c.Command = value
	case "timeout":
		c.Timeout, err = time.ParseDuration(value)
	case "broker":
		c.Broker = append(c.Broker, value)
	default:
		err = fmt.Errorf("%s: no such key", key)
	}
	return err
}

// wanted says whether a client is asked for: by `all`, or by a part of its name in a list with commas.
func wanted(want, name string) bool {
	for one := range strings.SplitSeq(want, ",") {
		if one == "all" || one != "" && strings.Contains(name, one) {
			return true
		}
	}
	return false
}
