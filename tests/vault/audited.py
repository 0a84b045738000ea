"""`python -m tests.vault.audited storage|evolve DIRECTORY`: live a cycle under an audit hook.

Prints how many changes of the lineage it saw, and how many of them were not made by the write door.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

from germline.store import disk

CHANGES = {
    "os.chmod", "os.chown", "os.link", "os.mkdir", "os.remove", "os.rename", "os.rmdir", "os.symlink", "os.truncate",
    "os.utime", "shutil.copyfile", "shutil.move", "shutil.rmtree", "tempfile.mkstemp", "tempfile.mkdtemp",
}  # fmt: skip
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND


class Guard:
    """Notes each change under a directory, and whose it was."""

    def __init__(self, root: Path) -> None:
        self.root = str(root.absolute())
        self.seen = 0
        self.strangers: list[str] = []

    def __call__(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event not in CHANGES and not (event == "open" and arguments[2] & WRITING):
            return
        paths = [str(Path(path).absolute()) for path in arguments[:2] if isinstance(path, str | os.PathLike)]
        inside = [path for path in paths if path == self.root or path.startswith(self.root + os.sep)]
        if not inside:
            return
        frame = sys._getframe(1)
        while Path(frame.f_code.co_filename).stem == "pathlib" and frame.f_back is not None:
            frame = frame.f_back
        if "filelock" in frame.f_code.co_filename and set(inside) <= {self.root, self.root + os.sep + "lock"}:
            return  # the lock, and its directory, which is there
        self.seen += 1
        if frame.f_code.co_filename != disk.__file__:
            self.strangers.append(f"{event} {inside} by {frame.f_code.co_filename}:{frame.f_lineno}")


def main(what: str, folder: Path) -> None:
    from tests.vault.cycle import configured

    world = folder / "world"
    if what == "evolve":
        from tests.vault import evolving

        evolving.prepare(world)
        live = evolving.live
    else:
        from tests.vault import storage

        storage.new_world(world)
        live = storage.live
    guard = Guard(configured(world).root)
    sys.addaudithook(guard)
    live(world, lambda told: None)
    print(*guard.strangers, sep="\n")
    print(guard.seen, len(guard.strangers))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
