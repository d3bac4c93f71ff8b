"""The benchmarks' own arithmetic: a wrong figure would be believed."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Callable, Iterable
from pathlib import Path
from xml.etree import ElementTree

import msgspec
import pytest

from benchmarks import alerts, cost, engine, fold, pouring, report
from benchmarks.__main__ import NAMES
from benchmarks.chart import nice_step
from benchmarks.chart import shares as places_of
from benchmarks.filling import LATEST_BY_MS, SPAN_MS, TEAMS, answers
from benchmarks.machine import Measured
from benchmarks.peers import meter
from benchmarks.peers import run as peers
from benchmarks.profiling import shares
from benchmarks.receivers import Came
from benchmarks.worker import value
from deploy.local.jars import read_lock
from schemas import topics
from schemas.feedback import Answer, FeedbackRecord
from stream.domain import keys, values
from stream.domain.fold import fold as fold_batch
from stream.domain.minutes import HORIZON_MS, WINDOWS
from tests.unit.stream.fakes import FakeState

ROOT = Path(__file__).resolve().parents[2]


def test_the_json_line_has_every_figure_and_null_for_what_was_not_run() -> None:
    assert json.loads(report.json_line({"engine_per_s": 12.34567, "engine_cpu_us": 3.0})) == {
        "ingest_ratio": None,
        "ingest_per_s": None,
        "alert_p50_ms": None,
        "alert_p99_ms": None,
        "engine_per_s": 12.346,
        "aiokafka_per_s": None,
        "kafka_streams_per_s": None,
        "faust_tables_per_s": None,
        "quix_per_s": None,
        "bytewax_per_s": None,
        "mail_p99_ms": None,
        "slack_p99_ms": None,
        "pagerduty_p99_ms": None,
    }


def test_every_figure_of_the_json_line_has_a_row_in_the_table() -> None:
    assert set(report.JSON_KEYS) <= {figure.name for figure in report.FIGURES}
    assert NAMES == ("ingest", "alerts", "latency", "failover", "memory", "engine")


def test_the_table_shows_what_was_measured_and_nothing_else(capsys: pytest.CaptureFixture[str]) -> None:
    report.print_table({"engine_per_s": 98_765.4}, "two cores")
    shown = capsys.readouterr().out
    assert "98,765/s" in shown
    assert "two cores" in shown
    assert "alert_p50_ms" not in shown


def test_rates_and_processor_time_are_of_one_answer() -> None:
    measured = Measured(records=1_000, seconds=0.5, cpu_seconds=0.02)
    assert measured.per_s == 2_000
    assert measured.cpu_us == pytest.approx(20)


def test_a_sample_counts_for_the_first_part_that_its_stack_names() -> None:
    stacks = [
        "main;_emit (stream/partitions.py:1);fold (stream/domain/fold.py:2);scan (stream/state.py:3) 6",
        "main;_emit (stream/partitions.py:1);commit (stream/state.py:3) 2",
        "thread;getmany (aiokafka/consumer/fetcher.py:9) 1",
        "main;sleep 1",
    ]
    assert shares(stacks) == {"fold": 0.6, "write state": 0.2, "fetch": 0.1, "everything else": 0.1}
    assert shares([]) == {}


def test_the_log_that_is_filled_is_what_the_pages_say_it_is() -> None:
    count = 5_000
    found = list(answers(count))
    appended = [appended_ms for _, _, appended_ms in found]
    decoded = [msgspec.json.decode(value, type=Answer) for _, value, _ in found]
    assert len(found) == count
    assert appended == sorted(appended)
    assert SPAN_MS * 0.99 < appended[-1] - appended[0] <= SPAN_MS
    assert len({key for key, _, _ in found}) == TEAMS
    assert len({answer.response_id for answer in decoded}) == count
    assert 0.27 < sum(answer.respondent is not None for answer in decoded) / count < 0.33
    assert 0.08 < sum(answer.score <= 6 for answer in decoded) / count < 0.12
    for answer, appended_ms in zip(decoded, appended, strict=True):
        assert answer.answered_ms is not None
        assert 0 <= appended_ms - answer.answered_ms < LATEST_BY_MS


def test_the_reference_load_is_what_the_pages_say_it_is() -> None:
    assert (engine.RECORDS, TEAMS, topics.PARTITIONS, SPAN_MS, len(WINDOWS)) == (2_000_000, 500, 16, 7_200_000, 5)


class Clock:
    """Moves by `step_s` at each look."""

    def __init__(self, step_s: float) -> None:
        self.now_s, self.step_s = 100.0, step_s

    def __call__(self) -> float:
        self.now_s += self.step_s
        return self.now_s


def metered(folder: Path, records: int, step_s: float) -> tuple[meter.Meter, Callable[[], dict[str, float]]]:
    """A meter with 10 s of warm-up and 30 s of counting, and what it has written."""
    result = folder / "result.json"
    told = {
        "PEER_RECORDS": str(records),
        "PEER_WARM_UP_S": "10",
        "PEER_SECONDS": "30",
        "PEER_RESULT": str(result),
    }
    made = meter.Meter(told, clock=Clock(step_s), cpu_clock=Clock(step_s / 2), end=lambda _: None)
    return made, lambda: json.loads(result.read_bytes())


def test_a_peer_is_measured_after_its_warm_up_and_for_so_long(tmp_path: Path) -> None:
    made, written = metered(tmp_path, records=1_000_000, step_s=2.0)  # 16 answers in 2 s
    for _ in range(16 * (1 + 5 + 15)):
        assert not (tmp_path / "result.json").exists()
        made.answer()
    assert written() == {"records": 16 * 15, "seconds": 30.0, "cpu_seconds": 15.0}


def test_a_log_that_ends_within_the_warm_up_is_counted_from_its_first_answers(tmp_path: Path) -> None:
    made, written = metered(tmp_path, records=50, step_s=1.0)
    for _ in range(50):
        made.answer()
    assert written() == {"records": 50 - 16, "seconds": 3.0, "cpu_seconds": 1.5}


@pytest.mark.parametrize(
    ("score", "expected"),
    [(0, "detractors"), (6, "detractors"), (7, "passives"), (8, "passives"), (9, "promoters"), (10, "promoters")],
)
def test_peers_count_in_the_bands_of_the_score(score: int, expected: str) -> None:
    assert meter.band(score) == expected


def test_peers_read_the_log_of_the_product() -> None:
    assert (meter.TOPIC, meter.PARTITIONS) == (topics.FEEDBACK, topics.PARTITIONS)
    assert sum(length // hop for _, length, hop in meter.WINDOWS) == 91
    assert meter.LATE.total_seconds() * 1000 > LATEST_BY_MS


def test_every_peer_has_its_figure_in_the_json_line() -> None:
    assert {peer.figure for peer in peers.PEERS} <= set(report.JSON_KEYS)


def test_a_peer_that_cannot_run_gives_no_figure_and_its_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(_: Path) -> list[str]:
        raise peers.NotRun("there is no JDK")

    dying = peers.Peer("b_per_s", "Dying", lambda _: ["sh", "-c", "echo no broker >&2; exit 3"])
    monkeypatch.setattr(peers, "PEERS", (peers.Peer("a_per_s", "Refusing", refuse), dying))
    assert peers.run("127.0.0.1:1", "0", 10, tmp_path, 1.0) == {}
    said = capsys.readouterr().err
    assert "Refusing: not run: there is no JDK" in said
    assert "Dying: not run: exit code 3; no broker" in said


def test_a_peer_that_wrote_its_result_gives_its_rate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script = """echo '{"records": 900, "seconds": 30, "cpu_seconds": 20}' > "$PEER_RESULT" """
    monkeypatch.setattr(peers, "PEERS", (peers.Peer("a_per_s", "Quick", lambda _: ["sh", "-c", script]),))
    assert peers.run("127.0.0.1:1", "0", 1_000, tmp_path, 1.0) == {"a_per_s": 30.0}


def test_the_peers_are_pinned_with_hashes() -> None:
    lock = (ROOT / "benchmarks/peers/requirements.lock").read_text(encoding="utf-8")
    packages = re.split(r"^(?=[a-z])", lock, flags=re.MULTILINE)[1:]
    assert {"quixstreams", "bytewax", "confluent-kafka"} <= {package.partition("==")[0] for package in packages}
    assert all("--hash=sha256:" in package for package in packages)
    jars = read_lock((ROOT / "benchmarks/peers/kafka-streams-jars.lock").read_text(encoding="utf-8"))
    assert f"org.apache.kafka:kafka-streams:{peers.STREAMS_VERSION}" in {jar.coordinate for jar in jars}
    assert all(len(jar.sha256) == 64 for jar in jars)


def test_a_log_of_few_teams_has_whole_batches_from_the_partitions_that_have_a_team() -> None:
    found = list(fold.batches(fold.Variant(teams=2), 16_000))
    assert {partition for partition, _ in found} == {topics.partition_of(b"team-0"), topics.partition_of(b"team-1")}
    assert sum(len(records) for _, records in found) == 16_000


def test_what_came_400_days_before_leaves_as_answers_come(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fold, "BATCH", 50)  # and so many are in a partition
    variant = fold.Variant(windows=(7, 60), before_ms=HORIZON_MS)
    state = FakeState()

    def left_without_a_case(batches: Iterable[tuple[int, list[fold.Record]]], before: int) -> int:
        for partition, records in batches:
            if partition == 3:
                state.commit(fold_batch(state, records, partition), ())
        found = [values.RESOLVED.unpack(raw) for key, raw in state.data.items() if key[:1] == b"r"]
        return sum(answer.first_offset < before and answer.case_id is None for answer in found)

    assert left_without_a_case(fold.beforehand(variant, 800), 1_000) > 40
    assert values.live_windows(state.data[keys.WINDOWS]) == (7, 60)
    first = state.meta.position
    assert left_without_a_case(fold.batches(variant, 800, first=first), first) <= 1  # the last one, a minute later


def test_the_windows_of_the_cost_plot_begin_with_those_of_the_product() -> None:
    assert cost.WINDOWS[: len(WINDOWS)] == WINDOWS
    assert len(set(cost.WINDOWS)) == len(cost.WINDOWS) == max(point.windows for point in cost.LINES[0].points)


def test_a_drawing_has_every_point_of_its_line() -> None:
    for line in cost.LINES:
        costs = {point: 5.0 + number for number, point in enumerate(line.points)}
        root = ElementTree.fromstring(cost.drawing(line, costs))  # noqa: S314  our own text
        kinds = [element.get("class") for element in root]
        assert kinds.count("point") == len(line.points) == len(line.labels) == len(line.places)
        shown = [element.text for element in root if element.get("class") in ("value", "x")]
        assert shown[0::2] == [f"{value:.1f}" for value in costs.values()]
        assert shown[1::2] == list(line.labels)


def test_the_axis_of_a_drawing_goes_in_round_steps() -> None:
    assert [nice_step(least) for least in (0.9, 1.0, 3.1, 12, 20, 0.15)] == [1.0, 1.0, 5.0, 20.0, 20.0, 0.2]
    assert places_of([1, 2, 5]) == [0.0, 0.25, 1.0]


def test_the_table_of_costs_stands_between_its_marks_on_the_page() -> None:
    page = (ROOT / "docs/benchmarks.md").read_text(encoding="utf-8")
    costs = {point: 9.5 for line in cost.LINES for point in line.points}
    written = cost.with_table(page, cost.table(costs, 1_000, [0.5, 1.25]))
    assert cost.with_table(written, "x").count("x") == cost.with_table(page, "x").count("x")
    assert "| µs an answer | 9.5 | 9.5 |" in written
    assert "1,000 answers a point, the cheapest of 1 rounds, load 0.5 to 1.2." in written
    for line in cost.LINES:
        assert f"cost-{line.name}.svg" in page
        assert (ROOT / "docs" / f"cost-{line.name}.svg").exists()


def test_what_is_poured_goes_where_it_is_measured() -> None:
    names = pouring.teams_of([3, 5], 40)
    assert len(set(names)) == 40
    assert {topics.partition_of(name) for name in names} == {3, 5}


def test_poured_answers_are_answers_of_the_log_and_differ() -> None:
    draw = random.Random(1)
    made = [pouring.answer(draw) for _ in range(200)]
    assert len({response_id for response_id, _ in made}) == 200
    for response_id, raw in made:
        read = msgspec.json.decode(raw, type=FeedbackRecord)
        assert isinstance(read, Answer)
        assert (read.response_id, read.answered_ms) == (response_id, None)


def test_a_counter_of_the_worker_is_the_sum_over_its_labels() -> None:
    text = '# TYPE a counter\na_total{x="1"} 2.0\na_total{x="2"} 3.0\nb_total 7.0\n'
    assert (value(text, "a_total"), value(text, "b_total"), value(text, "c_total")) == (5, 7, 0)


def told(first: str = "b") -> dict[str, list[Came]]:
    """Two cases of one team, posted at 1 s and 2 s: told alone a second later, and to people in groups."""
    alone = [Came(2.0, "m", "team-0", 1, "a"), Came(3.0, "n", "team-0", 1, "b")]
    groups = [Came(1.5, "m", "team-0", 1, "a"), Came(9.0, "g", "team-0", 1, first), Came(1.0, "w", "warm-1", 1, "w")]
    return {"webhook": alone, "e-mail": alone, "slack": groups, "pagerduty": groups}


def test_an_alert_is_timed_from_its_post_and_of_a_group_the_first() -> None:
    found = alerts.figures({"a": 1.0, "b": 2.0}, told())
    assert (found["alert_p50_ms"], found["alert_max_ms"], found["mail_count"]) == (1_000, 1_000, 2)
    assert (found["slack_p99_ms"], found["slack_count"], found["pagerduty_messages"]) == (500, 1, 2)


@pytest.mark.parametrize("channel", ["webhook", "e-mail"])
def test_a_case_that_is_missing_or_told_twice_makes_no_figure(channel: str) -> None:
    came = told()
    for those in ([came[channel][0]], [*came[channel], came[channel][0]]):
        with pytest.raises(RuntimeError, match=f"{channel}: . of 2 cases"):
            alerts.figures({"a": 1.0, "b": 2.0}, came | {channel: those})


def test_a_group_that_begins_with_something_else_than_a_case_makes_no_figure() -> None:
    came = told()
    with pytest.raises(RuntimeError, match="slack: 1 groups"):
        alerts.figures({"a": 1.0, "b": 2.0}, came | {"slack": [Came(1.0, "g", "team-0", 2, "")]})


def test_a_new_team_begins_every_tenth_answer() -> None:
    teams = alerts.teams_of(2_000)
    first = {team: number for number, team in reversed([*enumerate(teams)])}
    assert len(first) == 200
    assert all(number % 10 == 0 for number in first.values())
