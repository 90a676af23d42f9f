"""Files that others read, and write, too: whole at every moment, and locked by a file beside."""

import os
import stat
from contextlib import suppress
from pathlib import Path


def write(path: Path, content: bytes) -> None:
    """Puts a whole new file in the place of the one at ``path``, or of what that is a link to; durable on return.

    Who reads it meanwhile gets the old one or the new one. Its permissions stay; those of a new file are its owner's.

    Raises:
        OSError: it can't be written.
    """
    target = Path(os.path.realpath(path))
    target.parent.mkdir(parents=True, exist_ok=True)
    # What a process left behind that was killed while it wrote is written over.
    temporary = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    try:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            with suppress(FileNotFoundError):
                os.fchmod(descriptor, stat.S_IMODE(target.stat().st_mode))
            with open(descriptor, "wb", closefd=False) as file:
                file.write(content)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        os.replace(temporary, target)
    except BaseException:
        with suppress(OSError):
            temporary.unlink()
        raise
    _sync_folder(target.parent)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def lock_path(path: Path) -> Path:
    """The file beside ``path`` that whoever changes ``path`` holds a ``flock`` on."""
    return path.with_name(path.name + ".lock")
