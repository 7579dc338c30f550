"""Programs in which Ctrl-C comes where Python drops an exception: in a destructor."""

from __future__ import annotations

import sys

PROGRAM = """
import importlib, os, signal, sys

class Dropped:
    def __del__(self):
        os.kill(os.getpid(), signal.SIGINT)

program, module, owner, name = (sys.argv.pop(1) for _ in range(4))
changed = getattr(importlib.import_module(module), owner)
method = getattr(changed, name)

def drop_something(*arguments):
    Dropped()
    return method(*arguments)

setattr(changed, name, drop_something)
sys.exit(importlib.import_module(program).main())
"""


def with_ctrl_c_in_a_destructor(program: str, module: str, owner: str, method: str) -> list[str]:
    """Return the command line, to which the program's arguments can be added.

    Args:
        program: module whose `main` is run.
        module: that of the class.
        owner: class whose method the signal comes before, each time that it is called.
        method: its name.
    """
    return [sys.executable, "-c", PROGRAM, program, module, owner, method]
