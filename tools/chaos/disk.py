"""A disk that is full on demand, for one program and one directory, without any privilege.

A file system of a limited size needs root to mount. A small library that is loaded into mariadbd
before the C library's own functions refuses what would make a file grow: ENOSPC, as the kernel says it.
"""

import shutil
import subprocess
import tempfile
from pathlib import Path

SOURCE = Path(__file__).with_name("full_disk.c")
MARIADB_OPTIONS = (
    # Direct system calls of io_uring and libaio would pass the library by.
    "--innodb-use-native-aio=0",
    # One file for all tables that grows by a megabyte, so that a full disk is met soon: each table in a file
    # of its own would take four at a time, enough for half a minute.
    "--skip-innodb-file-per-table",
    "--innodb-autoextend-increment=1",
)


class Disk:
    def __init__(self, directory: Path):
        self.flag = directory / "disk-is-full"
        self.library = directory / "full_disk.so"
        self.impossible = ""
        compiler = shutil.which("gcc") or shutil.which("cc")
        if compiler is None:
            self.impossible = "there is no C compiler"
            return
        made = subprocess.run(  # noqa: S603
            [compiler, "-shared", "-fPIC", "-O2", "-o", self.library, SOURCE, "-ldl"],
            capture_output=True,
            text=True,
            check=False,
        )
        if made.returncode:
            self.impossible = f"the library cannot be compiled: {made.stderr.strip().splitlines()[-1]}"

    def environment(self) -> dict[str, str]:
        """For mariadbd, whose directories are made below the system's temporary one."""
        if self.impossible:
            return {}
        return {
            "LD_PRELOAD": str(self.library),
            "TICKS_FULL_DISK_FLAG": str(self.flag),
            "TICKS_FULL_DISK_BELOW": str(Path(tempfile.gettempdir()).resolve()),
        }

    def fill(self) -> None:
        self.flag.touch()

    def free(self) -> None:
        self.flag.unlink(missing_ok=True)
