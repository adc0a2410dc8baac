"""Transfer learning: what is taken over, what stays frozen, what changed, and what is refused."""

import json

import numpy as np
import pyarrow as pa
import pytest
import torch
from safetensors.torch import save_file

from auditkit.errors import InputError
from auditkit.performance.transfer import change_section, change_table
from auditkit.subject.bundle import load_bundle, save_bundle
from auditkit.subject.data import Schema, Split
from auditkit.training.recipe import Pretrained, Recipe
from auditkit.training.train import train
from auditkit.training.transfer import representation_change

DIGITS = tuple("0123456789")


def pictures(n, seed, classes):
    """Bars at a place that is their class, in noise."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(len(classes), size=n)
    images = rng.normal(0, 0.3, (n, 1, 8, 8)).astype(np.float32)
    images[np.arange(n), 0, labels * 8 // len(classes)] += 2
    schema = Schema(("images",), classes, "label")
    table = pa.table({"label": [classes[label] for label in labels]})
    return {"images": images}, table, schema


def parts(classes, seed=0, n=300):
    made = {}
    for at, name in enumerate(("train", "validation")):
        arrays, table, schema = pictures(n, seed + at, classes)
        made[name] = Split(name, name, table, schema, arrays)
    return made, schema


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    """A bundle that tells four kinds of bars apart."""
    splits, schema = parts(("a", "b", "c", "d"))
    recipe = Recipe(name="base", epochs=3, batch_size=32, threads=1, learning_rate=0.01, arguments={"widths": [8, 8]})
    model = train(recipe, splits, schema, device="cpu")
    folder = tmp_path_factory.mktemp("base")
    save_bundle(model, folder / "bundle")
    return folder, model


def tuned(base, **pretrained):
    folder, _ = base
    splits, schema = parts(("left", "right"), seed=7)
    recipe = Recipe(
        name="tuned", epochs=2, batch_size=32, threads=1, learning_rate=0.01,
        pretrained=Pretrained(source="bundle", **pretrained),
    )  # fmt: skip
    return train(recipe, splits, schema, device="cpu", near=folder)


def test_a_frozen_body_stays_bit_for_bit_what_it_was_and_the_head_is_new(base):
    model = tuned(base, freeze="body")
    before, after = base[1].module.state_dict(), model.module.state_dict()
    body = [name for name in after if not name.startswith("head.")]
    assert all(torch.equal(before[name].cpu(), after[name]) for name in body)  # running statistics too
    assert after["head.weight"].shape == (2, before["head.weight"].shape[1])
    record = model.record["transfer"]
    assert record["new"] == ["head.weight", "head.bias"]
    assert set(record["frozen"]) == {
        name for name, _ in model.module.named_parameters() if not name.startswith("head.")
    }
    assert record["source_digest"] == base[1].digest
    moved = {layer for layer, alike in record["cka"].items() if alike is not None and alike < 1 - 1e-9}
    assert moved <= {"head"}
    assert model.record["curves"][-1]["validation_accuracy"] > 0.9
    assert model.preprocessing == base[1].preprocessing


def test_fine_tuning_begins_from_the_source_and_says_how_far_it_went(base):
    model = tuned(base)
    record = model.record["transfer"]
    assert record["frozen"] == []
    before, after = base[1].module.state_dict(), model.module.state_dict()
    stem = next(name for name in after if name.endswith("weight"))
    assert not torch.equal(before[stem].cpu(), after[stem])
    alike = [value for value in record["cka"].values() if value is not None]
    assert min(alike) < 1 - 1e-6
    assert record["cka"][stem.removesuffix(".weight")] > 0.5  # a few steps do not make a stranger of the first layer
    assert model.module.training is False


def test_some_layers_can_be_frozen_by_name(base):
    model = tuned(base, freeze=["stem"])
    frozen = model.record["transfer"]["frozen"]
    assert frozen
    assert all(name.startswith("stem.") for name in frozen)
    with pytest.raises(InputError, match="no layer 'stam'"):
        tuned(base, freeze=["stam"])
    with pytest.raises(InputError, match="leaves nothing to train"):
        tuned(base, freeze=["stem", "stages", "head"])


def test_it_survives_being_saved_and_is_shown(base, tmp_path):
    model = tuned(base, freeze="body")
    save_bundle(model, tmp_path / "tuned")
    again = load_bundle(tmp_path / "tuned", "cpu")
    assert again.record["transfer"] == model.record["transfer"]
    table = change_table(again.record)
    assert table.column("layer").to_pylist() == list(model.record["transfer"]["cka"])

    class Evidence:
        def table(self, name):
            return table if name == "performance/representation_change" else None

    section = change_section(Evidence())
    assert "layers were frozen" in section.finding
    assert change_table({}) is None


def test_rows_that_the_source_cannot_read_are_refused(base):
    folder, _ = base
    schema = Schema(("x",), ("0", "1"), "label")
    table = pa.table({"x": np.arange(20.0), "label": ["0", "1"] * 10})
    splits = {name: Split(name, name, table, schema) for name in ("train", "validation")}
    with pytest.raises(InputError, match="the model reads 'images', which the training rows do not have"):
        train(Recipe(name="t", epochs=1, pretrained=Pretrained(source="bundle")), splits, schema, near=folder)


def test_unlike_networks_share_nothing_and_a_copy_everything():
    torch.manual_seed(0)
    first, second = (torch.nn.Sequential(torch.nn.Linear(4, 64), torch.nn.ReLU(), torch.nn.Linear(64, 3)) for _ in "ab")
    inputs = (torch.randn(400, 4),)
    same = representation_change(first, first, inputs)
    assert same == {"0": pytest.approx(1.0), "2": pytest.approx(1.0)}
    assert representation_change(first, second, inputs)["2"] < 0.9


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    """A tiny BERT without a head, as Hugging Face saves it, and its tokenizer."""
    transformers = pytest.importorskip("transformers")
    tokenizers = pytest.importorskip("tokenizers")
    folder = tmp_path_factory.mktemp("encoder")
    made = tokenizers.Tokenizer(tokenizers.models.WordLevel(unk_token="[UNK]"))
    made.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    trainer = tokenizers.trainers.WordLevelTrainer(special_tokens=["[PAD]", "[UNK]"])
    made.train_from_iterator(["good bad film play the a was"], trainer)
    made.save(str(folder / "tokenizer.json"))
    torch.manual_seed(0)
    config = transformers.BertConfig(
        vocab_size=made.get_vocab_size(), hidden_size=16, num_hidden_layers=2, num_attention_heads=2,
        intermediate_size=32, max_position_embeddings=16,
    )  # fmt: skip
    body = transformers.BertModel(config)
    (folder / "config.json").write_text(json.dumps(config.to_dict()))
    save_file({k: v.contiguous() for k, v in body.state_dict().items()}, folder / "model.safetensors")
    return folder, body.eval()


def reviews(n, seed):
    rng = np.random.default_rng(seed)
    liked = rng.random(n) < 0.5
    texts = [f"the {rng.choice(['film', 'play'])} was {'good' if each else 'bad'}" for each in liked]
    table = pa.table({"text": texts, "label": ["1" if each else "0" for each in liked]})
    return Split("train", "train", table, Schema(("text",), ("0", "1"), "label"))


def test_a_hugging_face_encoder_gets_a_head_and_learns(encoder, tmp_path):
    folder, _ = encoder
    splits = {"train": reviews(300, 0), "validation": reviews(100, 1)}
    recipe = Recipe(name="tuned", epochs=4, batch_size=32, threads=1, learning_rate=0.005,
                    pretrained=Pretrained(source=str(folder)))  # fmt: skip
    model = train(recipe, splits, splits["train"].schema, device="cpu")
    assert model.record["curves"][-1]["validation_accuracy"] == 1.0
    assert model.record["transfer"]["new"] == ["head.weight", "head.bias"]
    assert model.preprocessing.modality == "text"
    save_bundle(model, tmp_path / "tuned")
    again = load_bundle(tmp_path / "tuned", "cpu")  # needs nothing of the folder it came from
    inputs = model.encode(splits["validation"])
    with torch.no_grad():
        assert torch.equal(again.logits(inputs), model.logits(inputs))


def test_the_encoder_is_the_one_of_transformers_and_padding_does_not_matter(encoder):
    from auditkit.training.architectures.encoder import Encoder
    from auditkit.training.transfer import open_source

    folder, body = encoder
    split = reviews(20, 3)
    source = open_source(Pretrained(source=str(folder)), split, split.schema, None)
    network = Encoder(**source.preprocessing.arguments(), classes=2, **source.arguments)
    source.into(network, "none")
    ids, mask = source.preprocessing.encode(split)
    seen = {}
    network.head.register_forward_pre_hook(lambda _module, given: seen.update(features=given[0]))
    with torch.no_grad():
        network.eval()(ids, mask)
        hidden = body(input_ids=ids, attention_mask=mask.long()).last_hidden_state
        mean = (hidden * mask[..., None]).sum(1) / mask.sum(1, keepdim=True)
        assert torch.allclose(seen["features"], mean, atol=1e-6)
        more = torch.nn.functional.pad(ids, (0, 5)), torch.nn.functional.pad(mask, (0, 5))
        network(*more)
        assert torch.allclose(seen["features"], mean, atol=1e-5)


def test_a_folder_without_safetensors_is_refused(encoder, tmp_path):
    (tmp_path / "config.json").write_text((encoder[0] / "config.json").read_text())
    (tmp_path / "pytorch_model.bin").write_bytes(b"")
    split = reviews(20, 3)
    with pytest.raises(InputError, match="weights in a pickle are not read"):
        train(Recipe(name="t", epochs=1, pretrained=Pretrained(source=str(tmp_path))),
              {"train": split, "validation": split}, split.schema)  # fmt: skip
