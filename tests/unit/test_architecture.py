"""The rules of the design that no tool checks: who imports whom, who knows which driver, and how files look.

A folder without a rule fails, and so does an exception that nothing needs any more.
"""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Final, NamedTuple

import pytest

ROOT: Final = Path(__file__).resolve().parents[2]
OURS: Final = frozenset({"schemas", "stream", "services", "deploy", "benchmarks", "tests"})
PRODUCT: Final = ("schemas", "stream", "services", "deploy")

DOOR: Final = ("schemas", "stream.domain", "services.common")
EVERYTHING: Final = ("schemas", "stream", "services", "deploy")

# Folder → what of ours its files may import, themselves included. Third-party packages are free unless named below.
MAY_IMPORT: Final[dict[str, tuple[str, ...]]] = {
    "schemas": ("schemas",),
    "stream": ("schemas", "stream"),
    "stream/domain": ("schemas", "stream.domain"),
    "services": (),
    "services/common": ("schemas", "services.common"),
    "services/teams": ("schemas", "stream.domain", "services.teams"),
    "services/ingest": (*DOOR, "services.teams", "services.ingest"),
    "services/query": (*DOOR, "services.query"),
    "services/alerts": (*DOOR, "services.teams", "services.alerts"),
    "services/cli": EVERYTHING,  # the composition root
    "deploy": ("schemas", "deploy"),
    "deploy/local": ("schemas", "deploy"),
    "benchmarks": (*EVERYTHING, "benchmarks"),
    "benchmarks/peers": (*EVERYTHING, "benchmarks"),
    "tests": (*OURS,),
}
# Rules that hold for a folder and everything below it.
WHOLE_TREES: Final = ("services/cli", "services/query", "services/ingest", "services/alerts", "tests")

# Folder → the only third-party packages it may import.
ONLY_THIRD_PARTY: Final[dict[str, frozenset[str]]] = {
    "schemas": frozenset({"msgspec"}),
    "stream/domain": frozenset({"msgspec"}),  # the language of the schemas
}

# Driver → the files of the product that know it, each with its reason.
KNOWS: Final[dict[str, dict[str, str]]] = {
    "faust": {
        "stream/batches.py": "the transport",
        "stream/agents.py": "the agent that scores",
        "stream/sink.py": "the agents that store",
        "stream/app.py": "the wiring",
    },
    "mode": {"stream/batches.py": "Faust's own library of services"},
    "aiokafka": {
        "stream/batches.py": "the consumer under Faust",
        "stream/fetched.py": "what a fetch brought, unopened",
        "stream/fencing.py": "the same, as a member with a name",
        "stream/outbox.py": "the producer of the outputs",
        "stream/log.py": "reads the log beside the group",
        "stream/app.py": "asks for the partition count before it starts",
        "stream/upkeep.py": "names the error of a refused tick",
        "stream/copying.py": "writes a copied log",
        "services/common/acts.py": "writes what people do with cases",
        "services/common/producing.py": "proves the topics of a producer, and ends it",
        "services/ingest/producer.py": "makes the producer of the door",
        "services/ingest/publisher.py": "publishes answers through it",
        "services/query/live.py": "tails the output topics for live events",
        "services/query/log.py": "where the log ends, what the worker has committed",
        "services/alerts/kafka.py": "the consumer of the alerts",
        "services/alerts/flow.py": "reads follow-ups through it",
        "services/alerts/log_writer.py": "appends ticks and commands to the log",
        "services/alerts/people_tail.py": "reads personal text through it",
        "services/alerts/advocacy/reader.py": "reads answers through it",
        "services/alerts/promises.py": "reads what teams promise through it",
        "services/cli/demo/recount.py": "recounts the log, past all of our own code",
        "services/cli/doctor/engines.py": "asks the broker what is wrong",
        "deploy/topics.py": "creates the topics",
        "deploy/generations.py": "closes a log, makes and seals the next",
        "services/cli/repartition/command.py": "names the errors of a copy that was cut short",
        "deploy/local/probes.py": "does Kafka answer?",
    },
    "clickhouse_connect": {
        "stream/store.py": "writes the rows of the sink",
        "services/query/store.py": "the queries",
        "services/alerts/people_table.py": "looks personal text up",
        "services/ingest/tables.py": "looks for what a person to be erased has said",
        "services/alerts/alarms/counts.py": "reads the counts that score alarms are found in",
        "services/alerts/alarms/shown.py": "writes score alarms where the query service finds them",
        "deploy/migrate.py": "migrates the tables",
    },
    "aiohttp": {
        "stream/health.py": "serves the health pages of worker and sink",
        "services/query/store.py": "the connections of the ClickHouse client",
        "services/alerts/targets/guard.py": "the connections of the channels",
        "services/alerts/heartbeat.py": "names its session",
        "services/alerts/targets/posting.py": "posts what the channels send",
        "services/alerts/targets/kinds.py": "hands a session to the channels",
        "services/alerts/targets/webhook.py": "names its session",
        "services/alerts/targets/slack.py": "names its session",
        "services/alerts/targets/pagerduty.py": "names its session",
        "services/alerts/targets/alertmanager.py": "names its session",
        "services/alerts/people_table.py": "the connections of the ClickHouse client",
        "services/ingest/tables.py": "the same",
        "services/alerts/alarms/counts.py": "the connections of the ClickHouse client",
        "services/alerts/alarms/shown.py": "the connections of the ClickHouse client",
        "services/cli/client.py": "the client of a running instance",
        "services/cli/demo/play.py": "plays answers through the door",
        "services/cli/demo/receiver.py": "receives the demo's webhooks",
        "services/cli/doctor/doors.py": "asks the services what is wrong",
        "services/cli/doctor/engines.py": "asks ClickHouse what is wrong",
        "services/cli/importer/send.py": "sends rows through the door",
        "deploy/local/probes.py": "do ClickHouse and the services answer?",
        "deploy/local/clickhouse_front.py": "serves ClickHouse's HTTP protocol",
    },
    "chdb": {"deploy/local/clickhouse_engine.py": "the ClickHouse engine in a process"},
    "rocksdict": {"stream/state.py": "the state of a partition"},
    "holidays": {"services/teams/calendars.py": "the expander"},
    "zoneinfo": {
        "services/teams/zones.py": "local time and UTC, for the expander, rotas and quiet hours",
        "services/cli/importer/command.py": "the zone of an import's times",
    },
}

