"""Hugging Face models: logits and probabilities are transformers' own, and nothing of a folder is run."""

import json
import os

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from typer.testing import CliRunner

import auditkit as ak
from auditkit.cli import app
from auditkit.engine.space import InputSpace
from auditkit.errors import InputError
from auditkit.evidence.audit import open_audit
from auditkit.spec import AuditSpec
from auditkit.subject.described import load_subject
from auditkit.subject.formats.huggingface import fitted_to, is_folder
from auditkit.subject.preprocessing import (
    ImagePreprocessing,
    TokenizerPreprocessing,
    fit_preprocessing,
    parse_preprocessing,
)
from auditkit.subject.preprocessing.image import Resize
from auditkit.subject.preprocessing.tokenizer import BLANK

transformers = pytest.importorskip("transformers")
tokenizers = pytest.importorskip("tokenizers")

TEXTS = [
    "The film was a delight, warm and funny.",
    "A dull, lifeless mess; I left early!",
    "Surprisingly good acting",
    "boring boring boring",
    "An unforgettable evening at the cinema, although the sound was poor and the seats were hard.",
    "meh",
]
LABELS = ["good", "bad", "good", "bad", "good", "bad"]
SMALL = {
    "bert": {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 24},
    "distilbert": {"dim": 16, "n_layers": 2, "n_heads": 2, "hidden_dim": 24},
    "roberta": {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 24},
    "electra": {
        "embedding_size": 16, "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2,
        "intermediate_size": 24,
    },
}  # fmt: skip


def wordpiece() -> transformers.PreTrainedTokenizerFast:
    made = tokenizers.Tokenizer(tokenizers.models.WordPiece(unk_token="[UNK]"))
    made.normalizer = tokenizers.normalizers.BertNormalizer(lowercase=True)
    made.pre_tokenizer = tokenizers.pre_tokenizers.BertPreTokenizer()
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    made.train_from_iterator(
        TEXTS, tokenizers.trainers.WordPieceTrainer(vocab_size=90, special_tokens=special, show_progress=False)
    )
    ends = [("[CLS]", made.token_to_id("[CLS]")), ("[SEP]", made.token_to_id("[SEP]"))]
    made.post_processor = tokenizers.processors.TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=ends)
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=made, unk_token="[UNK]", pad_token="[PAD]", cls_token="[CLS]", sep_token="[SEP]",
        mask_token="[MASK]", model_max_length=60,
    )  # fmt: skip


def byte_level() -> transformers.PreTrainedTokenizerFast:
    made = tokenizers.Tokenizer(tokenizers.models.BPE())
    made.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = tokenizers.decoders.ByteLevel()
    special = ["<s>", "<pad>", "</s>", "<unk>"]
    made.train_from_iterator(
        TEXTS,
        tokenizers.trainers.BpeTrainer(
            vocab_size=300, special_tokens=special, show_progress=False,
            initial_alphabet=tokenizers.pre_tokenizers.ByteLevel.alphabet(),
        ),
    )  # fmt: skip
    made.post_processor = tokenizers.processors.RobertaProcessing(("</s>", 2), ("<s>", 0))
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=made, unk_token="<unk>", pad_token="<pad>", cls_token="<s>", sep_token="</s>",
        model_max_length=60,
    )  # fmt: skip


def text_folder(folder, kind: str = "bert", **changed):
    """A tiny model with random weights and a tokenizer trained on TEXTS, as `save_pretrained` writes it."""
    tokenizer = byte_level() if kind == "roberta" else wordpiece()
    torch.manual_seed(0)
    named = {"id2label": {0: "bad", 1: "good"}, "label2id": {"bad": 0, "good": 1}}
    config = transformers.AutoConfig.for_model(
        kind, vocab_size=len(tokenizer), max_position_embeddings=64, pad_token_id=tokenizer.pad_token_id,
        initializer_range=0.5, **{**named, **SMALL[kind], **changed},
    )  # fmt: skip
    model = transformers.AutoModelForSequenceClassification.from_config(config).eval()
    tokenizer.save_pretrained(folder)
    model.save_pretrained(folder)
    return folder


def frame(labels=LABELS) -> pd.DataFrame:
    return pd.DataFrame({"text": TEXTS, "label": labels})


