"""Reports in, payloads out; nothing here sends anything."""
