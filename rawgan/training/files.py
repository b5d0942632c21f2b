"""Files that are there whole or not at all, whatever is killed or full.

`write_whole(path, chunks)` writes a temporary file beside `path`, makes it durable and puts it in place
in one step, so that a reader sees the old file or the new one and never a part. A process killed in
between leaves a file whose name starts with `PREFIX`; `remove_leftovers(folder)` clears those away.
"""

import errno
import os
import secrets
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from rawgan.kernels.errors import CheckpointError

PREFIX = ".rawgan-unfinished-"

_REMEDY = {
    errno.ENOSPC: "free some space on that disk, then try again",
    errno.EDQUOT: "your disk quota is used up: free some space, then try again",
    errno.EFBIG: "the file may not grow that large here: raise the limit (ulimit -f) or write elsewhere",
    errno.EROFS: "that file system is read-only: write to another folder",
    errno.EACCES: "you may not write there: write to another folder or change its permissions",
    errno.EPERM: "you may not write there: write to another folder or change its permissions",
    errno.ENOENT: "make that folder first, or write to another one",
    errno.ENOTDIR: "a file stands where a folder is needed: write to another folder",
    errno.EEXIST: "a file of that name is in the way: choose another name",
    errno.EISDIR: "a folder of that name is in the way: choose another name",
}


def unwritable(path: str | os.PathLike, error: OSError) -> CheckpointError:
    """The CheckpointError for a write to `path` that the system refused with `error`."""
    remedy = _REMEDY.get(error.errno or 0, "write to another folder or disk")
    return CheckpointError(f"{path}: cannot be written ({error.strerror or error}); {remedy}")


def write_whole(path: str | os.PathLike, chunks: Iterable) -> None:
    """Write the bytes of `chunks` to `path`, all of them or none.

    `chunks` yields bytes or other contiguous buffers, each written before the next is asked for.
    Raises CheckpointError where the system refuses (a full disk, a read-only folder); what stood at
    `path` before then still does, and no temporary file stays.

    >>> import tempfile; folder = tempfile.TemporaryDirectory()
    >>> write_whole(f"{folder.name}/greeting", [b"good ", b"morning"])
    >>> Path(f"{folder.name}/greeting").read_text()
    'good morning'
    """
    path = Path(path)
    temporary = path.parent / f"{PREFIX}{os.getpid()}-{secrets.token_hex(4)}"
    try:
        with open(temporary, "xb") as file:
            for chunk in chunks:
                file.write(chunk)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
        _sync_folder(path.parent)
    except BaseException as error:
        with suppress(OSError):  # it may not exist, and the error below is the one to hear about
            temporary.unlink()
        if isinstance(error, OSError):
            raise unwritable(path, error) from error
        raise


def _sync_folder(folder: Path) -> None:
    """Make the new name durable: until the folder is synced, a power cut can bring the old one back."""
    if os.name == "nt":  # Windows cannot open a folder, and its replace is durable in itself
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # some network file systems have no such thing
            raise
    finally:
        os.close(descriptor)


def remove_leftovers(folder: str | os.PathLike) -> None:
    """Delete what killed writers left in `folder` and below. Only for who knows that no writer is alive."""
    for leftover in Path(folder).rglob(f"{PREFIX}*"):
        leftover.unlink(missing_ok=True)