LONGEST_LINES: Final = {"tests": 450, "": 330}  # a test file is a list of sentences
# File → why it is longer than that.
LONGER: Final[dict[str, str]] = {
    "services/query/views.py": "what each route of the query service answers, one model beside another",
}

# Files whose public names need no docstring each, and why.
SELF_EVIDENT: Final[dict[str, str]] = {
    "stream/domain/keys.py": "the table at its top says what each key is",
    "stream/errors.py": "the tree at its top says what each error is",
    "services/common/problems.py": "the tree at its top says what each problem is",
    "deploy/errors.py": "the tree at its top says what each error is",
}


class Import(NamedTuple):
    """One import of one file."""

    file: str
    module: str
    line: int


@cache
def tracked() -> tuple[str, ...]:
    """Every file of the repository, and what is about to be one."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],  # noqa: S607
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if listed.returncode:
        pytest.skip("not a git checkout")
    return tuple(name for name in listed.stdout.splitlines() if (ROOT / name).is_file())


def python_files() -> list[str]:
    return [name for name in tracked() if name.endswith(".py")]


def product_files() -> list[str]:
    return [name for name in python_files() if name.split("/")[0] in PRODUCT]


@cache
def tree(file: str) -> ast.Module:
    return ast.parse((ROOT / file).read_text(encoding="utf-8"), file)


@cache
def imports(file: str) -> tuple[Import, ...]:
    """Every import of a file, wherever it stands: also the lazy ones and those for types only."""
    return tuple(_imports(file))


def _imports(file: str) -> Iterator[Import]:
    for node in ast.walk(tree(file)):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield Import(file, alias.name, node.lineno)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{file}:{node.lineno} imports relatively"
            module = node.module or ""
            ours = module.split(".")[0] in OURS
            for alias in node.names:
                # `from stream import metrics` imports a module, `from stream.rows import TABLES` a name.
                yield Import(file, f"{module}.{alias.name}" if ours and "." not in module else module, node.lineno)


def rule_of(file: str) -> str:
    """The folder whose rule holds for a file."""
    folder = file.rpartition("/")[0]
    if folder in MAY_IMPORT:
        return folder
    for above in WHOLE_TREES:
        if folder.startswith(above + "/"):
            return above
    raise AssertionError(f"{file}: the folder {folder or 'of the repository'} has no rule in MAY_IMPORT")


def within(module: str, allowed: tuple[str, ...]) -> bool:
    return any(module == name or module.startswith(name + ".") for name in allowed)


def test_every_folder_with_python_has_a_rule_and_every_rule_a_folder() -> None:
    used = {rule_of(file) for file in python_files()}
    assert used == MAY_IMPORT.keys()


def test_a_folder_imports_only_what_its_rule_allows() -> None:
    wrong = [
        f"{found.file}:{found.line} imports {found.module}"
        for file in python_files()
        for found in imports(file)
        if found.module.split(".")[0] in OURS and not within(found.module, MAY_IMPORT[rule_of(file)])
    ]
    assert not wrong


def test_pure_folders_import_the_standard_library_and_what_is_listed() -> None:
    wrong = [
        f"{found.file}:{found.line} imports {found.module}"
        for file in python_files()
        if file.rpartition("/")[0] in ONLY_THIRD_PARTY
        for found in imports(file)
        if (top := found.module.split(".")[0]) not in OURS | sys.stdlib_module_names
        and top not in ONLY_THIRD_PARTY[file.rpartition("/")[0]]
    ]
    assert not wrong


def test_the_domain_does_no_input_or_output() -> None:
    doing = {"asyncio", "datetime", "io", "logging", "os", "pathlib", "random", "secrets", "socket", "subprocess"}
    doing |= {"threading", "time"}
    wrong = [
        f"{found.file}:{found.line} imports {found.module}"
        for file in python_files()
        if file.startswith("stream/domain/")
        for found in imports(file)
        if found.module.split(".")[0] in doing
    ]
    assert not wrong


@pytest.mark.parametrize("driver", KNOWS)
def test_only_the_listed_adapters_know_a_driver(driver: str) -> None:
    knowing = {
        found.file for file in product_files() for found in imports(file) if found.module.split(".")[0] == driver
    }
    assert knowing == KNOWS[driver].keys()


def test_the_command_line_loads_nothing_before_a_command_runs() -> None:
    files = [
        f"services/cli/{name}.py"
        for name in ("main", "base", "commands_alerts", "commands_config", "commands_read", "commands_write")
    ]
    top = [node for file in files for node in tree(file).body if isinstance(node, (ast.Import, ast.ImportFrom))]
    modules = {node.module or "" if isinstance(node, ast.ImportFrom) else node.names[0].name for node in top}
    heavy = {
        module
        for module in modules
        if module.split(".")[0] not in sys.stdlib_module_names
        and not module.startswith("services.cli")
        and not module.startswith("typer")
    }
    assert not heavy


def test_no_file_is_too_long_without_a_reason() -> None:
    lengths = {file: len((ROOT / file).read_text(encoding="utf-8").splitlines()) for file in python_files()}
    long = {
        file: length
        for file, length in lengths.items()
        if length > LONGEST_LINES.get(file.split("/")[0], LONGEST_LINES[""])
    }
    assert long.keys() == LONGER.keys(), long


def test_no_file_puts_work_off() -> None:
    words = ("TO" + "DO", "FIX" + "ME", "XX" + "X", "HA" + "CK")
    marks = re.compile(r"\b(" + "|".join(words) + r")\b")
    wrong = [
        f"{name}:{number}"
        for name in tracked()
        if any(word in text_of(name) for word in words)  # quick, and nearly always the end of it
        for number, line in enumerate(text_of(name).splitlines(), 1)
        if marks.search(line)
    ]
    assert not wrong


def test_no_file_names_the_host_of_a_registry() -> None:
    """A lock with hosts in it binds everybody to one machine's mirrors."""
    hosts = [
        *("pypi" + ".org", "python" + "hosted.org", "repo1" + ".maven", "repo.maven" + ".apache", "maven" + ".org"),
        *("npm" + "js.org", "registry.yarn" + "pkg", "doc" + "ker.io", "gh" + "cr.io", "qu" + "ay.io", "gcr" + ".io"),
        *("proxy.gol" + "ang", "crates" + ".io", "arti" + "factory", "jfr" + "og", "nex" + "us", "code" + "artifact"),
    ]
    texts = {name: text_of(name).lower() for name in tracked()}
    wrong = [f"{name}: {host}" for name, text in texts.items() for host in hosts if host in text]
    assert not wrong


def test_no_file_names_a_folder_of_one_machine() -> None:
    wrong = [name for name in tracked() if str(ROOT) in text_of(name)]
    assert not wrong


@cache
def text_of(name: str) -> str:
    """A file's text; empty for what is not text."""
    try:
        return (ROOT / name).read_text(encoding="utf-8")
    except UnicodeDecodeError:
        return ""


def undocumented(file: str) -> Iterator[str]:
    """The module, and its public classes and functions, where they say nothing."""
    module = tree(file)
    if not ast.get_docstring(module) and module.body:
        yield f"{file}: the module"
    if file in SELF_EVIDENT:
        return
    for node in module.body:
        if not isinstance(node, (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
            continue
        if not node.name.startswith("_") and not ast.get_docstring(node):
            yield f"{file}:{node.lineno} {node.name}"


@pytest.mark.parametrize("folder", PRODUCT)
def test_public_functions_and_classes_say_what_they_do(folder: str) -> None:
    assert not [missing for file in product_files() if file.startswith(folder + "/") for missing in undocumented(file)]


def test_exceptions_are_still_needed() -> None:
    files = set(python_files())
    assert SELF_EVIDENT.keys() <= files
    assert LONGER.keys() <= files