@pytest.mark.parametrize("kind", list(SMALL))
def test_logits_are_transformers_own(kind, tmp_path):
    folder = text_folder(tmp_path, kind)
    assert is_folder(folder)
    model = ak.load_model(folder)
    assert model.classes == ("bad", "good")
    assert not model.module.training
    split = ak.load_data(frame(), label="label", schema=model.schema)
    theirs = transformers.AutoModelForSequenceClassification.from_pretrained(folder).eval()
    given = transformers.AutoTokenizer.from_pretrained(folder)(TEXTS, padding=True, return_tensors="pt")
    with torch.no_grad():
        expected = theirs(input_ids=given["input_ids"], attention_mask=given["attention_mask"]).logits
        found = model.logits(model.encode(split))
    assert expected.std() > 0.01
    assert torch.allclose(found, expected, atol=1e-5, rtol=0)


def test_probabilities_are_the_pipelines(tmp_path):
    folder = text_folder(tmp_path)
    model = ak.load_model(folder)
    split = ak.load_data(frame(), label="label", schema=model.schema)
    pipeline = transformers.pipeline("text-classification", model=str(folder), top_k=None, device="cpu")
    expected = [{one["label"]: one["score"] for one in row} for row in pipeline(TEXTS)]
    with torch.no_grad():
        found = model.logits(model.encode(split)).softmax(dim=1)
    for row, scores in zip(found.tolist(), expected, strict=True):
        assert dict(zip(model.classes, row, strict=True)) == pytest.approx(scores, abs=1e-5)


@pytest.mark.parametrize("kind", ["bert", "distilbert", "roberta", "electra"])
def test_attributions_enter_through_word_embeddings_at_every_piece(kind, tmp_path):
    model = ak.load_model(text_folder(tmp_path, kind))
    split = ak.load_data(frame(), label="label", schema=model.schema)
    inputs = model.encode(split)
    with model.evaluating():
        space = InputSpace.trace(model, tuple(part[:1] for part in inputs))
        points, logits = space.enter(inputs)
        assert torch.allclose(space.logits(points, space.keep(inputs)), logits, atol=1e-5)
    owned = {owner for slot in space.slots for owner in slot.owners}
    assert owned == {(0, position) for position in range(inputs[0].shape[1])}


def test_filling_up_changes_nothing_and_is_cut_to_the_texts(tmp_path):
    model = ak.load_model(text_folder(tmp_path))
    assert model.preprocessing.length == 60
    short = ak.load_data(frame().head(2), label="label", schema=model.schema)
    fitted = fitted_to(model, [short])
    assert fitted.preprocessing.length == 32
    with torch.no_grad():
        assert torch.allclose(fitted.logits(fitted.encode(short)), model.logits(model.encode(short)), atol=1e-5)


def test_pieces_are_readable_and_stand_where_their_ids_do(tmp_path):
    for kind, ends in (("bert", ("[CLS]", "[SEP]")), ("roberta", ("<s>", "</s>"))):
        model = ak.load_model(text_folder(tmp_path / kind, kind))
        given = model.preprocessing
        split = ak.load_data(frame(), label="label", schema=model.schema)
        ids, mask = given.encode(split)
        assert given.held == (1,)
        for text, pieces, row in zip(TEXTS, given.tokens(split), mask, strict=True):
            assert len(pieces) == int(row.sum()) <= given.length
            assert (pieces[0], pieces[-1]) == ends
            letters = (piece.removeprefix("##") for piece in pieces[1:-1] if piece != BLANK)
            assert "".join(letters) == text.replace(" ", "")
        assert (ids[mask == 0] == given.pad).all()


def test_a_tokenizer_survives_its_record(tmp_path):
    text_folder(tmp_path)
    split = ak.load_data(frame(), label="label", features=["text"])
    options = {"kind": "tokenizer", "tokenizer": str(tmp_path)}
    given = fit_preprocessing(split, split.schema, options)
    assert given.length == max(len(pieces) for pieces in given.tokens(split))
    again = parse_preprocessing(json.loads(given.model_dump_json()), "model.json")
    assert isinstance(again, TokenizerPreprocessing)
    assert again == given
    assert all(torch.equal(*pair) for pair in zip(again.encode(split), given.encode(split), strict=True))
    assert given.arguments() == {"words": 90, "length": given.length}
    assert int(given.example()[0].max()) == 89


