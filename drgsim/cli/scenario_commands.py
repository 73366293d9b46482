"""Commands on scenarios, and on the installation: scenarios list, show, check; selftest."""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from drgsim.cli.console import (
    DONE,
    WRONG,
    Commands,
    Options,
    Parser,
    add_command,
    add_command_group,
    align_columns,
    report_progress,
)
from drgsim.cli.shared_arguments import add_plugins, add_version
from drgsim.exceptions import InputError
from drgsim.tables.manifest import read_manifest, read_verified, table_folder

if TYPE_CHECKING:
    from drgsim.miscoding.error_models import ErrorModel
    from drgsim.miscoding.scenarios import Scenario

ENTRY_POINTS = "drgsim.error_models"
"""Group of entry points by which an installed package offers error models."""
_FOLDER = "scenarios/"


def add_scenarios_commands(commands: Commands) -> None:
    """Declare `drgsim scenarios` and its commands."""
    group = add_command_group(commands, "scenarios", does="look at scenarios of coding errors")
    for add in (_add_list, _add_show, _add_check):
        add(group)


def _add_scenario(parser: Parser) -> None:
    parser.add_argument("scenario", metavar="SCENARIO", help="a shipped scenario, or a TOML file")
    add_plugins(parser)


# ---------------------------------------------------------------------------------------------------------


def _add_list(group: Commands) -> None:
    add_command(group, "list", _run_list, does="list the shipped scenarios", example="drgsim scenarios list")


def _run_list(_options: Options) -> int:
    root = table_folder()
    rows = []
    for name in sorted(name for name in read_manifest(root)["files"] if name.startswith(_FOLDER)):
        values = tomllib.loads(read_verified(root, name).decode())  # without Scenario, whose import takes a second
        rows.append((Path(name).stem, len(values.get("errors", {})), values["title"]))
    print(align_columns(rows, ("scenario", "errors", "title")))
    return DONE


# ---------------------------------------------------------------------------------------------------------


def _add_show(group: Commands) -> None:
    parser = add_command(
        group,
        "show",
        _run_show,
        does="print a scenario as TOML, with every value in force",
        example="drgsim scenarios show illustration > mine.toml",
    )
    _add_scenario(parser)


def _run_show(options: Options) -> int:
    print(load_scenario(options).dumps(), end="")
    return DONE


# ---------------------------------------------------------------------------------------------------------


def _add_check(group: Commands) -> None:
    parser = add_command(
        group,
        "check",
        _run_check,
        does="check a scenario, and its codes against a grouper version",
        example="drgsim scenarios check mine.toml --version 43.1",
    )
    _add_scenario(parser)
    add_version(parser)


def _run_check(options: Options) -> int:
    from drgsim.tables.table_set import TableSet

    scenario = load_scenario(options)
    scenario.check(TableSet.load(options.version))
    labels = ", ".join(error.label for error in scenario.errors) or "no errors"
    print(f"{options.scenario}: usable with {options.version}: {labels}")
    return DONE


# ---------------------------------------------------------------------------------------------------------


def load_scenario(options: Options, name: str | None = None) -> Scenario:
    """Return the scenario of the options; only with --plugins run code that its errors need.

    Args:
        options: with the attributes scenario, plugins and quiet.
        name: of the scenario; by default that of the options.

    Raises:
        InputError: as `Scenario.load`; the scenario names plugins and --plugins is not given; or one cannot be loaded.
    """
    from drgsim.miscoding.scenarios import Scenario, kinds

    path = name or options.scenario
    named = _read_plugins(path)
    if options.plugins:
        known, models = kinds(), _list_models()
        for what, load in _iterate_plugins(path, named):
            report_progress(options, f"runs the code of {what}")
            _run_plugin(what, load)
        added = {model.model_fields["kind"].default for model in _list_models() - models}
        if again := ", ".join(sorted(added.intersection(known))):
            raise InputError(f"a plugin defines the kind of error {again} again; give its `kind` another name.")
    elif named:
        raise InputError(
            f"{path}: names plugins ({', '.join(named)}), whose code would run with all your rights. "
            "Read it; if you trust it, add --plugins."
        )
    try:
        scenario = Scenario.load(path)
        files = [str((Path(path).parent / one).resolve()) if one.endswith(".py") else one for one in named]
        return scenario.model_copy(update={"plugins": tuple(files)}) if named else scenario
    except InputError as error:
        offered = [point.name for point in _find_entry_points()]
        if options.plugins or not offered or "no such kind of error" not in str(error):
            raise
        raise InputError(f"{error} Installed packages offer error models ({', '.join(offered)}): --plugins.") from error


