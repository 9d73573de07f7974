"""The program that bgjobd starts runners with: `__main__.py zygote <fd> <state directory>`. Needs no installation."""

# All of the standard library that a runner uses, before anything of ours: see lean.plug_holes.
import __future__  # noqa: F401

import _socket  # noqa: F401
import ctypes  # noqa: F401
import errno  # noqa: F401
import fcntl  # noqa: F401
import gc  # noqa: F401
import os
import resource  # noqa: F401
import select  # noqa: F401
import struct  # noqa: F401
import sys
import termios  # noqa: F401
import time  # noqa: F401

# It is started with -I -S, so that nothing outside the standard library can be imported by accident or by others. At
# the end of the path: a module of somebody else's beside bgjobd must not hide one of the standard library.
sys.path.append(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))

from bgjobd.runner import lean

lean.plug_holes()

from bgjobd.runner import zygote  # noqa: E402

if __name__ == "__main__":
    sys.exit(zygote.main(sys.argv[1:]))
