"""The container's limits, read from trees of files as the kernel shows them."""

from pathlib import Path

import pytest

from course_utils.container import cpu_limit, memory_available, memory_limit

GIB = 2**30
NO_LIMIT_V1 = "9223372036854771712\n"  # the largest number of bytes in whole pages


def machine(root: Path, cgroup: str) -> Path:
    """A machine whose /proc/self/cgroup says `cgroup`."""
    (root / "proc" / "self").mkdir(parents=True)
    (root / "proc" / "self" / "cgroup").write_text(cgroup)
    return root


def write(root: Path, name: str, content: str) -> None:
    """One file below /sys/fs/cgroup."""
    file = root / "sys" / "fs" / "cgroup" / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(content)


def limits(root: Path) -> tuple[float | None, int | None, int | None]:
    return cpu_limit(root), memory_limit(root), memory_available(root)


def test_a_system_without_cgroups_has_no_limit(tmp_path: Path) -> None:
    assert limits(tmp_path) == (None, None, None)


def test_this_machine_can_be_asked() -> None:
    cores, limit, available = limits(Path("/"))
    assert cores is None or cores > 0
    assert (limit is None) == (available is None)
    assert limit is None or 0 <= available <= limit


def test_a_container_of_v2(tmp_path: Path) -> None:
    """Its cgroup namespace calls its own cgroup "/"; the mount's root has the limits."""
    root = machine(tmp_path, "0::/\n")
    write(root, "cpu.max", "150000 100000\n")
    write(root, "memory.max", f"{2 * GIB}\n")
    write(root, "memory.current", f"{GIB + 300}\n")
    write(root, "memory.stat", "anon 5\ninactive_file 200\nactive_file 100\n")
    assert limits(root) == (1.5, 2 * GIB, GIB - 100)


def test_half_a_core_stays_half_a_core(tmp_path: Path) -> None:
    root = machine(tmp_path, "0::/\n")
    write(root, "cpu.max", "50000 100000\n")
    assert cpu_limit(root) == 0.5


def test_max_means_no_limit(tmp_path: Path) -> None:
    root = machine(tmp_path, "0::/\n")
    write(root, "cpu.max", "max 100000\n")
    write(root, "memory.max", "max\n")
    write(root, "memory.current", "500\n")
    assert limits(root) == (None, None, None)


def test_the_tightest_limit_above_the_process_counts(tmp_path: Path) -> None:
    root = machine(tmp_path, "0::/kube/pod/app\n")
    write(root, "cpu.max", "max 100000\n")
    write(root, "kube/cpu.max", "100000 100000\n")
    write(root, "kube/pod/cpu.max", "200000 100000\n")
    write(root, "kube/pod/app/cpu.max", "max 100000\n")
    write(root, "kube/pod/memory.max", f"{3 * GIB}\n")
    write(root, "kube/pod/app/memory.max", f"{4 * GIB}\n")
    assert (cpu_limit(root), memory_limit(root)) == (1.0, 3 * GIB)


def test_memory_is_left_where_the_least_is_left(tmp_path: Path) -> None:
    """The group above has the looser limit, but others in it have used it up."""
    root = machine(tmp_path, "0::/pod/app\n")
    for folder, limit, used in (("pod", 4 * GIB, 4 * GIB - 700), ("pod/app", 3 * GIB, GIB)):
        write(root, f"{folder}/memory.max", str(limit))
        write(root, f"{folder}/memory.current", str(used))
    assert memory_limit(root) == 3 * GIB
    assert memory_available(root) == 700


def test_other_groups_do_not_count(tmp_path: Path) -> None:
    root = machine(tmp_path, "0::/mine\n")
    write(root, "other/cpu.max", "1000 100000\n")
    write(root, "mine/below/memory.max", "1000\n")
    assert limits(root) == (None, None, None)


