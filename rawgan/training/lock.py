"""One writer at a time: a lock on a folder that no crash can leave behind."""

import os
import socket
from pathlib import Path

from rawgan.kernels.errors import CheckpointError
from rawgan.notice import warn
from rawgan.training.files import unwritable

NAME = ".lock"


class FolderLock:
    """The right to write into `folder`, from construction to `release()` or the end of the process.

    The system lifts it with the process, even one killed with -9; the file that stays behind means
    nothing. Raises CheckpointError if another holds it, naming that process, or if it cannot be written.

    >>> import tempfile; folder = tempfile.TemporaryDirectory()
    >>> lock = FolderLock(folder.name)
    >>> lock.release()
    """

    def __init__(self, folder: str | os.PathLike):
        path = Path(folder, NAME)
        try:
            self._file = open(path, "a+")  # noqa: SIM115 (open for as long as the lock is held)
        except OSError as error:
            raise unwritable(path, error) from error
        try:
            import fcntl
        except ImportError:  # Windows has none, and goes without the lock
            return
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self._file.seek(0)
            holder = self._file.read() or "another process"
            self._file.close()
            raise CheckpointError(
                f"{folder} is being trained into by {holder}; wait for it, stop it, or pass another `out`"
            ) from None
        except OSError as error:  # some network file systems
            warn(f"{folder} cannot be locked ({error}); let one process at a time train there")
        self._sign(path)

    def _sign(self, path: Path) -> None:
        """Say who holds the lock, for the message to the next who asks."""
        try:
            self._file.truncate(0)
            self._file.write(f"process {os.getpid()} on {socket.gethostname()}")
            self._file.flush()
        except OSError as error:
            raise unwritable(path, error) from error

    def release(self) -> None:
        self._file.close()
