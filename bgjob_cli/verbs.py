"""The verbs of the command line, as plain data. Imports nothing, so that every start can afford it.

A verb NAME is carried out by `bgjob_cli/commands/NAME.py`. This table is what `bgjob --help`, completion and the
unknown-verb message read; a test holds it equal to the folder.
"""

__all__ = ["ALIASES", "DEFAULT", "LATER", "OTHER_WORDS", "VERBS"]

DEFAULT = "ls"  # what `bgjob` alone does

VERBS = {
    "run": "start a command as a background job",
    "ls": "list jobs, active ones first",
    "status": "show everything known about a job",
    "output": "print the whole output of a job, byte for byte",
    "tail": "print the last lines of a job's output, and follow it",
    "search": "find lines in a job's output",
    "send": "write to a job's standard input, or press keys in its terminal",
    "attach": "join a job's terminal",
    "screen": "print what a job's terminal shows",
    "answer": "type the secret that a job asks for",
    "kill": "end a job with its whole process tree",
    "wait": "block until a job ends, prints something, listens or is quiet",
    "rm": "forget ended jobs and delete their output",
    "prune": "forget ended jobs by age or number",
    "events": "watch what happens to jobs",
    "daemon": "start, stop, restart or inspect the daemon",
    "service": "have systemd or launchd run the daemon",
    "mcp": "serve agents, or tell an MCP client about bgjob",
    "doctor": "check that everything bgjob needs is in place",
    "completion": "print the completion script of a shell",
}

ALIASES = {"ps": "ls"}

# Words that later versions will mean; nobody should get used to them meaning something else.
LATER = (
    "enqueue",
    "group",
    "inbox",
    "pause",
    "rerun",
    "restart",
    "resume",
    "top",
    "why",
)

# What other tools call it. Not accepted (one word per concept), but answered with the right word.
OTHER_WORDS = {
    "add": "run",
    "cancel": "kill",
    "cat": "output",
    "clean": "prune",
    "delete": "rm",
    "exec": "run",
    "flush": "prune",
    "follow": "tail",
    "grep": "search",
    "info": "status",
    "input": "send",
    "jobs": "ls",
    "list": "ls",
    "log": "output",
    "logs": "tail",
    "remove": "rm",
    "show": "status",
    "signal": "kill",
    "start": "run",
    "stop": "kill",
    "submit": "run",
    "write": "send",
}
