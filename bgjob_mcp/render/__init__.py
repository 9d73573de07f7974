"""Output of jobs as text for a model: short, exact about what is left out, and never mistaken for instructions.

The way of the bytes: `window` takes them out of the daemon's reply, `terminal` (with `screen`) turns them into pieces,
`budget` keeps the head and the tail, `text` writes it all down, `facts` says what is known about the job.

Nothing here does I/O or knows the MCP SDK.
"""
