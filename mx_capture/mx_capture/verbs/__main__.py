"""Runs the verb whose module is the first argument; `./mx` calls it."""

from __future__ import annotations

import contextlib
import importlib
import os
import signal
import sys
from collections.abc import Sequence

from mx_capture.errors import MxError


def run(module: str, arguments: Sequence[str]) -> int:
    """The exit code of a verb: its own, 2 for what the user can mend, 130 after Ctrl-C."""
    try:
        code = int(importlib.import_module(module).main(list(arguments)))
        sys.stdout.flush()
        return code
    except MxError as error:
        print(f"mx: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # The reader, such as `head`, has seen enough; nothing may be written at exit either.
        with contextlib.suppress(OSError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141


if __name__ == "__main__":
    # A shell has its background jobs ignore SIGINT, and their children would, too.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    sys.exit(run(sys.argv[1], sys.argv[2:]))
