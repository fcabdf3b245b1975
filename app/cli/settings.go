package cli

import (
	"fmt"
	"os"
	"reflect"
	"strings"

	"github.com/alecthomas/kong"

	"sluice/base"
	"sluice/base/config"
)

// settingFlags gives a command a flag for every setting. The struct behind them is made of the declarations, so that there is no
// second list of settings; a pointer tells a flag that was given from one that was not.
type settingFlags struct {
	kong.Plugins
	ConfigFile string   `name:"config" type:"path" placeholder:"FILE" env:"SLUICE_CONFIG" help:"File with settings, one 'name = value' per line. Flags and environment variables beat it."`
	Set        []string `name:"set" sep:"none" placeholder:"NAME=VALUE" help:"Give any setting by its name; repeatable."`
}

func newSettingFlags() settingFlags {
	var fields []reflect.StructField
	for i, s := range config.Settings() {
		tag := fmt.Sprintf(`name:%q help:%q placeholder:%q group:%q`, s.Flag(), flagHelp(&s), placeholder(&s), s.Group)
		if alias := flagAlias(&s); alias != "" {
			tag += fmt.Sprintf(` aliases:%q`, alias)
		}
		if s.Kind == config.Bool {
			tag += ` negatable:""`
			fields = append(fields, reflect.StructField{Name: fieldName(i), Type: reflect.TypeFor[*bool](), Tag: reflect.StructTag(tag)})
			continue
		}
		if s.Many {
			fields = append(fields, reflect.StructField{Name: fieldName(i), Type: reflect.TypeFor[[]string](), Tag: reflect.StructTag(tag)})
			continue
		}
		fields = append(fields, reflect.StructField{Name: fieldName(i), Type: reflect.TypeFor[*string](), Tag: reflect.StructTag(tag)})
	}
	return settingFlags{Plugins: kong.Plugins{reflect.New(reflect.StructOf(fields)).Interface()}}
}

func fieldName(i int) string { return fmt.Sprintf("Setting%d", i) }

// flagAlias is Kafka's own name, where it differs from the flag's.
func flagAlias(s *config.Setting) string {
	if s.Name != s.Flag() {
		return s.Name
	}
	return ""
}

func flagHelp(s *config.Setting) string {
	text := s.Doc
	switch {
	case s.Auto != "":
		text += " Default: " + s.Auto + "."
	case s.Default != "":
		text += " Default: " + s.Default + "."
	}
	return text
}

func placeholder(s *config.Setting) string {
	switch s.Kind {
	case config.Choice:
		return strings.Join(s.Choices, "|")
	case config.Path:
		return "DIR"
	case config.HostPort:
		return "HOST:PORT"
	}
	return strings.ToUpper(s.Kind.String())
}

// values returns the settings that were given as flags.
func (f *settingFlags) values() ([]config.Value, error) {
	var out []config.Value
	given := reflect.ValueOf(f.Plugins[0]).Elem()
	for i, s := range config.Settings() {
		v := given.Field(i)
		if many, ok := v.Interface().([]string); ok && many != nil {
			out = append(out, config.Value{Name: s.Name, Text: strings.Join(many, ","), From: "flag --" + s.Flag()})
		} else if !ok && !v.IsNil() {
			out = append(out, config.Value{Name: s.Name, Text: fmt.Sprint(v.Elem().Interface()), From: "flag --" + s.Flag()})
		}
	}
	for _, kv := range f.Set {
		name, text, ok := strings.Cut(kv, "=")
		if !ok {
			return nil, base.Errorf(base.Invalid, "--set %s: want NAME=VALUE", kv)
		}
		out = append(out, config.Value{Name: name, Text: text, From: "flag --set"})
	}
	return out, nil
}

// resolve makes the configuration of flags, environment and file.
func (f *settingFlags) resolve(p *Process) (*config.Config, error) {
	flags, err := f.values()
	if err != nil {
		return nil, err
	}
	env, _ := config.FromEnv(p.Environ)
	var file []config.Value
	if f.ConfigFile != "" {
		content, err := os.ReadFile(f.ConfigFile)
		if err != nil {
			return nil, base.Errorf(base.Invalid, "--config: %w", err)
		}
		if file, err = config.FromFile(f.ConfigFile, string(content)); err != nil {
			return nil, err
		}
	}
	return config.Resolve(file, env, flags)
}
