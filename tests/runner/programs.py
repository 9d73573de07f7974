"""Small programs that are hard to kill. Each one, and every process it makes, holds a lock on the file it is given."""

import fcntl
import sys
import textwrap

from tests.helpers.waiting import wait_until

_PRELUDE = """
import fcntl, os, signal, sys, time
lock = os.open(sys.argv[1], os.O_RDWR | os.O_CREAT)
fcntl.flock(lock, fcntl.LOCK_SH)
os.set_inheritable(lock, True)
def ready():
    os.write(1, b"ready\\n")
def sleep():
    while True:
        signal.pause()
def fork(then):
    if os.fork() == 0:
        then()
        os._exit(0)
"""

PROGRAMS = {
    "plain tree": """
        for _ in range(5):
            fork(sleep)
        ready(); sleep()
    """,
    "setsid and double fork": """
        def detached():
            os.setsid()
            null = os.open(os.devnull, os.O_RDWR)
            for fd in (0, 1, 2):
                os.dup2(null, fd)
            fork(sleep)
        fork(detached)
        os.wait(); ready(); sleep()
    """,
    "ignores every signal": """
        for number in range(1, 65):
            if number not in (9, 17, 19, 32, 33):
                signal.signal(number, signal.SIG_IGN)
        fork(sleep)
        ready(); sleep()
    """,
    "stopped in another session": """
        def stopped():
            os.setsid()
            os.kill(os.getpid(), signal.SIGSTOP)
        fork(stopped)
        os.waitid(os.P_ALL, 0, os.WSTOPPED | os.WNOWAIT)
        ready(); sleep()
    """,
    "hops": """
        def hop():
            while os.fork() == 0:
                if os.fork():
                    os._exit(0)
                os.setsid()
            os._exit(0)
        for _ in range(2):
            fork(hop)
        ready(); sleep()
    """,
    "respawns": """
        def nest(depth=0):
            os.setsid()
            while True:
                child = os.fork()
                if child == 0:
                    (nest if depth < 2 else sleep)(*((depth + 1,) if depth < 2 else ()))
                os.waitpid(child, 0)
        for _ in range(4):
            fork(nest)
        ready(); sleep()
    """,
    "forks from a thread": """
        import threading
        def forker():
            fork(sleep)
            sys.stdout.write("ready\\n"); sys.stdout.flush()
            threading.Event().wait()
        threading.Thread(target=forker, daemon=True).start()
        sleep()
    """,
}


def program(name: str, lock_path: str) -> list[str]:
    """Return the argv of one of `PROGRAMS`."""
    code = _PRELUDE + textwrap.dedent(PROGRAMS[name])
    return [sys.executable, "-I", "-S", "-c", code, lock_path]


def wait_all_gone(lock_path: str) -> None:
    """Return when nobody holds the lock any more."""
    with open(lock_path, "r+b") as file:
        wait_until(lambda: _try_lock(file.fileno()), f"the end of everyone who holds {lock_path}")


def is_anyone_left(lock_path: str) -> bool:
    """Whether somebody holds the lock."""
    with open(lock_path, "r+b") as file:
        return not _try_lock(file.fileno())


def _try_lock(fd: int) -> bool:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
