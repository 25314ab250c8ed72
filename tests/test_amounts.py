"""How much memory may be used where nobody says: half of what is free to this process."""

import sys

import pytest

from ckptlint.commands.amounts import free_memory, memory, usual_memory
from ckptlint.errors import UsageError

MB = 1 << 20
SLURM = "/system.slice/slurmstepd.scope/job_7/step_0"


def system(root, files):
    for name, content in files.items():
        path = root / name.lstrip("/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    return root


MACHINE = {"proc/meminfo": "MemTotal:       16384 kB\nMemFree: 10 kB\nMemAvailable:    8192 kB\nHugePages_Total:   0\n"}
OWN = "sys/fs/cgroup/"
V1 = OWN + "memory/"


@pytest.mark.parametrize(
    ("files", "free"),
    [
        ({}, 8 * MB),
        ({OWN + "memory.max": "max\n", OWN + "memory.current": "5\n"}, 8 * MB),
        ({OWN + "memory.max": f"{4 * MB}\n", OWN + "memory.current": f"{MB}\n"}, 3 * MB),
        (
            {
                OWN + "memory.max": f"{4 * MB}",
                OWN + "memory.current": f"{3 * MB}",
                OWN + "memory.stat": f"anon 7\ninactive_file {MB}\n",
            },
            2 * MB,
        ),
        ({OWN + "memory.max": f"{4 * MB}", OWN + "memory.current": f"{5 * MB}"}, 0),
        (
            {
                "proc/self/cgroup": f"0::{SLURM}\n",
                f"{OWN}{SLURM}/memory.max": "max",
                f"{OWN}{SLURM}/memory.current": "9",
                f"{OWN}/system.slice/slurmstepd.scope/job_7/memory.max": f"{2 * MB}",
                f"{OWN}/system.slice/slurmstepd.scope/job_7/memory.current": f"{MB}",
            },
            MB,
        ),
        (
            {
                "proc/self/cgroup": "9:cpu:/a\n5:memory:/slurm/job_7\n",
                V1 + "memory.limit_in_bytes": f"{2**63 - 4096}",
                V1 + "memory.usage_in_bytes": f"{3 * MB}",
                V1 + "slurm/job_7/memory.limit_in_bytes": f"{6 * MB}",
                V1 + "slurm/job_7/memory.usage_in_bytes": f"{MB}",
                V1 + "slurm/job_7/memory.stat": f"inactive_file 4\ntotal_inactive_file {MB // 2}\n",
            },
            5 * MB + MB // 2,
        ),
    ],
    ids=["no groups", "no limit", "limit", "old pages", "all used", "limit of the job", "version 1"],
)
def test_what_is_free_is_what_the_lowest_limit_leaves(files, free, tmp_path):
    assert free_memory(system(tmp_path, MACHINE | files)) == free


def test_a_system_that_says_nothing_has_some(tmp_path):
    assert free_memory(tmp_path) > 1 << 28


@pytest.mark.skipif(sys.platform != "linux", reason="reads what Linux says")
def test_this_machine_has_some():
    assert 1 << 24 < usual_memory() < 1 << 50


def test_amounts_have_decimal_units():
    assert [memory(each) for each in ("7", "512M", "2gb")] == [7, 512 * 10**6, 2 * 10**9]
    for wrong in ("", "G", "1.5G", "-1", "²"):
        with pytest.raises(UsageError, match="no number of bytes"):
            memory(wrong)
