"""The program that bgjobd starts runners with: `__main__.py zygote <fd> <state directory>`. Needs no installation."""

import os
import sys

# It is started with -I -S, so that nothing outside the standard library can be imported by accident or by others. At
# the end of the path: a module of somebody else's beside bgjobd must not hide one of the standard library.
sys.path.append(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))

from bgjobd.runner import zygote

if __name__ == "__main__":
    sys.exit(zygote.main(sys.argv[1:]))
