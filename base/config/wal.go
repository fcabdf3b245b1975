package config

// WALs returns the WALs of the setting wal, none if it is left open.
func (c *Config) WALs() []string { return listed(c.WAL) }
