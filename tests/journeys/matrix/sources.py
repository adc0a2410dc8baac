"""The same small network of applicants from every kind of source, and models that are asked only."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import torch
from safetensors.torch import save_file

from tests.journeys.loans import applicants

SIZES = {"train": (400, 1, 0.0), "validation": (200, 2, 0.0), "test": (300, 3, 0.0), "elsewhere": (80, 4, 6.0)}
COLUMNS = {"label": "repaid", "positive": "yes", "sensitive": ["sex"]}
FEATURES = ["income", "age", "home"]
ARCHITECTURE = "auditkit.training.architectures.mlp:MLP"


def data(folder: Path) -> dict[str, Any]:
    """The tables in a folder, and what audit.yaml says of them."""
    for name, (n, seed, shift) in SIZES.items():
        pq.write_table(applicants(n, seed, shift), folder / f"{name}.parquet")
    splits = {name: f"{name}.parquet" for name in ("train", "validation", "test")}
    return {"data": {**splits, "ood": {"elsewhere": "elsewhere.parquet"}}, "columns": dict(COLUMNS)}


@cache
def network() -> Any:
    """A trained model of applicants."""
    from auditkit.subject.rows import load_data
    from auditkit.training.recipe import Recipe
    from auditkit.training.train import train

    splits = {
        name: load_data(applicants(*SIZES[name]), name=name, features=FEATURES, **COLUMNS)  # type: ignore[arg-type]
        for name in ("train", "validation")
    }
    recipe = Recipe(name="loans", epochs=4, arguments={"hidden": [16]}, threads=1)
    return train(recipe, splits, splits["train"].schema, device="cpu")


def bundle(folder: Path) -> dict[str, Any]:
    from auditkit.subject.bundle import save_bundle

    save_bundle(network(), folder / "model")
    return {**data(folder), "model": "model"}


def _file(folder: Path, name: str, **more: Any) -> dict[str, Any]:
    content = data(folder)
    content["columns"]["classes"] = list(network().classes)
    return {**content, "model": name, "preprocessing": network().preprocessing.model_dump(mode="json"), **more}


def _weights() -> dict[str, Any]:
    return {"architecture": ARCHITECTURE, "arguments": network().architecture["arguments"]}


def _inputs() -> tuple[torch.Tensor, ...]:
    return tuple(part.cpu() for part in network().preprocessing.example(4))


def safetensors(folder: Path) -> dict[str, Any]:
    save_file({k: v.contiguous() for k, v in network().module.state_dict().items()}, folder / "net.safetensors")
    return _file(folder, "net.safetensors", **_weights())


def checkpoint(folder: Path) -> dict[str, Any]:
    torch.save({"epoch": 3, "state_dict": network().module.state_dict()}, folder / "net.pt")
    return _file(folder, "net.pt", **_weights())


def torchscript(folder: Path) -> dict[str, Any]:
    torch.jit.trace(network().module.eval(), _inputs()).save(str(folder / "net.ts"))
    return _file(folder, "net.ts")


def exported(folder: Path) -> dict[str, Any]:
    batch = torch.export.Dim("batch", min=1)
    shapes = tuple({0: batch} for _ in _inputs())
    with torch.no_grad():
        program = torch.export.export(network().module.eval(), _inputs(), dynamic_shapes=_shaped(shapes))
    torch.export.save(program, folder / "net.pt2")
    return _file(folder, "net.pt2")


def onnx(folder: Path) -> dict[str, Any]:
    shapes = tuple({0: torch.export.Dim("batch", min=1)} for _ in _inputs())
    module = network().module.eval()
    program = torch.onnx.export(module, _inputs(), dynamic_shapes=_shaped(shapes), dynamo=True, verbose=False)
    program.save(str(folder / "net.onnx"))
    return _file(folder, "net.onnx")


def _shaped(shapes: tuple[dict[int, Any], ...]) -> Any:
    """Dynamic shapes for a forward that takes its inputs as `*inputs` or by name."""
    import inspect

    parameters = list(inspect.signature(network().module.forward).parameters.values())
    starred = any(each.kind is inspect.Parameter.VAR_POSITIONAL for each in parameters)
    return (shapes,) if starred else shapes


def probabilities(rows: Any) -> np.ndarray:
    """A plain function of a data frame: the probability of each class."""
    score = rows["income"] + 0.5 * (rows["home"] == "own")
    yes = 1 / (1 + np.exp(-2 * score.to_numpy()))
    return np.stack([1 - yes, yes], axis=1)


def text_folder(folder: Path) -> dict[str, Any]:
    """A small BERT of its own making, saved as Hugging Face does."""
    import transformers
    from tokenizers import Tokenizer, models, pre_tokenizers, processors, trainers

    rng = np.random.default_rng(0)
    good, bad, people = ["good", "kind", "quick", "lovely"], ["bad", "rude", "slow", "awful"], ["she", "he"]

    def reviews(n: int) -> list[dict[str, str]]:
        rows = []
        for _ in range(n):
            liked, who = rng.random() < 0.5, str(rng.choice(people))
            word = str(rng.choice(good if liked else bad))
            text = f"{who} was {word} and the place was {rng.choice(['full', 'quiet', 'new'])}"
            rows.append({"text": text, "label": "liked" if liked else "disliked", "mentions": who})
        return rows

    parts = {"train": reviews(200), "validation": reviews(120), "test": reviews(200)}
    tokenizer = Tokenizer(models.WordLevel(unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    trainer = trainers.WordLevelTrainer(special_tokens=["[PAD]", "[UNK]", "[CLS]", "[SEP]"])
    tokenizer.train_from_iterator([row["text"] for row in parts["train"]], trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    fast = transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="[PAD]", unk_token="[UNK]", cls_token="[CLS]", sep_token="[SEP]"
    )
    fast.save_pretrained(folder / "bert")
    torch.manual_seed(0)
    config = transformers.BertConfig(
        vocab_size=len(fast), hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32,
        max_position_embeddings=32, id2label={0: "disliked", 1: "liked"}, label2id={"disliked": 0, "liked": 1},
    )  # fmt: skip
    transformers.BertForSequenceClassification(config).save_pretrained(folder / "bert")
    for name, rows in parts.items():
        (folder / f"{name}.jsonl").write_text("\n".join(map(json.dumps, rows)))
        import pyarrow as pa

        pq.write_table(pa.Table.from_pylist(rows), folder / f"{name}.parquet")
    return {
        "model": "bert",
        "data": {name: f"{name}.parquet" for name in parts},
        "columns": {"label": "label", "positive": "liked", "sensitive": ["mentions"], "features": ["text"]},
    }


def text_of_numbers(folder: Path) -> dict[str, Any]:
    """The same BERT with one output, and stars for labels."""
    import transformers

    content = text_folder(folder)
    torch.manual_seed(0)
    config = transformers.BertConfig.from_pretrained(
        folder / "bert", id2label={0: "stars"}, label2id={"stars": 0}, problem_type="regression"
    )
    transformers.BertForSequenceClassification(config).save_pretrained(folder / "bert")
    for path in folder.glob("*.jsonl"):
        path.unlink()
    for name in content["data"]:
        table = pq.read_table(folder / f"{name}.parquet")
        stars = [4.0 * (label == "liked") + len(text) % 3 for text, label in
                 zip(table["text"].to_pylist(), table["label"].to_pylist(), strict=True)]  # fmt: skip
        pq.write_table(table.drop_columns(["label"]).append_column("stars", [stars]), folder / f"{name}.parquet")
    return {**content, "columns": {"label": "stars", "task": "regression", "sensitive": ["mentions"]}}


def image_folder(folder: Path) -> dict[str, Any]:
    """A small vision transformer, saved as Hugging Face does, and pictures in an archive."""
    import transformers

    rng = np.random.default_rng(0)
    torch.manual_seed(0)
    config = transformers.ViTConfig(
        hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32, image_size=8, patch_size=4,
        num_channels=3, id2label={0: "left", 1: "right"}, label2id={"left": 0, "right": 1},
    )  # fmt: skip
    transformers.ViTForImageClassification(config).save_pretrained(folder / "vit")
    (folder / "vit" / "preprocessor_config.json").write_text(
        json.dumps(
            {
                "image_processor_type": "ViTImageProcessor",
                "do_resize": False,
                "do_rescale": True,
                "rescale_factor": 1 / 255,
                "do_normalize": True,
                "image_mean": [0.5, 0.5, 0.5],
                "image_std": [0.5, 0.5, 0.5],
                "size": {"height": 8, "width": 8},
            }
        )
    )
    sizes = {"train": 120, "validation": 60, "test": 100}
    for name, n in sizes.items():
        side, site = rng.integers(2, size=n), rng.choice(["north", "south"], n)
        images = rng.integers(0, 120, size=(n, 3, 8, 8)).astype(np.uint8)
        for row, right in enumerate(side):
            images[row, :, :, 4 * right : 4 * right + 4] += 100
        np.savez(folder / f"{name}.npz", images=images, label=np.array(["left", "right"])[side], site=site)
    return {
        "model": "vit",
        "data": {name: f"{name}.npz" for name in sizes},
        "columns": {"label": "label", "positive": "right", "sensitive": ["site"]},
    }


def mlflow(folder: Path) -> dict[str, Any]:
    """The exported network of numbers alone, kept by MLflow."""
    import mlflow as kept
    import onnx as graphs

    onnx(folder)
    kept.onnx.save_model(graphs.load(str(folder / "net.onnx")), folder / "kept", pip_requirements=["onnxruntime"])
    return _file(folder, "kept")


SCORING = '''
import numpy as np
import pandas as pd
from pathlib import Path
from sklearn.compose import make_column_transformer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder


def probabilities(rows):
    """The probability of each class, by a rule."""
    yes = 1 / (1 + np.exp(-2 * (rows["income"] + 0.5 * (rows["home"] == "own")).to_numpy()))
    return np.stack([1 - yes, yes], axis=1)


people = pd.read_parquet(Path(__file__).parent / "train.parquet")
words = make_column_transformer((OneHotEncoder(), ["home"]), remainder="passthrough")
estimator = make_pipeline(words, LogisticRegression()).fit(people[["income", "age", "home"]], people["repaid"])
'''


def estimator(folder: Path) -> dict[str, Any]:
    content = data(folder)
    (folder / "scoring.py").write_text(SCORING)
    return {**content, "model": "scoring:estimator"}


def a_function(folder: Path) -> dict[str, Any]:
    content = data(folder)
    (folder / "scoring.py").write_text(SCORING)
    content["columns"] |= {"classes": ["no", "yes"], "features": ["income", "age", "home"]}
    return {**content, "model": "scoring:probabilities", "outputs": "probabilities"}


def _with_answers(folder: Path) -> dict[str, Any]:
    """The tables with what the network says of each row beside it."""
    from auditkit.engine.analysis import Needs
    from auditkit.engine.probe import observe
    from auditkit.subject.rows import load_data

    content, model = data(folder), network()
    for name in SIZES:
        table = pq.read_table(folder / f"{name}.parquet")
        split = load_data(table, name=name, schema=model.schema)
        with model.evaluating():
            seen = observe(model, next(model.batches(split, len(split))), Needs(logits=True, features=True))
        chances = seen.logits.double().softmax(dim=1)
        assert seen.features is not None
        table = table.append_column("said", [np.array(model.classes)[chances.argmax(dim=1).numpy()].tolist()])
        for place, class_name in enumerate(model.classes):
            table = table.append_column(f"p_{class_name}", [chances[:, place].tolist()])
        for place, values in enumerate(seen.features.double().T):
            table = table.append_column(f"hidden{place}", [values.tolist()])
        pq.write_table(table, folder / f"{name}.parquet")
    return content


def stored_decisions(folder: Path) -> dict[str, Any]:
    return {**_with_answers(folder), "predictions": {"decision": "said"}}


def stored_probabilities(folder: Path) -> dict[str, Any]:
    named = {name: f"p_{name}" for name in network().classes}
    return {**_with_answers(folder), "predictions": {"probabilities": named, "features": "hidden"}}


def stored_numbers(folder: Path) -> dict[str, Any]:
    """A made-up number of hours, and what the network's probability would make of them."""
    content = _with_answers(folder)
    for name in SIZES:
        table = pq.read_table(folder / f"{name}.parquet")
        chances = table["p_yes"].to_numpy()
        hours = 10 * (np.array(table["repaid"].to_pylist()) == "yes") + chances
        pq.write_table(
            table.append_column("hours", [hours]).append_column("said_hours", [10 * chances]),
            folder / f"{name}.parquet",
        )
    columns = {"label": "hours", "sensitive": content["columns"]["sensitive"]}
    return {**content, "columns": columns, "predictions": {"number": "said_hours"}}
