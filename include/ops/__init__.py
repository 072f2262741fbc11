"""The ops database: what was looked at and done, in a form that nobody can change afterwards."""