def test_what_a_tokenizer_loses_is_told(tmp_path):
    text_folder(tmp_path)
    rows = pd.DataFrame({"text": [TEXTS[0], None, "\u2603", "good " * 30], "label": ["a", "b", "a", "b"]})
    split = ak.load_data(rows, label="label", features=["text"])
    given = fit_preprocessing(split, split.schema, {"kind": "tokenizer", "tokenizer": str(tmp_path), "length": 12})
    told = {what: count for _, count, what in given.irregularities(split)}
    assert told["missing, read as an empty text"] == 1
    assert told["longer than 12 pieces, cut there"] == 2
    assert told["without any piece known to the tokenizer"] == 1
    assert given.encode(split)[1].sum(dim=1).min() >= 1


@pytest.mark.parametrize("labels", [LABELS, [1, 0, 1, 0, 1, 0], ["1", "0", "1", "0", "1", "0"]])
def test_labels_are_names_or_the_configs_ids(labels, tmp_path):
    model = ak.load_model(text_folder(tmp_path))
    split = ak.load_data(frame(labels), label="label", schema=model.schema, aliases=model.aliases)
    assert split.labels.tolist() == [1, 0, 1, 0, 1, 0]
    with pytest.raises(InputError, match="for which the model has no output"):
        _ = ak.load_data(frame(["2"] * 6), label="label", schema=model.schema, aliases=model.aliases).labels


def test_unnamed_classes_can_be_named_and_named_ones_not_renamed(tmp_path):
    unnamed = {"id2label": {0: "LABEL_0", 1: "LABEL_1"}, "label2id": {"LABEL_0": 0, "LABEL_1": 1}}
    folder = text_folder(tmp_path / "unnamed", **unnamed)
    assert ak.load_model(folder).classes == ("LABEL_0", "LABEL_1")
    assert ak.load_model(folder, classes=["no", "yes"]).classes == ("no", "yes")
    folder = text_folder(tmp_path / "named")
    with pytest.raises(InputError, match="tells bad, good apart, in this order"):
        ak.load_model(folder, classes=["good", "bad"])


def test_one_output_is_the_second_class(tmp_path):
    folder = text_folder(tmp_path, id2label={0: "LABEL_0"}, label2id={"LABEL_0": 0}, num_labels=1)
    with pytest.raises(InputError, match="one output; name the two classes"):
        ak.load_model(folder, task="classification")
    model = ak.load_model(folder, classes=["bad", "good"])
    split = ak.load_data(frame(), label="label", schema=model.schema)
    with torch.no_grad():
        logits = model.logits(model.encode(split))
    assert logits.shape == (6, 2)
    assert (logits[:, 0] == 0).all()


def test_one_output_is_a_number_unless_two_classes_are_named(tmp_path):
    """The numbers are transformers' own; where the config does not say that they are any, a caveat does."""
    unnamed = {"id2label": {0: "LABEL_0"}, "label2id": {"LABEL_0": 0}, "num_labels": 1}
    said = text_folder(tmp_path / "said", **unnamed, problem_type="regression")
    unsaid = text_folder(tmp_path / "unsaid", **unnamed)
    rows = frame([0.5, -1.0, 2.5, 3.0, 1.0, 0.0])
    for folder, told in ((said, 0), (unsaid, 1)):
        theirs = transformers.AutoModelForSequenceClassification.from_pretrained(folder).eval()
        given = transformers.AutoTokenizer.from_pretrained(folder)(TEXTS, padding=True, return_tensors="pt")
        with torch.no_grad():
            expected = theirs(input_ids=given["input_ids"], attention_mask=given["attention_mask"]).logits
        model = ak.load_model(folder)
        assert (model.task, model.classes, model.aliases) == ("regression", ("prediction",), {})
        assert sum("name the two classes" in caveat.text for caveat in model.caveats) == told
        split = ak.load_data(rows, label="label", schema=model.schema)
        with torch.no_grad():
            assert torch.allclose(model.logits(model.encode(split)), expected, atol=1e-5)
    named = ak.load_model(unsaid, task="regression", classes=["stars"])
    assert (named.classes, named.caveats) == (("stars",), ())
    with pytest.raises(InputError, match="it is a model of regression, not of classification"):
        ak.load_model(said, task="classification")
    with pytest.raises(InputError, match="has 2 outputs, and of a regression one number"):
        ak.load_model(text_folder(tmp_path / "two"), task="regression")


