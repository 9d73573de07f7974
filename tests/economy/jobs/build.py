"""A parallel build that ends what it has begun after its first error, and fails: exit code 2."""

import sys

from pace import paced

FILES = 240
BROKEN = 216

ERROR = """\
src/parser/expression_{0}.c: In function 'parse_operand':
src/parser/expression_{0}.c:212:17: error: 'struct token' has no member named 'lenght'; did you mean 'length'?
  212 |     if (token->lenght > MAX_TOKEN)
      |                ^~~~~~
      |                length
"""

for number in paced("build", range(1, FILES + 1), 5.0):
    print(
        f"[{number:3}/{FILES}] cc -std=c17 -O2 -Wall -Wextra -Iinclude -MMD -c src/parser/expression_{number}.c",
        flush=True,
    )
    if number == BROKEN:
        print(ERROR.format(number), end="", file=sys.stderr, flush=True)
print("build stopped: subcommand failed.", flush=True)
sys.exit(2)
