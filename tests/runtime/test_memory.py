"""Memory in use and its limit, read from made-up system files."""

import os
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from nmlab.runtime.memory import memory_in_use, memory_limit

GB = 2**30
NO_LIMIT_V1 = 9223372036854771712


@pytest.fixture(autouse=True)
def no_hub(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MEM_LIMIT", raising=False)
    monkeypatch.delenv("JPY_PARENT_PID", raising=False)


class System:
    """A system's root folder with the files that tell of memory."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def says(self, path: str, text: object) -> None:
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"{text}\n", encoding="ascii")

    def v2(self, group: str, limit: object, used: int, inactive: int = 0) -> None:
        self.says(f"sys/fs/cgroup/{group}/memory.max", limit)
        self.says(f"sys/fs/cgroup/{group}/memory.current", used)
        self.says(f"sys/fs/cgroup/{group}/memory.stat", f"anon 5\nfile 7\ninactive_file {inactive}\nactive_file 1")

    def v1(self, group: str, limit: object, used: int, inactive: int = 0) -> None:
        self.says(f"sys/fs/cgroup/memory/{group}/memory.limit_in_bytes", limit)
        self.says(f"sys/fs/cgroup/memory/{group}/memory.usage_in_bytes", used)
        stat = f"cache 5\ninactive_file 3\ntotal_inactive_file {inactive}"
        self.says(f"sys/fs/cgroup/memory/{group}/memory.stat", stat)

    def member_of(self, *lines: str) -> None:
        self.says("proc/self/cgroup", "\n".join(lines))


@pytest.fixture
def system(tmp_path: Path) -> System:
    return System(tmp_path)


def test_version_2_counts_no_pages_that_it_can_give_up(system: System) -> None:
    system.member_of("0::/")
    system.v2("", 2 * GB, GB + 100, inactive=100)
    assert memory_in_use(system.root) == (GB, 2 * GB)
    assert memory_limit(system.root) == 2 * GB


def test_the_lowest_limit_around_a_nested_group_holds_with_its_own_use(system: System) -> None:
    system.member_of("0::/pod/kernel")
    system.v2("pod/kernel", "max", GB // 4)
    system.v2("pod", GB, GB // 2)
    system.v2("", 4 * GB, 3 * GB)
    assert memory_in_use(system.root) == (GB // 2, GB)


@pytest.mark.parametrize("path", ["/", "/docker/0123abcd", "/../../kubepods/pod7"])
def test_a_container_may_not_see_the_path_of_its_group(system: System, path: str) -> None:
    system.member_of("5:cpu,cpuacct:/elsewhere", f"4:memory:{path}", "0::/")
    system.v1("", 2 * GB, GB, inactive=300)
    assert memory_in_use(system.root) == (GB - 300, 2 * GB)


def test_version_2_beside_version_1(system: System) -> None:
    system.member_of("0::/jupyter")
    system.says("sys/fs/cgroup/unified/jupyter/memory.max", 3 * GB)
    system.says("sys/fs/cgroup/unified/jupyter/memory.current", GB)
    assert memory_in_use(system.root) == (GB, 3 * GB)


def test_without_a_limit_the_processes_are_counted(system: System) -> None:
    system.member_of("4:memory:/a", "0::/")
    system.v1("a", NO_LIMIT_V1, 99 * GB)
    system.v2("", "max", 99 * GB)
    own = psutil.Process().memory_info().rss
    child = subprocess.Popen([sys.executable, "-c", "x = bytearray(100_000_000); print(flush=True); input()"],
                             stdin=subprocess.PIPE, stdout=subprocess.PIPE)  # fmt: skip
    try:
        assert child.stdout is not None
        child.stdout.readline()
        used, limit = memory_in_use(system.root)
    finally:
        child.communicate(b"\n")
    assert limit is None
    assert memory_limit(system.root) is None
    assert 90_000_000 < used < 4 * (own + 100_000_000)
    assert memory_in_use(system.root)[0] < used - 50_000_000  # the child's went with it


def test_in_a_kernel_the_server_is_counted_too(system: System, monkeypatch: pytest.MonkeyPatch) -> None:
    alone = memory_in_use(system.root)[0]
    monkeypatch.setenv("JPY_PARENT_PID", str(os.getppid()))
    assert memory_in_use(system.root)[0] > alone


@pytest.mark.parametrize(
    ("told", "group", "limit"),
    [
        (str(2 * GB), None, 2 * GB),
        (f"{2 * GB}.0", None, 2 * GB),
        (str(2 * GB), 3 * GB, 2 * GB),
        (str(2 * GB), GB, GB),
        (str(2 * GB), "max", 2 * GB),
        ("", GB, GB),
        ("much", GB, GB),
        ("0", "max", None),
        ("1e400", "max", None),
    ],
)
def test_the_hubs_limit_holds_where_it_is_lower(
    system: System, monkeypatch: pytest.MonkeyPatch, told: str, group: object, limit: int | None
) -> None:
    monkeypatch.setenv("MEM_LIMIT", told)
    if group is not None:
        system.member_of("0::/")
        system.v2("", group, GB // 2)
    assert memory_limit(system.root) == limit
    used, also = memory_in_use(system.root)
    assert also == limit
    if isinstance(group, int):
        assert used == GB // 2  # the container's own account, whoever tells the limit


@example("0" * 300, "", "")
@given(st.text(max_size=60), st.text(max_size=20), st.text(max_size=20))
def test_odd_files_are_no_error(tmp_path_factory: pytest.TempPathFactory, member: str, limit: str, stat: str) -> None:
    system = System(tmp_path_factory.mktemp("odd"))
    for path, text in {
        "proc/self/cgroup": f"0::/{member}",
        "sys/fs/cgroup/memory.max": limit,
        "sys/fs/cgroup/memory.current": "12",
        "sys/fs/cgroup/memory.stat": stat,
    }.items():
        file = system.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8", errors="replace")
    used, _ = memory_in_use(system.root)
    assert used >= 0


def test_this_machines_own_files_are_read() -> None:
    used, limit = memory_in_use()
    assert used > 0
    assert limit is None or limit > 0
