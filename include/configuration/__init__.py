"""Configuration backups: what is in a namespace, normalised, sealed where it is secret, proved, and compared with yesterday's."""
