"""`./run experiment NAME`: the command line that all experiments share.

An experiment is a module beside this one, whose docstring says in its first line what it shows and
below how to read it.  It has

    cases(quick)                what is compared, such as nets: hashable, in the picture's order
    measure(case, seed, quick)  what one of them gives for one seed
    picture(figure, results)    draws; results[case] has what was measured, a list with one each
    claims(results)             a list of Claims

and may have SEEDS (3), QUICK_SEEDS (1), and the SIZE of its picture in inches.  The runner seeds
minigrad before each `measure`.  With `quick` a case has fewer steps, and the claims still hold.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import sys
import textwrap
import time
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

HERE = Path(__file__).parent
NEEDS = {"matplotlib": "matplotlib", "sklearn": "scikit-learn", "tqdm": "tqdm"}
SEEDS, QUICK_SEEDS = 3, 1


def experiments() -> list[str]:
    """What can be run, by name."""
    return sorted(file.stem for file in HERE.glob("x[0-9][0-9]_*.py"))


def title(name: str) -> str:
    """What an experiment shows: the first line of its file, which is not imported for that."""
    return (HERE / f"{name}.py").read_text(encoding="utf-8").splitlines()[0].strip('"')


def found(word: str) -> str | None:
    """The experiment of this name or number (x01, x1, 1); None where there is none."""
    number = word.lower().removeprefix("x")
    start = f"x{int(number):02}_" if number.isdecimal() else word
    names = [name for name in experiments() if name == word or (start != word and start in name)]
    return names[0] if names else None


def listed() -> str:
    """The names, each with what it shows."""
    width = max(map(len, experiments()))
    return "\n".join(f"  {name:<{width}}  {title(name)}" for name in experiments())


def missing() -> list[str]:
    """The packages that experiments need and that are not installed, as pip knows them."""
    return [pip for name, pip in NEEDS.items() if importlib.util.find_spec(name) is None]


def parser() -> argparse.ArgumentParser:
    """The options."""
    made = argparse.ArgumentParser(
        prog="./run experiment",
        description="Measure what a paper claims, on digits; draw it; say whether the claim holds.",
        epilog=f"experiments:\n{listed()}\n  all",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    made.add_argument("name", metavar="NAME", help="an experiment, its number such as x01, or all")
    made.add_argument("--seeds", type=int, help=f"how many (usually {SEEDS}, with --quick fewer)")
    made.add_argument("--quick", action="store_true", help="fewer seeds and steps")
    made.add_argument("--out", default="experiments", help="folder of the pictures (%(default)s)")
    return made


def checked(arguments: Sequence[str] | None) -> tuple[argparse.Namespace, list[str]]:
    """The options and the experiments' names; a wrong one ends the program with the right ones."""
    made = parser()
    options = made.parse_args(arguments)
    names = experiments() if options.name == "all" else [found(options.name)]
    if names == [None]:
        made.exit(2, f"there is no experiment {options.name!r}; there are\n{listed()}\n  all\n")
    if options.seeds is not None and options.seeds < 1:
        made.error(f"--seeds {options.seeds}: give at least 1")
    if Path(options.out).exists() and not Path(options.out).is_dir():
        made.error(f"--out {options.out}: this is a file; give a folder")
    if absent := missing():
        made.exit(
            1,
            f"experiments need {' and '.join(absent)}: pip install {' '.join(absent)} "
            '(or pip install "minigrad[examples]")\n',
        )
    return options, names


def seeds_of(module: ModuleType, options: argparse.Namespace) -> range:
    """The seeds to run, from 0 on."""
    usual = getattr(module, "SEEDS", SEEDS)
    quick = getattr(module, "QUICK_SEEDS", QUICK_SEEDS)
    return range(options.seeds or (quick if options.quick else usual))


def measured(name: str, module: ModuleType, seeds: range, quick: bool) -> dict[Any, list[Any]]:
    """What each case gave, for each seed."""
    from tqdm import tqdm

    import minigrad as mg

    results: dict[Any, list[Any]] = {case: [] for case in module.cases(quick)}
    with tqdm(total=len(results) * len(seeds), desc=name, leave=False, disable=None) as bar:
        for case, found in results.items():
            for seed in seeds:
                mg.manual_seed(seed)
                found.append(module.measure(case, seed, quick))
                bar.update()
    return results


def run(name: str, options: argparse.Namespace) -> list[Any]:
    """Measure one experiment, draw it, and print how to read it and what holds."""
    import _pictures

    module = importlib.import_module(name)
    seeds, start = seeds_of(module, options), time.perf_counter()
    results = measured(name, module, seeds, options.quick)
    path = Path(options.out) / f"{name}.png"
    path.parent.mkdir(parents=True, exist_ok=True)
    figure = _pictures.new_figure(getattr(module, "SIZE", (_pictures.WIDTH, _pictures.HEIGHT)))
    module.picture(figure, results)
    _pictures.save(figure, path)
    claims = module.claims(results)
    head, _, reading = (module.__doc__ or "").partition("\n")
    print(f"{name}: {head}\n\n{textwrap.fill(' '.join(reading.split()), 96)}\n")
    for claim in claims:
        print(f"  {claim.verdict}: {claim.text}: {claim.figure}; wanted {claim.wanted}")
    print(f"\n{len(seeds)} seed(s), {time.perf_counter() - start:.0f} s; picture: {path}\n")
    return claims


def main(arguments: Sequence[str] | None = None) -> int:
    """Run, print, draw.  Returns 1 if a claim does not hold that should."""
    options, names = checked(arguments)
    claims = {}
    for name in names:
        claims[name.partition("_")[0]] = run(name, options)
    every = [claim for those in claims.values() for claim in those]
    if len(names) > 1:
        from _claims import table

        print(table(claims))
        print(f"\n{sum(claim.holds for claim in every)} of {len(every)} claims hold")
    return int(not all(claim.holds for claim in every if claim.reproduces))


if __name__ == "__main__":
    sys.exit(main())