def test_a_regressor_of_texts_goes_through_an_audit(tmp_path):
    folder = text_folder(tmp_path / "model", id2label={0: "stars"}, label2id={"stars": 0}, num_labels=1,
                         problem_type="regression")  # fmt: skip
    rows = pd.concat([frame(np.arange(6) * 0.7)] * 12, ignore_index=True).assign(sex=["f", "m"] * 36)
    audit = ak.audit(ak.load_model(folder), rows, label="label", sensitive=["sex"], out=tmp_path / "reports",
                     analyses=["performance", "fairness"])  # fmt: skip
    metrics = audit.metrics[audit.metrics.status == "ok"]
    assert {"mae", "rmse", "mean_error_difference"} <= set(metrics.metric)
    shown = audit.metrics[audit.metrics.metric == "identity_gap"]
    assert len(shown)
    assert set(shown.status) == {"ok"}
    rows.rename(columns={"label": "rating"}).to_parquet(tmp_path / "rows.parquet")
    told = CliRunner().invoke(app, ["init", str(folder), str(tmp_path / "rows.parquet"), "--label", "rating",
                                    "--out", str(tmp_path / "audit.yaml")])  # fmt: skip
    assert told.exit_code == 0, told.output
    spec = yaml.safe_load((tmp_path / "audit.yaml").read_text())
    assert (spec["columns"]["label"], spec["columns"]["task"]) == ("rating", "regression")
    subject = load_subject(AuditSpec.model_validate(spec), tmp_path)
    assert (subject.schema.task, subject.schema.classes) == ("regression", ("rating",))


def picture_folder(folder, channels: int = 3, **processor):
    torch.manual_seed(0)
    config = transformers.ViTConfig(
        image_size=16, patch_size=8, num_channels=channels, hidden_size=16, num_hidden_layers=1, num_attention_heads=2,
        intermediate_size=24, initializer_range=0.5, id2label={0: "cat", 1: "dog", 2: "eel"},
    )  # fmt: skip
    transformers.ViTForImageClassification(config).eval().save_pretrained(folder)
    settings = {"size": {"height": 16, "width": 16}, "image_mean": [0.4, 0.5, 0.6], "image_std": [0.2, 0.3, 0.25]}
    kind = processor.pop("kind", "ViTImageProcessor")
    transformers.logging.set_verbosity_error()
    getattr(transformers, kind)(**{**settings, **processor}).save_pretrained(folder)
    return folder


@pytest.mark.parametrize(
    ("size", "processor", "tolerance"),
    [
        ((16, 16), {}, 1e-5),
        ((20, 31), {"do_resize": False, "do_center_crop": True, "crop_size": {"height": 16, "width": 16},
                    "kind": "CLIPImageProcessor"}, 1e-5),
        ((40, 33), {}, 0.03),
        ((40, 33), {"resample": 3}, 0.03),
        ((24, 31), {"size": {"shortest_edge": 18}, "do_center_crop": True, "crop_size": {"height": 16, "width": 16},
                    "kind": "CLIPImageProcessor"}, 0.03),
    ],
)  # fmt: skip
def test_pictures_are_processed_as_by_the_models_own_processor(size, processor, tolerance, tmp_path):
    folder = picture_folder(tmp_path, **processor)
    model = ak.load_model(folder)
    assert isinstance(model.preprocessing, ImagePreprocessing)
    assert model.classes == ("cat", "dog", "eel")
    rough = np.random.default_rng(0).uniform(0, 255, (3, 3, 5, 4))
    smooth = torch.nn.functional.interpolate(torch.from_numpy(rough), size, mode="bicubic").clamp(0, 255)
    images = smooth.numpy().round().astype(np.uint8)
    split = ak.load_data((images, ["cat", "dog", "eel"]), schema=model.schema, label="label")
    own = transformers.AutoImageProcessor.from_pretrained(folder)
    pixels = own(images=[image.transpose(1, 2, 0) for image in images], return_tensors="pt")["pixel_values"]
    assert torch.allclose(model.encode(split)[0], pixels.float(), atol=1e-5 if tolerance < 0.01 else 2 / 255 / 0.2)
    theirs = transformers.ViTForImageClassification.from_pretrained(folder).eval()
    with torch.no_grad():
        expected, found = theirs(pixel_values=pixels.float()).logits, model.logits(model.encode(split))
    assert torch.allclose(found, expected, atol=tolerance, rtol=0)


