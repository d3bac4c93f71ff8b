"""`python -m tests.mutation` (`make mutate`): does a test notice when the fold is changed?

mutmut changes one thing at a time in the functions of `stream/domain` and runs the tests of `tests/unit/stream` that
come by there. Of each module a sample is drawn, always the same one; the score is the share that some test noticed.
Exit code 1 when a score is below `--least`, 2 when mutmut itself could not run.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[2]
PYTHON: Final = ROOT / ".venv-mutate" / "bin" / "python"
MUTANTS: Final = ROOT / "mutants" / "stream" / "domain"
# What carries the arithmetic and the cases, in the order of the report.
MODULES: Final = (
    *("scores", "minutes", "windows", "team_batch", "work", "fold", "ordinary", "reasks"),
    *("answers", "followups", "cases", "moves", "acts", "clocks", "deadlines", "promise", "policies", "carrying"),
    *("carried", "erasure", "expiry", "keys", "ids", "places", "reading", "values", "messages", "changes"),
    *("evidence", "alarms"),
)
SAMPLE: Final = 30  # of each module: some ten minutes on two quiet cores
SEED: Final = 20_261_122
# mutmut's exit codes of a mutant's tests.
NOTICED: Final = frozenset({1, 3, 24, 36, 152, 255, -9, -11, -24})  # failed, or ended in another way: an endless loop
SURVIVED: Final = frozenset({0, 5, 33})  # passed, or no test comes by


@dataclass
class Score:
    """Of one module: mutants there are, those that were tried, those that nothing noticed."""

    module: str
    mutants: int
    tried: int = 0
    survivors: list[str] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)

    @property
    def percent(self) -> float | None:
        """Share of the tried ones that were noticed. None when none was tried."""
        return None if not self.tried else 100 * (self.tried - len(self.survivors)) / self.tried


def sample(names: Sequence[str], size: int | None, seed: int = SEED) -> list[str]:
    """`size` of the names, the same for the same seed whatever order they come in; all of them for None."""
    ordered = sorted(names)
    if size is None or size >= len(ordered):
        return ordered
    return sorted(random.Random(seed).sample(ordered, size))


def score(module: str, codes: Mapping[str, int | None], tried: Sequence[str]) -> Score:
    """What came of the tried mutants; `codes`: mutmut's exit code of every mutant of the module, None for not run."""
    found = Score(module, len(codes))
    for name in tried:
        code = codes.get(name)
        if code in SURVIVED:
            found.survivors.append(name)
        elif code not in NOTICED:
            found.unknown.append(name)
            continue
        found.tried += 1
    return found


def codes_of(module: str) -> dict[str, int | None]:
    """As mutmut has noted them. Raises FileNotFoundError when there is no such module."""
    body = json.loads((MUTANTS / f"{module}.py.meta").read_text(encoding="utf-8"))
    return dict(body["exit_code_by_key"])


def table(scores: Sequence[Score]) -> str:
    """One line a module, and their sum."""
    lines = [f"{'module':<12}{'mutants':>8}{'tried':>7}{'noticed':>9}{'score':>8}"]
    total = Score("all", sum(one.mutants for one in scores), sum(one.tried for one in scores))
    total.survivors = [name for one in scores for name in one.survivors]
    for one in (*scores, total):
        percent = "-" if one.percent is None else f"{one.percent:.0f} %"
        lines.append(f"{one.module:<12}{one.mutants:>8}{one.tried:>7}{one.tried - len(one.survivors):>9}{percent:>8}")
    return "\n".join(lines)


def mutmut(*arguments: str) -> str:
    """Run mutmut in the checkout; its output. Raises CalledProcessError when it fails."""
    environment = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")}
    environment["FOLD_COMPILED"] = "no"
    done = subprocess.run(
        (str(PYTHON), "-m", "mutmut", *arguments),
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=True,
    )
    return done.stdout


def changed_lines(name: str) -> str:
    """What a mutant changes, as a diff without its head."""
    lines = mutmut("show", name).splitlines()
    return "\n".join(line for line in lines if line[:1] in "+-" and line[:3] not in ("+++", "---"))


def run(modules: Sequence[str], size: int | None, children: int) -> list[Score]:
    """Make the mutants, try the sample, give the scores of the modules."""
    shutil.rmtree(MUTANTS.parents[1], ignore_errors=True)  # what was noticed before may be due to other tests
    # mutmut makes all mutants whatever it is to run: the first call is for their names, and learns what covers what.
    mutmut("run", "--max-children", str(children), "stream.domain.ids.x_version__mutmut_1")
    chosen = {module: sample(list(codes_of(module)), size) for module in modules}
    mutmut("run", "--max-children", str(children), *(name for names in chosen.values() for name in names))
    return [score(module, codes_of(module), names) for module, names in chosen.items()]


def main() -> int:
    """See the module."""
    parser = argparse.ArgumentParser(prog="python -m tests.mutation", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("modules", nargs="*", default=MODULES, metavar="MODULE", help=f"of {', '.join(MODULES)}")
    parser.add_argument("--sample", type=int, default=SAMPLE, help="mutants of each module, 0 for all (default: 30)")
    parser.add_argument("--children", type=int, default=2, help="processes at a time (default: 2)")
    parser.add_argument("--least", type=float, default=0.0, help="exit code 1 below this score in per cent")
    options = parser.parse_args()
    unknown = set(options.modules) - set(MODULES)
    if unknown:
        parser.error(f"no such module: {', '.join(sorted(unknown))}")
    try:
        scores = run(options.modules, options.sample or None, options.children)
    except subprocess.CalledProcessError as error:
        sys.stderr.write(f"{(error.output or '')[-4_000:]}\nmutmut ended with {error.returncode}\n")
        return 2
    for one in scores:
        for name in one.survivors:
            sys.stdout.write(f"\nsurvived: {name}\n{changed_lines(name)}\n")
        for name in one.unknown:
            sys.stdout.write(f"\nnot known: {name}\n")
    sys.stdout.write(f"\n{table(scores)}\n")
    tried = sum(one.tried for one in scores)
    noticed = tried - sum(len(one.survivors) for one in scores)
    return int(tried == 0 or 100 * noticed / tried < options.least)


if __name__ == "__main__":
    raise SystemExit(main())
