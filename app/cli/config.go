package cli

import "sluice/base/config"

type configCmd struct {
	settingFlags
}

func (c *configCmd) Help() string {
	return "The output is a configuration file: sluice config > sluice.conf, then sluice start --config sluice.conf. Flags, environment and file are taken into account as by sluice start, so it also shows where a value comes from."
}

func (c *configCmd) Run(p *Process) error {
	cfg, err := c.resolve(p)
	if err != nil {
		return err
	}
	return config.Print(p.Stdout, cfg)
}
