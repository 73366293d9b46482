"""Scenarios: which errors happen, how often, on which admissions, by which source.

A scenario is a frozen value, usually read from a TOML file:

    title = "Missed comorbidities"

    [errors.missed_cc]
    kind = "sdx_omit"
    cc = 0.05
    where = { mdc = [4, 5] }

Each table under `errors` is an error model; its key is its name. The shipped scenarios (`presets()`) are in
`grouper_tables/scenarios/`; every rate there has a population, a period and a source.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, SerializeAsAny, ValidationError

import drgsim.miscoding.claim_field_errors
import drgsim.miscoding.diagnosis_errors
import drgsim.miscoding.procedure_errors
import drgsim.miscoding.strategic_upcoding  # noqa: F401  (the four modules declare the kinds of error)
from drgsim.display import show_value
from drgsim.exceptions import InputError, did_you_mean
from drgsim.files.bounded import MOST_SETTINGS, parse_toml, read_whole
from drgsim.miscoding.error_models import ErrorModel, Evidence, find_problems
from drgsim.numerics.fixed_point import is_finite_number
from drgsim.tables.manifest import read_manifest, read_verified, table_folder
from drgsim.tables.table_set import TableSet

_FOLDER = "scenarios/"
_SUFFIX = ".toml"


class Finding(BaseModel):
    """A published figure with which a scenario is compared.

    Attributes:
        measure: what is measured, as in `studies.compare_with_findings`.
        value: the published figure.
        standard_error: its standard error, if known.
        fitted: whether the rates of the scenario were fitted to the figure.
        source: where it was published.

    >>> Finding(measure="drg_change_rate", value=0.208, fitted=True, source="Hsia et al. 1988").fitted
    True
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    measure: str
    value: Annotated[float, Field(allow_inf_nan=False)]
    standard_error: Annotated[float, Field(ge=0, allow_inf_nan=False)] | None = None
    fitted: bool = False
    source: Annotated[str, Field(min_length=5)]


