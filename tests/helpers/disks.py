"""File systems that are small, for what happens when they are full. Mounting is for root."""

import contextlib
import subprocess
from collections.abc import Iterator


@contextlib.contextmanager
def mounted_disk(directory: str, options: str) -> Iterator[str]:
    """Mount an empty file system at `directory` while this runs.

    Args:
        directory: exists.
        options: of tmpfs(5), such as "size=4m".
    """
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", directory], check=True)
    try:
        yield directory
    finally:
        subprocess.run(["umount", "--lazy", directory], check=True)
