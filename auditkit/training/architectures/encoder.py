"""A pre-trained text encoder with a new head: any encoder that transformers can build, then a mean over pieces.

    architecture: auditkit.training.architectures.encoder:Encoder
    pretrained: {source: minilm/}         # a folder with config.json, model.safetensors and tokenizer.json

The configuration travels in the bundle as an argument, so that the network can be built again without the folder it
came from. Code that comes with a model is never run. Sentence vectors are the mean of the pieces' last hidden states,
as in Sentence-BERT (Reimers and Gurevych 2019, arXiv:1908.10084).
"""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from auditkit.errors import InputError

NEEDS = 'a pre-trained text encoder needs the extra huggingface: pip install "auditkit[huggingface]"'


class Encoder(nn.Module):
    """`(ids int64 [n, L], mask [n, L]) -> logits [n, classes]`.

    config: what the model's config.json says. words, length: what the tokenizer brings; ids must be rows of the
    encoder's word embedding.
    """

    def __init__(
        self,
        config: dict[str, Any],
        classes: int,
        words: int | None = None,
        length: int | None = None,
        dropout: float = 0.1,
    ) -> None:
        super().__init__()
        self.body = build(config)
        made: Any = self.body.config
        width, known = int(made.hidden_size), int(made.vocab_size)
        if words is not None and words > known:
            raise InputError(
                f"the tokenizer has {words:,} pieces, the encoder knows {known:,}: they do not belong together"
            )
        longest = getattr(made, "max_position_embeddings", None)
        if length is not None and longest is not None and length > longest:
            raise InputError(f"texts of {length} pieces are longer than the {longest} that the encoder was built for")
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(width, classes)

    def forward(self, ids: Tensor, mask: Tensor) -> Tensor:
        """Logits [n, classes]."""
        if self.training:  # what only fills up costs as much as words do
            longest = int(mask.sum(dim=1).max())
            ids, mask = ids[:, :longest], mask[:, :longest]
        hidden = self.body(input_ids=ids, attention_mask=mask.long()).last_hidden_state
        weights = mask.to(hidden.dtype)[..., None]
        pooled = (hidden * weights).sum(dim=1) / weights.sum(dim=1).clamp_min(1.0)
        return self.head(self.dropout(pooled))


def build(config: dict[str, Any]) -> nn.Module:
    """The encoder of a config.json, its weights random. Raises InputError where transformers has no such encoder."""
    try:
        import transformers
    except ImportError:
        raise InputError(NEEDS) from None
    known = dict(config)
    kind = str(known.pop("model_type", ""))
    try:
        made = transformers.AutoConfig.for_model(kind, **known)
        body: Any = transformers.AutoModel.from_config(made, attn_implementation="eager", trust_remote_code=False)
    except (ValueError, KeyError, TypeError) as problem:
        raise InputError(
            f"transformers builds no encoder of the kind {kind!r} ({str(problem).splitlines()[0]})"
        ) from None
    if hasattr(body, "pooler"):
        body.pooler = None  # a layer of its own on the first piece, which the mean does not use
    found: nn.Module = body
    return found