def test_image_preprocessing_by_channel_survives_its_record_and_can_be_undone():
    given = ImagePreprocessing(
        divisor=255.0, mean=(0.4, 0.5, 0.6), scale=(0.2, 0.3, 0.25), shape=(3, 4, 4), resize=Resize(size=6)
    )
    assert parse_preprocessing(json.loads(given.model_dump_json()), "model.json") == given
    images = np.random.default_rng(0).integers(0, 256, (2, 3, 6, 9), dtype=np.uint8)
    split = ak.load_data((images, ["a", "b"]), label="label")
    (encoded,) = given.encode(split)
    middle = images[:, :, 1:5, 2:6] / 255
    assert np.allclose(given.restored(encoded.double().numpy()), middle, atol=1e-6)
    expected = (middle - np.reshape([0.4, 0.5, 0.6], (3, 1, 1))) / np.reshape([0.2, 0.3, 0.25], (3, 1, 1))
    assert np.allclose(encoded.numpy(), expected, atol=1e-5)
    for wrong in ({"mean": (0.5, 0.5)}, {"scale": (0.2, 0.0, 0.2)}, {"scale": 0.0}):
        with pytest.raises(InputError, match=r"mean and scale are one number|must be greater than 0"):
            parse_preprocessing({"kind": "image", "shape": [3, 4, 4], **wrong}, "audit.yaml: preprocessing")


def test_pictures_that_were_divided_already_are_told():
    given = ImagePreprocessing(divisor=255.0, shape=(1, 4, 4))
    images = np.random.default_rng(0).uniform(0, 1, (5, 4, 4))
    split = ak.load_data((images, list("ababa")), label="label")
    assert given.irregularities(split) == [("images", 5, "between 0 and 1 already, and divided by 255 again")]
    assert given.irregularities(ak.load_data((images * 255, list("ababa")), label="label")) == []


def test_a_processor_that_does_more_is_refused(tmp_path):
    folder = picture_folder(tmp_path)
    path = folder / "preprocessor_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "resample": 1}))
    with pytest.raises(InputError, match="resizes in a way not known here"):
        ak.load_model(folder)


def test_a_model_without_its_head_is_refused(tmp_path):
    folder = text_folder(tmp_path)
    from safetensors.torch import load_file, save_file

    weights = load_file(folder / "model.safetensors")
    save_file({k: v for k, v in weights.items() if not k.startswith("classifier")}, folder / "model.safetensors",
              metadata={"format": "pt"})  # fmt: skip
    with pytest.raises(InputError, match="would be made up at random"):
        ak.load_model(folder)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"architectures": ["BertForMaskedLM"]}, "is BertForMaskedLM; models for sequence classification"),
        ({"problem_type": "regression"}, "has 2 outputs, and of a regression one number"),
        ({"quantization_config": {"quant_method": "bitsandbytes", "load_in_8bit": True}}, "quantised"),
        ({"model_type": "own", "auto_map": {"AutoConfig": "own.Config"}}, "never run"),
        ({"hidden_size": 17}, "cannot build the network"),
    ],
)
def test_what_cannot_be_audited_is_refused_in_one_sentence(change, sentence, tmp_path):
    folder = text_folder(tmp_path)
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    (folder / "own.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\nclass Config: pass\n")
    with pytest.raises(InputError, match=sentence) as refused:
        ak.load_model(folder)
    assert "\n" not in str(refused.value)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("name", ["config.json", "tokenizer_config.json"])
def test_code_that_comes_with_a_known_kind_of_model_is_not_run(name, tmp_path):
    folder = text_folder(tmp_path)
    (folder / "own.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\nclass Own: pass\n")
    content = json.loads((folder / name).read_text())
    own = {"AutoConfig": "own.Own", "AutoModelForSequenceClassification": "own.Own", "AutoTokenizer": ["own.Own", None]}
    (folder / name).write_text(json.dumps({**content, "auto_map": own}))
    assert ak.load_model(folder).classes == ("bad", "good")
    assert not (tmp_path / "ran").exists()


def test_pickled_weights_need_trust_and_are_told(tmp_path):
    from safetensors.torch import load_file

    folder = text_folder(tmp_path)
    safe = ak.load_model(folder)
    torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    with pytest.raises(InputError, match="--trust"):
        ak.load_model(folder)
    model = ak.load_model(folder, trust=True)
    assert model.digest == safe.digest
    (told,) = model.caveats
    assert "pytorch_model.bin (SHA-256" in told.text


