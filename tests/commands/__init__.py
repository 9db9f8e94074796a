"""The command line: what each command promises to the person who types it."""
