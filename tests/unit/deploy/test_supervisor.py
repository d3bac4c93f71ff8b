"""The supervisor, with small processes that do as they are told instead of services."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import psutil
import pytest

from deploy.errors import EngineUnavailable, GaveUp
from deploy.local import supervisor as supervising
from deploy.local.home import Home
from deploy.local.plan import Child
from deploy.local.restarts import Policy
from deploy.local.supervisor import Supervisor
from tests.engines import wait_for

QUICK = Policy(first_wait_s=0.01, longest_wait_s=0.05, max_deaths=4)
# Says where it is, then waits to be ended.
WAITS = "import signal, sys; print('here', flush=True); signal.pause()"
IGNORES_SIGTERM = f"import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); {WAITS}"


def child(name: str, code: str, log: Path) -> Child:
    async def ready() -> bool:
        return said_here(log)

    return Child(name, (sys.executable, "-I", "-S", "-c", code), "nowhere", ready, {"GREETING": "hello"})


def said_here(log: Path) -> bool:
    return log.exists() and "here" in log.read_text()


@pytest.fixture
async def home(tmp_path: Path) -> Home:
    made = Home(tmp_path)
    made.logs.mkdir()
    return made


@pytest.fixture
async def supervisor(home: Home) -> AsyncIterator[Supervisor]:
    started: list[dict[str, int]] = []
    made = Supervisor(home, QUICK, on_start=lambda: started.append(made.pids))
    yield made
    await made.stop([list(made.pids)])
    assert not [pid for pids in started for pid in pids.values() if psutil.pid_exists(pid)]


async def until(question: Callable[[], bool], within_s: float = 10) -> None:
    async with asyncio.timeout(within_s):
        while not question():
            await asyncio.sleep(0.01)


async def test_a_process_gets_its_environment_and_its_log(supervisor: Supervisor, home: Home) -> None:
    one = child("one", f"import os; print(os.environ['GREETING']); {WAITS}", home.log_of("one"))
    supervisor.start([one])
    await supervisor.ready([one])
    assert home.log_of("one").read_text() == "hello\nhere\n"


async def test_a_killed_process_is_started_again_and_only_that_one(supervisor: Supervisor, home: Home) -> None:
    children = [child(name, WAITS, home.log_of(name)) for name in ("one", "two")]
    supervisor.start(children)
    await supervisor.ready(children)
    before = supervisor.pids
    os.kill(before["one"], signal.SIGKILL)
    await until(lambda: supervisor.pids["one"] != before["one"])
    await until(lambda: home.log_of("one").read_text() == "here\nhere\n")
    assert supervisor.pids["two"] == before["two"]


async def test_a_process_that_dies_too_often_is_given_up_with_its_last_words(
    supervisor: Supervisor, home: Home
) -> None:
    bad = child("bad", "print('no such broker'); raise SystemExit(1)", home.log_of("bad"))
    supervisor.start([bad])
    with pytest.raises(GaveUp, match=r"(?s)bad died 4 times.*no such broker"):
        await supervisor.ready([bad])
    assert home.log_of("bad").read_text().count("no such broker") == 4


async def test_a_process_with_wrong_settings_is_given_up_at_once(supervisor: Supervisor, home: Home) -> None:
    bad = child("bad", "print('PULSE_KAFKA is not set'); raise SystemExit(2)", home.log_of("bad"))
    supervisor.start([bad])
    with pytest.raises(GaveUp, match="PULSE_KAFKA is not set"):
        await supervisor.ready([bad])


async def test_a_process_that_never_becomes_ready_is_named(
    supervisor: Supervisor, home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervising, "READY_S", 0.1)
    mute = child("mute", "import signal; signal.pause()", home.log_of("mute"))
    supervisor.start([mute])
    with pytest.raises(EngineUnavailable, match="mute"):
        await supervisor.ready([mute])


async def test_processes_are_stopped_in_order(home: Home) -> None:
    supervisor = Supervisor(home, QUICK)
    says_when = (
        "import signal, sys, time\n"
        "def end(*_): open('{path}', 'a').write('{name} '); sys.exit(0)\n"
        "signal.signal(signal.SIGTERM, end)\n"
        "print('here', flush=True)\n"
        "signal.pause()\n"
    )
    order = home.root / "order"
    children = [
        child(name, says_when.format(path=order, name=name), home.log_of(name)) for name in ("engine", "sink", "door")
    ]
    supervisor.start(children)
    await supervisor.ready(children)
    await supervisor.stop([["door"], ["sink"], ["engine"]])
    assert order.read_text().split() == ["door", "sink", "engine"]


async def test_a_process_that_will_not_end_is_killed_with_what_it_started(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervising, "STOP_S", 0.2)
    supervisor = Supervisor(home, QUICK)
    code = f"import subprocess; print(subprocess.Popen(['sleep', '60']).pid); {IGNORES_SIGTERM}"
    stubborn = child("stubborn", code, home.log_of("stubborn"))
    supervisor.start([stubborn])
    await supervisor.ready([stubborn])
    grandchild = int(home.log_of("stubborn").read_text().split()[0])
    await supervisor.stop([["stubborn"]])
    await until(lambda: not _runs(grandchild))


async def test_asked_twice_nothing_is_waited_for(home: Home) -> None:
    supervisor = Supervisor(home, QUICK)
    stubborn = child("stubborn", IGNORES_SIGTERM, home.log_of("stubborn"))
    supervisor.start([stubborn])
    await supervisor.ready([stubborn])
    supervisor.hurry()
    async with asyncio.timeout(5):
        await supervisor.stop([["stubborn"]])


async def test_nothing_is_started_again_while_stopping(home: Home) -> None:
    supervisor = Supervisor(home, QUICK)
    children = [child(name, WAITS, home.log_of(name)) for name in ("one", "two")]
    supervisor.start(children)
    await supervisor.ready(children)
    pids = supervisor.pids
    await supervisor.stop([["one"], ["two"]])
    assert supervisor.pids == pids
    assert not [pid for pid in pids.values() if psutil.pid_exists(pid)]


def test_no_process_outlives_a_supervisor_that_is_killed(tmp_path: Path) -> None:
    """Even one that ignores SIGTERM: there is nobody left to insist."""
    driver = textwrap.dedent("""
        import asyncio, sys
        from pathlib import Path
        from deploy.local.home import Home
        from deploy.local.plan import Child
        from deploy.local.supervisor import Supervisor

        async def no() -> bool:
            return False

        async def main() -> None:
            home = Home(Path(sys.argv[1]))
            home.logs.mkdir()
            supervisor = Supervisor(home)
            command = (sys.executable, "-I", "-S", "-c", sys.argv[2])
            supervisor.start([Child(name, command, "nowhere", no) for name in ("one", "two")])
            (home.root / "pids").write_text(" ".join(map(str, supervisor.pids.values())))
            await asyncio.sleep(60)

        asyncio.run(main())
    """)
    command = [sys.executable, "-c", driver, str(tmp_path), IGNORES_SIGTERM]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
        try:
            logs = [tmp_path / "logs" / f"{name}.log" for name in ("one", "two")]
            wait_for(lambda: all(said_here(log) for log in logs), what="two running children")
            pids = [int(pid) for pid in (tmp_path / "pids").read_text().split()]
            assert all(_runs(pid) for pid in pids)
        finally:
            process.kill()
    wait_for(lambda: not any(_runs(pid) for pid in pids), within_s=5, what="the end of all children")


def test_a_directory_in_use_ends_up_with_exit_code_2_and_names_the_pid(tmp_path: Path) -> None:
    call = (
        "import sys; from pathlib import Path; from deploy.local.up import up; "
        "sys.exit(up(Path(sys.argv[1]), 0, 1, True, None, None))"
    )
    with Home(tmp_path).locked():
        done = subprocess.run(
            [sys.executable, "-c", call, str(tmp_path)], capture_output=True, text=True, timeout=30, check=False
        )
    assert done.returncode == 2
    assert str(os.getpid()) in done.stderr
    assert done.stdout == ""


def _runs(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def test_a_command_on_the_leash_of_a_parent_that_is_gone_is_not_started(tmp_path: Path) -> None:
    leash = Path(supervising.__file__).with_name("leash.py")
    marker = tmp_path / "started"
    gone = 999_999_999
    done = subprocess.run([sys.executable, str(leash), str(gone), "touch", str(marker)], timeout=10, check=False)
    assert done.returncode == 1
    assert not marker.exists()