def test_a_tokenizer_is_named_for_a_network_file(tmp_path):
    text_folder(tmp_path / "sentiment")

    class Mean(torch.nn.Module):
        def __init__(self):
            super().__init__()
            torch.manual_seed(0)
            self.words, self.last = torch.nn.Embedding(90, 4), torch.nn.Linear(4, 2)

        def forward(self, ids, mask):
            return self.last((self.words(ids) * mask[..., None]).sum(dim=1) / mask.sum(dim=1, keepdim=True))

    net, rows = Mean().eval(), torch.export.Dim("rows")
    example = (torch.ones(4, 12, dtype=torch.int64), torch.ones(4, 12))
    program = torch.export.export(net, example, dynamic_shapes=({0: rows}, {0: rows}))
    torch.export.save(program, tmp_path / "net.pt2")
    frame().to_csv(tmp_path / "test.csv", index=False)
    spec = AuditSpec(
        model="net.pt2",
        preprocessing={"kind": "tokenizer", "column": "text", "tokenizer": "sentiment", "length": 12},
        data={"test": "test.csv"},
        columns={"label": "label", "classes": ["bad", "good"]},
    )
    subject = load_subject(spec, tmp_path)
    inputs = subject.model.encode(subject.of_role("test")[0])
    with torch.no_grad():
        assert torch.allclose(subject.model.logits(inputs), net(*inputs), atol=1e-6)


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json", "model.safetensors"])
def test_a_damaged_folder_is_refused_in_one_sentence(name, tmp_path):
    folder = text_folder(tmp_path)
    content = (folder / name).read_bytes()
    (folder / name).write_bytes(content[: len(content) // 2])
    with pytest.raises(InputError) as refused:
        ak.load_model(folder)
    assert "\n" not in str(refused.value)
    assert str(folder) in str(refused.value)


def cached(folder, cache, name: str = "org/tiny"):
    """The folder as huggingface_hub keeps a downloaded model."""
    snapshot = cache / f"models--{name.replace('/', '--')}" / "snapshots" / ("a" * 40)
    snapshot.parent.mkdir(parents=True)
    os.rename(folder, snapshot)
    (snapshot.parents[1] / "refs").mkdir()
    (snapshot.parents[1] / "refs" / "main").write_text("a" * 40)
    return snapshot


@pytest.mark.parametrize("name", ["org/tiny", "hf:org/tiny"])
def test_downloaded_models_are_found_by_name(name, tmp_path, monkeypatch):
    constants = pytest.importorskip("huggingface_hub.constants")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    cached(text_folder(tmp_path / "tiny"), tmp_path / "hub")
    model = ak.load_model(name)
    assert model.origin == f"org/tiny, revision {'a' * 40}, from the Hugging Face hub"


def test_a_downloaded_model_without_safetensors_is_refused(tmp_path, monkeypatch):
    constants = pytest.importorskip("huggingface_hub.constants")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    snapshot = cached(text_folder(tmp_path / "tiny"), tmp_path / "hub")
    (snapshot / "model.safetensors").rename(snapshot / "pytorch_model.bin")
    with pytest.raises(InputError, match="a pickled checkpoint can run any code"):
        ak.load_model("hf:org/tiny")


def test_a_name_that_is_not_downloaded_is_refused_offline(tmp_path, monkeypatch):
    constants = pytest.importorskip("huggingface_hub.constants")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(InputError, match="not among the downloaded models, and HF_HUB_OFFLINE forbids"):
        ak.load_model("hf:org/tiny")
    with pytest.raises(InputError, match="there is no such"):
        ak.load_model("org/tiny")
    with pytest.raises(InputError, match="not a name on the hub"):
        ak.load_model("hf:../etc/passwd")


def test_audit_yaml_names_the_folder_and_ids_are_labels(tmp_path):
    text_folder(tmp_path / "sentiment")
    rows = pd.DataFrame({"review": TEXTS * 3, "y": [1, 0, 1, 0, 1, 0] * 3})
    rows.to_csv(tmp_path / "test.csv", index=False)
    spec = AuditSpec(
        model="sentiment",
        data={"test": "test.csv"},
        columns={"label": "y", "features": ["review"], "positive": "1"},
    )
    subject = load_subject(spec, tmp_path)
    tokens = subject.model.preprocessing.tokens(subject.of_role("test")[0])
    assert subject.model.preprocessing.columns == ("review",)
    assert subject.model.preprocessing.length == max(len(row) for row in tokens)
    assert subject.schema.positive == "good"
    assert subject.of_role("test")[0].labels.tolist() == [1, 0, 1, 0, 1, 0] * 3


def test_a_whole_audit_of_text_through_the_command_line(tmp_path):
    folder = text_folder(tmp_path / "sentiment")
    words = ["good", "bad", "film", "delight", "boring", "acting", "the", "was", "and", "warm", "dull"]
    rng = np.random.default_rng(0)

    def rows(count: int) -> pd.DataFrame:
        texts = [" ".join(rng.choice(words, rng.integers(3, 9))) for _ in range(count)]
        return pd.DataFrame({"text": texts, "y": rng.integers(0, 2, count), "sex": rng.choice(["f", "m"], count)})

    splits = {"train": rows(80), "validation": rows(60), "test": rows(80), "strange": rows(30)}
    for name, split in splits.items():
        split.to_csv(tmp_path / f"{name}.csv", index=False)
    content = {
        "model": "sentiment",
        "data": {name: f"{name}.csv" for name in ("train", "validation", "test")} | {"ood": {"strange": "strange.csv"}},
        "columns": {"label": "y", "positive": 1, "sensitive": ["sex"]},
        "attribution": {"rows": 8}, "energy": {"seconds": 0.02, "blocks": 3}, "performance": {"replicates": 200},
        "fairness": {"replicates": 200, "intersections": False},
    }  # fmt: skip
    (tmp_path / "audit.yaml").write_text(yaml.safe_dump(content))
    ran = CliRunner().invoke(app, ["run", str(tmp_path / "audit.yaml"), "--out", str(tmp_path / "reports"), "--quiet"])
    assert ran.exit_code == 0, ran.output
    (record,) = (tmp_path / "reports").rglob("audit.json")
    audit = open_audit(record.parent)
    done = {row.analysis for row in audit.rows if row.status == "ok"}
    assert done == {"performance", "fairness", "attribution", "activations", "ood", "energy", "insights"}
    pipeline = transformers.pipeline("text-classification", model=str(folder), device="cpu")
    decided = np.array([one["label"] == "good" for one in pipeline(splits["test"]["text"].tolist())])
    (accuracy,) = [row for row in audit.rows if row.name == "performance/accuracy" and row.split == "test"]
    assert accuracy.value == pytest.approx((decided == (splits["test"]["y"] == 1)).mean())


SEVERAL = {"problem_type": "multi_label_classification", "num_labels": 3}


def test_several_labels_are_known_by_the_config(tmp_path):
    names = {0: "toxic", 1: "insult", 2: "threat"}
    folder = text_folder(tmp_path, **SEVERAL, id2label=names, label2id={name: at for at, name in names.items()})
    model = ak.load_model(folder)
    assert (model.task, model.classes) == ("multilabel", tuple(names.values()))
    split = ak.load_data(pd.DataFrame({"text": TEXTS, **dict.fromkeys(names.values(), 0)}), schema=model.schema)
    own = transformers.AutoModelForSequenceClassification.from_pretrained(folder).eval()
    tokens = transformers.AutoTokenizer.from_pretrained(folder)(TEXTS, padding=True, return_tensors="pt")
    with torch.no_grad():
        theirs = own(input_ids=tokens["input_ids"], attention_mask=tokens["attention_mask"]).logits
        ours = model.logits(model.encode(split))
    assert torch.allclose(ours, theirs, atol=1e-5)
    with pytest.raises(InputError, match="a model of multilabel, not of classification"):
        ak.load_model(folder, task="classification")
    with pytest.raises(InputError, match="labels toxic, insult, threat, in this order"):
        ak.load_model(folder, classes=["insult", "toxic", "threat"])


def test_several_labels_are_named_by_their_columns_or_said_by_the_caller(tmp_path):
    unnamed = {"id2label": {place: f"LABEL_{place}" for place in range(3)}, "label2id": None}
    folder = text_folder(tmp_path / "unnamed", **SEVERAL, **unnamed)
    assert ak.load_model(folder, classes=["a", "b", "c"]).classes == ("a", "b", "c")
    plain = text_folder(tmp_path / "plain")
    assert ak.load_model(plain).task == "classification"
    said = ak.load_model(plain, task="multilabel", classes=["is_bad", "is_good"])
    assert (said.task, said.classes) == ("multilabel", ("bad", "good"))
