"""Limits for one process: a control group where this machine lets us make one (v1 or v2), resource limits where not."""

import os
import time
from pathlib import Path

ROOT = Path("/sys/fs/cgroup")


class ControlGroup:
    """Groups of one name below each controller of v1, or the one group of v2. Only what could be made is there."""

    def __init__(self, name):
        self.v2 = (ROOT / "cgroup.controllers").exists()
        self.folders = {}
        for controller in ("memory", "pids", "cpu"):
            folder = ROOT / name if self.v2 else ROOT / controller / name
            try:
                if self.v2:
                    (ROOT / "cgroup.subtree_control").write_text(f"+{controller}")
                elif not folder.parent.exists():
                    continue
                folder.mkdir(exist_ok=True)
            except OSError:
                continue
            self.folders[controller] = folder

    def has(self, controller):
        return controller in self.folders

    def limit_memory(self, size):
        self._write("memory", "memory.max" if self.v2 else "memory.limit_in_bytes", size)

    def limit_pids(self, count):
        self._write("pids", "pids.max", count)

    def limit_cpu(self, cores):
        period = 100_000
        quota = int(cores * period)
        if self.v2:
            self._write("cpu", "cpu.max", f"{quota} {period}")
        else:
            self._write("cpu", "cpu.cfs_period_us", period)
            self._write("cpu", "cpu.cfs_quota_us", quota)

    def entry_files(self, controllers):
        """Where a process writes its id to enter."""
        return sorted({str(self.folders[one] / "cgroup.procs") for one in controllers})

    def enter(self, pid, controllers):
        for path in self.entry_files(controllers):
            Path(path).write_text(str(pid), encoding="ascii")

    def remove(self):
        for folder in set(self.folders.values()):
            for _ in range(50):  # the kernel keeps it until the last process is gone
                try:
                    os.rmdir(folder)
                    break
                except FileNotFoundError:
                    break
                except OSError:
                    time.sleep(0.1)

    def _write(self, controller, file, value):
        (self.folders[controller] / file).write_text(str(value), encoding="ascii")