class Scenario(BaseModel):
    """Coding errors that happen together.

    `errors` are error models with different names. If two errors would change the same code of a claim, the one that
    is earlier in `errors` is made, and the other is counted as refused. `population`, `period` and `source` say what
    the scenario describes, `findings` what was published about it. `plugins` names the Python modules or files that
    define your own kinds of error; nothing here runs them: import them first (or `--plugins` on the command line).

    >>> from drgsim.miscoding.diagnosis_errors import SdxOmit
    >>> Scenario(title="Missed MCCs", errors=(SdxOmit(mcc=0.04),)).scaled(0.5).errors[0].mcc
    0.02
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    title: str
    about: str = ""
    population: str = ""
    period: str = ""
    source: str = ""
    evidence: tuple[Evidence, ...] = ()
    findings: tuple[Finding, ...] = ()
    plugins: tuple[str, ...] = ()
    errors: tuple[SerializeAsAny[ErrorModel], ...] = ()
    _file: str = PrivateAttr(default="scenario")

    def model_post_init(self, _context: Any) -> None:
        """Check that the names of the errors differ.

        Raises:
            InputError: two errors have the same name; pydantic turns it into a ValidationError.
        """
        labels = [error.label for error in self.errors]
        twice = sorted({label for label in labels if labels.count(label) > 1})
        if twice:
            raise InputError(f"errors of one name: {', '.join(twice)}; give each its own `name`.")

    @classmethod
    def load(cls, name: str | os.PathLike[str], *, folder: str | os.PathLike[str] | None = None) -> Scenario:
        """Return a shipped scenario by its name, or your own by the path of its TOML file.

        Args:
            name: such as "oig_1985" (`presets()` lists them), or a path that ends in .toml.
            folder: your own table folder; by default the shipped one.

        Raises:
            InputError: there is no such scenario, or it cannot be used; the message gives file, line, key and value.

        >>> Scenario.load("empty").errors
        ()
        """
        path = Path(name)
        if path.suffix == _SUFFIX:
            content = read_whole(path, MOST_SETTINGS, InputError)
        else:
            root, known = table_folder(folder), presets(folder=folder)
            if str(name) not in known:
                hint = did_you_mean(str(name), known) or f" Known: {', '.join(known)}."
                raise InputError(f"no scenario {str(name)!r}.{hint} Or pass the path of a TOML file.")
            content = read_verified(root, f"{_FOLDER}{name}{_SUFFIX}")
        return cls.loads(content, file=str(name))

    @classmethod
    def loads(cls, content: str | bytes, *, file: str = "scenario") -> Scenario:
        r"""Return the scenario of a TOML text; error messages name it `file`.

        Raises:
            InputError: as in `load`.

        >>> Scenario.loads('title = "a"\n[errors.typo]\nkind = "invalid_code"\npdx = 1.4')
        Traceback (most recent call last):
        drgsim.exceptions.InputError: scenario, line 4: errors.typo.pdx is 1.4: Input should be less than or equal to 1.
        """
        values = parse_toml(content, file, InputError)
        found = _find_file_problems(values)
        if found:
            text = content.decode("utf-8-sig") if isinstance(content, bytes) else content
            problems = "; ".join(
                f"line {_find_line(text, place)}: {'.'.join(map(str, place))} is {_shorten(value)}: {why}"
                for place, value, why in found
            )
            raise InputError(f"{file}, {problems}.")
        made = cls(**{**values, "errors": tuple(_build_errors(values))})
        made._file = file
        return made

    def check(self, tables: TableSet) -> None:
        """Check the codes, DRGs and MDCs of the scenario against a grouper version.

        Raises:
            InputError: one is not valid in the version; the message gives file, key and value of each.
        """
        wrong = [
            f"errors.{error.label}.{key} is {value!r}: {why}"
            for error in self.errors
            for key, value, why in find_problems(error, tables)
        ]
        if wrong:
            raise InputError(f"{self._file}: {'; '.join(wrong)}.")

    def scaled(self, factor: float) -> Scenario:
        """Return the scenario with every rate multiplied by a factor.

        Raises:
            InputError: the factor is negative or not finite, or a rate would be above 1.
        """
        if not is_finite_number(factor) or factor < 0:
            raise InputError(f"the factor is {show_value(factor)}, expected 0 or more.")

        def multiply(rate: float) -> float:
            if rate * factor > 1:
                raise InputError(f"a rate of {rate} times {factor} is above 1.")
            return rate * factor

        return self.with_errors(error.with_rates(multiply) for error in self.errors)

    def shifted(self, shifts: Mapping[str, float]) -> Scenario:
        """Return the scenario with the rates of named errors shifted on the logit scale.

        Rates of 0 and 1 do not change.

        Raises:
            InputError: no error has one of the names.
        """
        self._check_names(shifts)
        return self.with_errors(error.shifted(shifts.get(error.label, 0.0)) for error in self.errors)

    def only(self, names: Sequence[str]) -> Scenario:
        """Return the scenario with only the errors of these names, in the order of the scenario.

        Args:
            names: one name or several.

        Raises:
            InputError: no error has one of the names.

        >>> [error.label for error in Scenario.load("illustration").only("unsupported_mcc").errors]
        ['unsupported_mcc']
        """
        wanted = [names] if isinstance(names, str) else names
        self._check_names(wanted)
        return self.with_errors(error for error in self.errors if error.label in wanted)

    def __add__(self, other: Scenario) -> Scenario:
        """Return both scenarios as one; the errors of the first come first.

        Raises:
            InputError: both have an error of the same name.
        """
        mine, theirs = ({error.label for error in s.errors} for s in (self, other))
        if mine & theirs:
            raise InputError(f"both scenarios have errors called {', '.join(sorted(mine & theirs))}; rename one.")
        made = self.with_errors((*self.errors, *other.errors))
        return made.model_copy(update={"title": f"{self.title} + {other.title}", "findings": ()})

    def _check_names(self, asked: Iterable[str]) -> None:
        names = [error.label for error in self.errors]
        for name in asked:
            if name not in names:
                raise InputError(f"no error is called {name!r}.{did_you_mean(name, names)}")

    def with_errors(self, errors: Sequence[ErrorModel] | Iterator[ErrorModel]) -> Scenario:
        """Return the scenario with other errors."""
        made = self.model_copy(update={"errors": tuple(errors)})
        made.model_post_init(None)
        return made

    def resolved(self) -> dict[str, Any]:
        """Return all settings, defaults included, as plain values."""
        whole = self.model_dump(mode="json", exclude={"errors", *(() if self.plugins else ("plugins",))})
        return {**whole, "errors": {error.label: error.model_dump(mode="json") for error in self.errors}}

    def dumps(self) -> str:
        """Return the scenario as a TOML text that `loads` reads.

        >>> same = Scenario.loads(Scenario.load("illustration").dumps())
        >>> same.resolved() == Scenario.load("illustration").resolved()
        True
        """
        import tomli_w

        return str(tomli_w.dumps(_drop_none(self.resolved())))

    @property
    def digest(self) -> str:
        """SHA-256 of the errors of the scenario; its descriptions and evidence do not matter."""
        does = [error.model_dump(mode="json", exclude={"evidence", "study"}) for error in self.errors]
        named = [{**one, "name": error.label} for one, error in zip(does, self.errors, strict=True)]
        return hashlib.sha256(json.dumps(named, sort_keys=True).encode()).hexdigest()


def presets(*, folder: str | os.PathLike[str] | None = None) -> tuple[str, ...]:
    """Return the names of the shipped scenarios.

    >>> "empty" in presets()
    True
    """
    files = read_manifest(table_folder(folder))["files"]
    return tuple(sorted(Path(name).stem for name in files if name.startswith(_FOLDER)))


def kinds() -> dict[str, type[ErrorModel]]:
    """Return every kind of error by its name, including your own subclasses of `ErrorModel`.

    >>> "sdx_omit" in kinds()
    True
    """
    found: dict[str, type[ErrorModel]] = {}
    waiting: list[type[ErrorModel]] = [*ErrorModel.__subclasses__()]
    while waiting:
        one = waiting.pop()
        waiting += one.__subclasses__()
        default = one.model_fields["kind"].default
        if isinstance(default, str):
            found.setdefault(default, one)
    return dict(sorted(found.items()))


# ---------------------------------------------------------------------------------------------------------

Problem = tuple[tuple[str | int, ...], object, str]


def _build_errors(values: Mapping[str, Any]) -> Iterator[ErrorModel]:
    for name, table in values.get("errors", {}).items():
        yield kinds()[table["kind"]](**{"name": name, **table})


def _find_file_problems(values: Mapping[str, Any]) -> list[Problem]:
    """Return every problem of a parsed file: place, value and reason."""
    found: list[Problem] = []
    errors = values.get("errors", {})
    if not isinstance(errors, dict):
        return [(("errors",), errors, "expected tables [errors.NAME]")]
    found += _find_invalid(Scenario, {**values, "errors": ()}, ())
    labels: list[object] = []
    for name, table in errors.items():
        place: tuple[str | int, ...] = ("errors", name)
        if not isinstance(table, dict):
            found.append((place, table, f"expected a table [errors.{name}]"))
            continue
        label = table.get("name", name) or table.get("kind")
        if label in labels:
            found.append(((*place, *(["name"] if "name" in table else [])), label, "another error has this name"))
        labels.append(label)
        kind = table.get("kind")
        if not isinstance(kind, str) or kind not in kinds():
            hint = did_you_mean(str(kind), kinds()) or f" Known: {', '.join(kinds())}."
            if values.get("plugins"):
                hint = " The file's plugins do not define it, or are not loaded (--plugins, or import them)."
            found.append(((*place, "kind"), kind, f"no such kind of error.{hint}".rstrip(".")))
        else:
            found += _find_invalid(kinds()[kind], {"name": name, **table}, place)
    return found


def _find_invalid(
    model: Callable[..., object], values: Mapping[str, Any], place: tuple[str | int, ...]
) -> list[Problem]:
    try:
        model(**values)
    except ValidationError as error:
        return [
            ((*place, *one["loc"]), None if one["type"] == "missing" else one["input"], one["msg"])
            for one in error.errors()
        ]
    return []


def _find_line(text: str, place: Sequence[str | int]) -> int:
    """Return the line of a place: of its key, or else of the table to which it belongs."""
    lines = text.splitlines()
    names = [part for part in place if isinstance(part, str)]
    table = r"\s*\.\s*".join(map(_make_key_pattern, names[:2])) if names[:1] == ["errors"] else ""
    header = re.compile(rf"\s*\[+\s*{table}\s*\]+") if table else None
    inner = re.compile(rf"\s*\[+\s*{table}\s*\.") if table else None
    start = next((i for i, line in enumerate(lines) if header and header.match(line)), -1)
    for depth in range(len(names), 0 if not table else 1 if start < 0 else 2, -1):
        key = re.compile(rf"(^|[\s{{,.\[]){_make_key_pattern(names[depth - 1])}\s*[=.\]]")
        for i in range(start + 1, len(lines)):
            if key.search(lines[i]) and not lines[i].lstrip().startswith("#"):
                return i + 1
            if inner and start >= 0 and lines[i].lstrip().startswith("[") and not inner.match(lines[i]):
                break
    return max(start, 0) + 1


def _make_key_pattern(name: str) -> str:
    """Return a pattern of a key, with or without quotes."""
    return f"[\"']?{re.escape(name)}[\"']?"


def _shorten(value: object) -> str:
    try:
        text = repr(value)
    except (RecursionError, ValueError):  # nested too deeply, or too long a number
        text = f"a {type(value).__name__}"
    return text if len(text) <= 60 else f"{text[:57]}..."


def _drop_none(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _drop_none(one) for key, one in value.items() if one is not None}
    return [_drop_none(one) for one in value] if isinstance(value, list) else value