def _read_plugins(path: str) -> list[str]:
    """Return the plugins that a scenario file names; a file that cannot be read names none."""
    if Path(path).suffix != ".toml":
        return []
    from drgsim.files.bounded import MOST_SETTINGS, parse_toml, read_whole

    named = parse_toml(read_whole(Path(path), MOST_SETTINGS, InputError), path, InputError).get("plugins", [])
    if not isinstance(named, list) or not all(isinstance(one, str) and one for one in named):
        raise InputError(f'{path}: plugins is {named!r:.60}, expected a list of modules or files, such as ["mine.py"].')
    return named


def _list_models() -> set[type[ErrorModel]]:
    """Return every class of error model that this process has defined."""
    from drgsim.miscoding.error_models import ErrorModel

    found: set[type[ErrorModel]] = set()
    waiting = [ErrorModel]
    while waiting:
        waiting += (more := set(waiting.pop().__subclasses__()) - found)
        found |= more
    return found


def _find_entry_points() -> list[Any]:
    from importlib.metadata import entry_points

    return sorted(entry_points(group=ENTRY_POINTS), key=lambda point: point.name)


def _iterate_plugins(path: str, named: list[str]) -> Iterator[tuple[str, Any]]:
    """Yield what each plugin is called, and the function that runs it."""
    for point in _find_entry_points():
        yield f"{point.value} (installed error model {point.name})", point.load
    for name in named:
        if name.endswith(".py"):
            file = Path(path).parent / name
            yield str(file), lambda file=file: _import_file(file)
        else:
            yield f"module {name}", lambda name=name: importlib.import_module(name)


def _import_file(file: Path) -> None:
    """Run a file as a module, once in a process."""
    name = f"drgsim_plugin_{hashlib.sha256(str(file.resolve()).encode()).hexdigest()[:12]}"
    if name in sys.modules:
        return
    spec = importlib.util.spec_from_file_location(name, file)
    assert spec is not None
    assert spec.loader is not None
    sys.modules[name] = module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise


def _run_plugin(what: str, load: Any) -> None:
    try:
        load()
    except Exception as error:
        raise InputError(f"{what}: cannot be loaded ({type(error).__name__}: {error}).") from error


# ---------------------------------------------------------------------------------------------------------


def add_selftest_command(commands: Commands) -> None:
    """Declare `drgsim selftest`."""
    add_command(
        commands,
        "selftest",
        _run_selftest,
        does="check that this installation gives known answers",
        example="drgsim selftest",
        about="Needs no network and no other file. Ends with code 1 if anything differs.",
    )


def _run_selftest(options: Options) -> int:
    import polars as pl

    from drgsim.cli.installation_check import selftest

    checks = selftest()
    print(align_columns(checks.select("check", "compared", "wrong").rows(), ("check", "compared", "wrong")))
    wrong = checks.filter(pl.col("wrong") > 0)
    for check, subject, expected, found in wrong.select("check", "what", "expected", "found").rows():
        print(f"{check}: {subject}: expected {expected}, found {found}")
    report_progress(options, "this installation differs" if wrong.height else "this installation works")
    return WRONG if wrong.height else DONE
