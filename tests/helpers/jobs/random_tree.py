"""A process tree of random shape that does not want to die. Usage: random_tree.py SEED LOCK_FILE

Every process holds LOCK_FILE open under one shared lock, so whoever gets an exclusive lock on it knows that all of them
are gone. Prints `ready N` when all N processes are up. What they do:
plain children, new sessions, double forks, ignored signals, stopped processes, an empty environment and another name,
closed standard streams, and chains that fork and die for a while.
"""

import fcntl
import os
import random
import signal
import sys
import time


def main() -> None:
    chance = random.Random(int(sys.argv[1]))
    lock = os.open(sys.argv[2], os.O_RDWR | os.O_CREAT, 0o600)
    os.set_inheritable(lock, True)
    fcntl.flock(lock, fcntl.LOCK_SH)
    read_end, write_end = os.pipe()
    count = chance.randrange(2, 9)
    for _ in range(count):
        if os.fork() == 0:
            member(random.Random(chance.random()), write_end, depth=chance.randrange(0, 3))
        chance.random()
    for _ in range(count):
        os.read(read_end, 1)
    print("ready", count, flush=True)
    rest()


def member(chance: random.Random, up: int, depth: int) -> None:
    """One process of the tree; never returns."""
    if chance.random() < 0.4:
        os.setsid()
    if chance.random() < 0.3 and os.fork():  # the double fork: the parent goes, the child stays
        os._exit(0)
    if chance.random() < 0.4:
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
    if depth and os.fork() == 0:
        member(random.Random(chance.random()), os.open(os.devnull, os.O_WRONLY), depth - 1)
    if chance.random() < 0.2 and os.fork() == 0:
        hop(chance)
    if chance.random() < 0.4:
        null = os.open(os.devnull, os.O_RDWR)
        for fd in (0, 1, 2):
            os.dup2(null, fd)
    register()
    os.write(up, b".")
    if chance.random() < 0.2:
        os.kill(os.getpid(), signal.SIGSTOP)
    if chance.random() < 0.3:
        os.execve("/bin/sleep", ["something-else", "300"], {})
    rest()


def register() -> None:
    """Note that this process stays until somebody ends it: it has to be in the receipt."""
    fd = os.open(sys.argv[2] + ".members", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    os.write(fd, b"%d\n" % os.getpid())
    os.close(fd)


def hop(chance: random.Random) -> None:
    """Fork and die, so that each look finds another process; then stay."""
    for _ in range(chance.randrange(5, 60)):
        if os.fork():
            os._exit(0)
    rest()


def rest() -> None:
    while True:
        time.sleep(300)


main()
