"""The shell of a database: answers each statement, and then prompts for the next one."""

import sys

from pace import pause

ANSWERS = {
    "open orders.db": (0.0, "opened orders.db: 3 tables"),
    "tables": (0.0, "customers\nitems\norders"),
    "count orders": (0.0, "184203"),
    "reindex orders": (1.5, "reindexed orders: 184203 rows"),
    "sum orders.total": (0.0, "2918844.50"),
}

print("orders shell 4.2, help for help\ndb> ", end="", flush=True)
for line in sys.stdin:
    statement = line.strip()
    if statement == "quit":
        break
    seconds, answer = ANSWERS.get(statement, (0.0, f"syntax error near {statement!r}"))
    pause(seconds)
    print(f"{answer}\ndb> ", end="", flush=True)
print("bye", flush=True)
