"""AuditSpec: what `audit.yaml` may say, as pydantic models, and the one place where it is read.

A typo in a key is answered with the nearest key. Paths are relative to the file that names them.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from auditkit.errors import InputError, nearest

DISCIPLINES = ("performance", "fairness", "attribution", "activations", "ood", "energy")
INSIGHTS = "insights"
"""what joins the evidence of several disciplines, and so runs after them"""


class Strict(BaseModel):
    """A record that refuses keys it does not know."""

    model_config = ConfigDict(extra="forbid", frozen=True, coerce_numbers_to_str=True)


class Gate(Strict):
    """A condition on the rows of a metric. Exactly one of `at_least` and `at_most`.

    `of` limits it to attributes, groups or details by name; `split` to one split (default: test, where there is one).
    The gate is judged on the interval, so `confidence` is that of the interval; `on_inconclusive` says whether an
    interval that straddles the limit fails the audit or warns.
    """

    at_least: float | None = None
    at_most: float | None = None
    of: list[str] = Field(default_factory=list)
    split: str | None = None
    confidence: float = Field(0.95, gt=0.5, lt=1)
    on_inconclusive: Literal["fail", "warn"] = "fail"

    @model_validator(mode="after")
    def _one_limit(self) -> "Gate":
        if (self.at_least is None) == (self.at_most is None):
            raise ValueError("give exactly one of at_least and at_most")
        return self


class SharesSpec(Strict):
    """How one file is dealt out: shares of `validation` and `test`, class by class, the rest is `train`.

    The seed is its own, so that a recipe and an audit that say the same get the same parts whatever their seeds are.
    """

    validation: float = Field(0.2, ge=0, lt=1)
    test: float = Field(0.2, gt=0, lt=1)
    seed: int = Field(0, ge=0)

    @model_validator(mode="after")
    def _some_are_left(self) -> "SharesSpec":
        if self.validation + self.test >= 1:
            raise ValueError("validation and test must leave a share for train")
        return self


class DataSpec(Strict):
    """Where the splits are: a path each, or the name of a built-in subject's split; or one file for all, `rows`."""

    train: str | None = None
    validation: str | None = None
    test: str | None = None
    ood: dict[str, str] = Field(default_factory=dict)
    rows: str | None = Field(None, description="one file, dealt out to train, validation and test")
    split: SharesSpec = Field(SharesSpec(), description="the shares in which `rows` are dealt out")

    @model_validator(mode="after")
    def _one_way(self) -> "DataSpec":
        if self.rows is not None and (self.train or self.validation or self.test):
            raise ValueError("give rows, one file to be dealt out, or the files of the splits, not both")
        if self.rows is None and self.split != SharesSpec():
            raise ValueError("split says how one file is dealt out; name that file as rows")
        return self


class PredictionsSpec(Strict):
    """What a model answered, as columns beside the people, where there is no model to ask.

    Exactly one of `decision` (a class), `score` (of the positive class; decided positive from `threshold` on, 0.5 for
    a probability), `probabilities` and `logits` (class: column; or the name of a column of lists, or the beginning of
    the names of number columns, in the order of the classes), and of a regression `number`. `features` are vectors,
    such as penultimate features: columns, a column of lists or the beginning of the names of number columns.
    """

    decision: str | None = None
    score: str | None = None
    threshold: float | None = Field(None, allow_inf_nan=False)
    probabilities: dict[str, str] | str | None = None
    logits: dict[str, str] | str | None = None
    number: str | None = None
    features: list[str] | str | None = None

    @model_validator(mode="after")
    def _one_answer(self) -> "PredictionsSpec":
        ways = ("decision", "score", "probabilities", "logits", "number")
        if sum(getattr(self, way) is not None for way in ways) != 1:
            raise ValueError(f"give exactly one of {', '.join(ways)}")
        if self.threshold is not None and self.score is None:
            raise ValueError("threshold belongs to a score; name its column as score")
        return self


