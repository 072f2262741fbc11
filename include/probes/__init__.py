"""Looking: a client in, observations out. Nothing is judged here."""
