"""Switches that make the platform sick on purpose, so that a person can see the runbooks notice, and mend it again."""