_ALSO_A_LIST: Any = {"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}, {"type": "null"}]}


def check_labels(names: Sequence[Any]) -> None:
    """Raises ValueError for fewer than two labels, or two of the same name."""
    shown = ", ".join(map(str, names[:10])) or "none"
    if len(names) < 2:
        raise ValueError(f"several labels are at least two, but there is {shown}; audit one label as a classification")
    if len(set(map(str, names))) < len(names):
        raise ValueError(f"two of the labels have the same name: {shown}")


class SchemaSpec(Strict):
    """What the columns mean. Features default to those the model's preprocessing knows."""

    task: Literal["classification", "regression", "multilabel"] | None = Field(
        None,
        description="whether a class, a number, or yes or no to each of several labels is predicted; the model's own "
        "when left out",
    )
    label: str | None = Field(None, json_schema_extra=_ALSO_A_LIST)
    labels: list[str] = Field(default_factory=list, description="columns of several labels, as label: [a, b] says too")
    positive: str | None = None
    classes: list[str] | None = None
    sensitive: list[str] = Field(default_factory=list)
    features: list[str] | None = None

    @model_validator(mode="before")
    @classmethod
    def _several_labels(cls, given: Any) -> Any:
        """A list under `label` stands for `labels`, and several labels for the task that has them."""
        if not isinstance(given, dict):
            return given
        content = dict(given)
        if isinstance(content.get("label"), (list, tuple)):
            if content.get("labels"):
                raise ValueError("give the columns of several labels once, as label: [...]")
            content |= {"label": None, "labels": list(content["label"])}
            check_labels(content["labels"])
        if content.get("labels") and content.get("task") is None:
            content["task"] = "multilabel"
        return content

    @model_validator(mode="after")
    def _labels_of_their_task(self) -> "SchemaSpec":
        several = self.task == "multilabel"
        if self.labels and not several:
            raise ValueError(f"label names several columns, but task is {self.task}; several labels are multilabel")
        if several and self.label is not None:
            raise ValueError(f"label is {self.label!r}, but a multilabel task has several: label: [..., ...]")
        if several and self.positive is not None:
            raise ValueError("positive is a class, but of several labels each is yes or no; leave positive out")
        if self.labels:
            check_labels(self.labels)
        return self


class FairnessSpec(Strict):
    """Settings of the fairness discipline."""

    minimum_group: int = Field(30, ge=1, description="a group's rate over fewer rows than this is not judged")
    replicates: int = Field(10_000, ge=200)
    confidence: float = Field(0.95, gt=0.5, lt=1)
    intersections: bool = True
    weight: str | None = Field(None, description="column that says how many people a row stands for")
    stratum: str | None = Field(None, description="column of the stratum a row was drawn from")
    cluster: str | None = Field(None, description="column of the cluster a row was drawn with, such as a patient")
    reference: dict[str, str] = Field(default_factory=dict, description="attribute: group all others are held against")
    control: list[str] = Field(default_factory=list, description="columns that may rightly explain a gap")
    population: dict[str, dict[str, float]] = Field(
        default_factory=dict, description="attribute: {group: its share of the population}"
    )
    identity: dict[str, dict[str, Any]] = Field(
        default_factory=dict,
        description="text: dimension: {groups: {group: [terms]}, templates: [sentences with one {}], aligned: false}, "
        "in place of the shipped ones",
    )


class PerformanceSpec(Strict):
    """Settings of the performance discipline."""

    replicates: int = Field(2_000, ge=200)
    confidence: float = Field(0.95, gt=0.5, lt=1)
    bins: int = Field(15, ge=2, le=100)
    generated: int = Field(1_000, ge=100, description="rows a generator is asked for")
    modes: str | None = Field(None, description="column that tells the kinds of rows a generator should make")


class AttributionSpec(Strict):
    """Settings of the attribution discipline."""

    methods: list[str] | None = Field(None, description="all that are valid for the model when left out")
    rows: int = Field(256, ge=1, description="rows of the test split explained, drawn with the audit's seed")
    split: str = "test"
    evaluate: bool = Field(True, description="whether to judge, on up to 32 of these rows, if methods are believable")
    tolerance: float = Field(0.01, gt=0, description="relative completeness gap at which Integrated Gradients stops")
    maximum_steps: int = Field(4096, ge=8)
    confidence: float = Field(0.95, gt=0.5, lt=1)


class ActivationsSpec(Strict):
    """Settings of the activations discipline."""

    layers: list[str] | None = None
    map_rows: int = Field(2_000, ge=10)
    top_rows: int = Field(5, ge=1)


class OodSpec(Strict):
    """Settings of the out-of-distribution discipline."""

    detectors: list[str] | None = None
    level: float = Field(0.05, gt=0, lt=0.5, description="share of in-distribution rows a threshold may flag")
    confidence: float = Field(0.95, gt=0.5, lt=1)
    neighbours: int = Field(50, ge=1)
    bank: int = Field(10_000, ge=100)


class EnergySpec(Strict):
    """Settings of the energy discipline. `country` is an ISO 3166 alpha-3 code."""

    country: str = "DEU"
    blocks: int = Field(5, ge=3)
    seconds: float = Field(1.0, gt=0, description="length of one inference block")


class AuditSpec(Strict):
    """One audit: a subject, its data, what its columns mean, what to run and what to hold it to."""

    name: str = "audit"
    subject: str | None = Field(None, description="a built-in subject (adult, digits, ...) in place of model and data")
    model: str | None = None
    architecture: str | None = Field(None, description="module:Class of a model whose code is not auditkit's own")
    arguments: dict[str, Any] = Field(
        default_factory=dict, description="what that class is built with, for weights alone"
    )
    preprocessing: dict[str, Any] | None = Field(
        None,
        description="how rows become inputs of a network file, as in model.json; columns.features taken as they are",
    )
    outputs: Literal["probabilities", "margins", "logits", "decisions"] | None = Field(
        None, description="what a model named as package.module:function gives; of a network logits or probabilities"
    )
    takes: Literal["frame", "array", "dict", "tuple"] | None = Field(
        None,
        description="what that function takes: a data frame, or an array; a network: its inputs as one dict or tuple",
    )
    categories: list[str] = Field(default_factory=list, description="features handed to it as pandas categories")
    keywords: list[str] = Field(
        default_factory=list, description="names of the network's inputs, where it takes them by name"
    )
    output: int | str | None = Field(None, description="which of several outputs is the logits, by name or place")
    predictions: PredictionsSpec | None = Field(None, description="stored predictions, in place of a model")
    data: DataSpec = DataSpec()
    columns: SchemaSpec = SchemaSpec()
    analyses: list[str] = Field(default_factory=lambda: [*DISCIPLINES, INSIGHTS])
    performance: PerformanceSpec = PerformanceSpec()
    fairness: FairnessSpec = FairnessSpec()
    attribution: AttributionSpec = AttributionSpec()
    activations: ActivationsSpec = ActivationsSpec()
    ood: OodSpec = OodSpec()
    energy: EnergySpec = EnergySpec()
    gates: dict[str, Gate | list[Gate]] = Field(default_factory=dict)
    seed: int = Field(0, ge=0)
    device: str = "auto"
    batch_size: int | None = Field(None, ge=1)


def read_yaml(path: Path) -> dict[str, Any]:
    """A YAML file that must hold a mapping. Raises InputError with the line of a syntax error."""
    import yaml

    if not path.is_file():
        raise InputError(f"{path}: there is no such file")
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as problem:
        mark = getattr(problem, "problem_mark", None)
        where = f" at line {mark.line + 1}" if mark else ""
        raise InputError(f"{path}: not valid YAML{where}; {getattr(problem, 'problem', 'mend the syntax')}") from None
    if not isinstance(content, dict):
        raise InputError(f"{path}: expected a mapping of settings at the top level, found {type(content).__name__}")
    return content


def parse(content: Any, model: type[BaseModel], where: str) -> Any:
    """Validate `content` as `model`, turning the first problem into one clear sentence.

    >>> parse({"nme": "x"}, AuditSpec, "audit.yaml")
    Traceback (most recent call last):
    ...
    auditkit.errors.InputError: audit.yaml: unknown key 'nme'; did you mean 'name'? Known: activations, analyses, ...
    """
    try:
        return model.model_validate(content)
    except ValidationError as problem:
        first = problem.errors()[0]
        path = [str(part) for part in first["loc"]]
        if first["type"] == "extra_forbidden":
            known = _keys_at(model, path[:-1])
            at = f" under {'.'.join(path[:-1])!r}" if path[:-1] else ""
            raise InputError(f"{where}: unknown key {path[-1]!r}{at}; {nearest(path[-1], known)}") from None
        text = first["msg"].removeprefix("Value error, ")
        raise InputError(f"{where}: {'.'.join(path) or 'settings'}: {text[0].lower() + text[1:]}") from None


def _keys_at(model: type[BaseModel], path: list[str]) -> list[str]:
    """The keys that a nested place of a model knows."""
    here: Any = model
    for part in path:
        field = here.model_fields.get(part)
        here = here if field is None else _model_in(field.annotation) or here
    return sorted(here.model_fields)


def _model_in(annotation: Any) -> Any:
    """The first model in an annotation, such as that of a mapping's values; None where there is none."""
    if hasattr(annotation, "model_fields"):
        return annotation
    return next(filter(None, map(_model_in, get_args(annotation))), None)


def load_spec(path: str | Path) -> AuditSpec:
    """Read `audit.yaml`."""
    path = Path(path)
    return parse(read_yaml(path), AuditSpec, str(path))


def parse_gates(content: Any, where: str) -> dict[str, list[Gate]]:
    """A gates mapping (metric → condition or list of conditions) as validated gates."""
    if not isinstance(content, dict):
        raise InputError(
            f"{where}: gates must map a metric to its condition, e.g. demographic_parity_ratio: {{at_least: 0.8}}"
        )
    gates: dict[str, list[Gate]] = {}
    for name, conditions in content.items():
        listed = conditions if isinstance(conditions, list) else [conditions]
        gates[str(name)] = [
            item if isinstance(item, Gate) else parse(item, Gate, f"{where}: gate {str(name)!r}") for item in listed
        ]
    return gates
