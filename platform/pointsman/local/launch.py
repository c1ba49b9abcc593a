"""The last step before a supervised process: takes its user, ties its life to its parent's, and becomes the command.

Run by its path with nothing but the standard library: `python -I -S launch.py SIGNAL PARENT USER COMMAND…`. It is a step
of its own since the kernel forgets the tie when the user changes, and since code of ours between fork and exec of a threaded
parent can hang.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1
CANNOT_START = 127


def launched(command: tuple[str, ...], *, user: str | None = None, on_death: signal.Signals) -> tuple[str, ...]:
    """The command that becomes `command` as `user`, and gets `on_death` when the calling process has died (Linux).

    It must be started from the main thread: the kernel means the thread.
    """
    return (sys.executable, "-I", "-S", __file__, str(int(on_death)), str(os.getpid()), user or "", *command)


def become(on_death: int, parent: int, user: str, command: list[str]) -> None:
    """Turn this process into the command. Returns only by ending the process."""
    try:
        if user:
            _take(user)
        if sys.platform == "linux":
            ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, on_death)
            if os.getppid() != parent:  # it died before the tie was made
                os._exit(CANNOT_START)
        for number in (signal.SIGPIPE, signal.SIGXFSZ):  # Python ignores them, and what is ignored stays so
            signal.signal(number, signal.SIG_DFL)
        os.execvp(command[0], command)
    except (OSError, KeyError) as error:
        os.write(2, f"cannot be started: {error}: {command[0]}\n".encode())
        os._exit(CANNOT_START)


def _take(user: str) -> None:
    import pwd

    entry = pwd.getpwnam(user)
    os.setgroups([])
    os.setgid(entry.pw_gid)
    os.setuid(entry.pw_uid)


if __name__ == "__main__":
    become(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3], sys.argv[4:])
