"""One of several checks that run side by side: NAME SECONDS EXIT_CODE."""

import sys

from pace import paced

name, seconds, exit_code = sys.argv[1], float(sys.argv[2]), int(sys.argv[3])
for number in paced(name, range(1, 61), seconds):
    print(f"{name}: checked src/module_{number:02}.py", flush=True)
if exit_code:
    print(f"{name}: src/module_17.py:40: unused variable 'total'", flush=True)
print(f"{name}: {1 if exit_code else 0} problems in 60 files", flush=True)
sys.exit(exit_code)