@pytest.mark.parametrize(
    "cgroup", ["0::/outside/of/the/mount\n", "0::/../../elsewhere\n", "", "nonsense\n\n:\n"]
)
def test_a_path_that_is_not_there_means_the_mounts_root(tmp_path: Path, cgroup: str) -> None:
    root = machine(tmp_path, cgroup)
    write(root, "cpu.max", "100000 100000\n")
    write(root, "memory.max", str(GIB))
    write(root, "../../elsewhere/memory.max", "5")
    assert limits(root) == (1.0, GIB, GIB)


V1 = "9:memory:/docker/abc\n4:cpu,cpuacct:/docker/abc\n1:name=systemd:/docker/abc\n"


@pytest.mark.parametrize("folder", ["", "docker/abc/"])
@pytest.mark.parametrize("cpu", ["cpu", "cpu,cpuacct"])
def test_a_container_of_v1(tmp_path: Path, cpu: str, folder: str) -> None:
    """Its limits lie at the mount's root, or, on the machine itself, where /proc says."""
    root = machine(tmp_path, V1)
    write(root, f"{cpu}/{folder}cpu.cfs_quota_us", "250000\n")
    write(root, f"{cpu}/{folder}cpu.cfs_period_us", "100000\n")
    write(root, f"memory/{folder}memory.limit_in_bytes", f"{GIB}\n")
    write(root, f"memory/{folder}memory.usage_in_bytes", "1000\n")
    write(root, f"memory/{folder}memory.stat", "inactive_file 1\ntotal_inactive_file 400\n")
    assert limits(root) == (2.5, GIB, GIB - 600)


def test_v1_without_limits(tmp_path: Path) -> None:
    root = machine(tmp_path, V1)
    write(root, "cpu/cpu.cfs_quota_us", "-1\n")
    write(root, "cpu/cpu.cfs_period_us", "100000\n")
    write(root, "memory/memory.limit_in_bytes", NO_LIMIT_V1)
    write(root, "memory/memory.usage_in_bytes", "1000\n")
    assert limits(root) == (None, None, None)


def test_hybrid_takes_the_limits_of_both(tmp_path: Path) -> None:
    root = machine(tmp_path, "4:memory:/app\n0::/user\n")
    write(root, "memory/app/memory.limit_in_bytes", str(2 * GIB))
    write(root, "unified/user/cpu.max", "300000 100000\n")
    assert limits(root) == (3.0, 2 * GIB, 2 * GIB)


@pytest.mark.parametrize(
    "content", ["", "\n", "many", "100000", "0 0", "-5 100000", "100000 0", "1 2 3", "max max"]
)
def test_a_malformed_quota_is_none(tmp_path: Path, content: str) -> None:
    root = machine(tmp_path, "0::/\n")
    write(root, "cpu.max", content)
    assert cpu_limit(root) is None


@pytest.mark.parametrize("content", ["", "lots", "-1", "0", "1.5", "12 13", "1e9"])
def test_a_malformed_memory_limit_is_none(tmp_path: Path, content: str) -> None:
    root = machine(tmp_path, "0::/\n")
    write(root, "memory.max", content)
    assert (memory_limit(root), memory_available(root)) == (None, None)


def test_files_that_cannot_be_read_set_no_limit(tmp_path: Path) -> None:
    root = machine(tmp_path, "0::/\n")
    (root / "sys" / "fs" / "cgroup" / "memory.max").mkdir(parents=True)
    (root / "sys" / "fs" / "cgroup" / "cpu.max").write_bytes(b"\xff\xfe 100000")
    assert limits(root) == (None, None, None)


@pytest.mark.parametrize(
    "statistics", ["", "inactive_file\n", "inactive_file much\n", "inactive_file 9000000000\n"]
)
def test_an_unknown_use_counts_as_none(tmp_path: Path, statistics: str) -> None:
    root = machine(tmp_path, "0::/\n")
    write(root, "memory.max", "1000")
    write(root, "memory.current", "nobody knows")
    write(root, "memory.stat", statistics)
    assert memory_available(root) == 1000


def test_more_used_than_allowed_leaves_nothing(tmp_path: Path) -> None:
    root = machine(tmp_path, "0::/\n")
    write(root, "memory.max", "1000")
    write(root, "memory.current", "1400")
    assert memory_available(root) == 0
