"""Old rows go into the archive, are read back, and only then leave the database; a day of the archive comes back the same way."""
