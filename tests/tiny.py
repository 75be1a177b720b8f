"""A tiny BERT with random weights, written with onnx.helper in the ways that exporters write it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

VOCABULARY = (
    "[PAD] [UNK] [CLS] [SEP] [MASK] the a cat dog sat on mat and ran far away from red blue big "
    "##s ##ing ! ."
).split()
HIDDEN, HEADS, INNER, POSITIONS = 16, 2, 32, 64


class _Writer:
    def __init__(self, opset: int, seed: int) -> None:
        self.opset = opset
        self.random = np.random.default_rng(seed)
        self.nodes: list[Any] = []
        self.weights: dict[str, NDArray[Any]] = {}

    def weight(self, name: str, *shape: int, scale: float = 0.3) -> str:
        return self.const(self.random.normal(0, scale, shape).astype(np.float32), name)

    def const(self, value: Any, name: str = "") -> str:
        name = name or f"const_{len(self.weights)}"
        self.weights[name] = np.asarray(value)
        return name

    def op(self, kind: str, *inputs: str, **attributes: Any) -> str:
        output = f"{kind}_{len(self.nodes)}_out"
        name = f"{kind}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, inputs, [output], name=name, **attributes))
        return output

    def mean(self, x: str) -> str:
        if self.opset < 18:
            return self.op("ReduceMean", x, axes=[-1])
        return self.op("ReduceMean", x, self.const(np.array([-1])))

    def norm(self, x: str, name: str) -> str:
        scale = self.const(
            1 + 0.1 * self.random.normal(size=HIDDEN).astype(np.float32), f"{name}.weight"
        )
        shift = self.weight(f"{name}.bias", HIDDEN)
        if self.opset >= 17:
            return self.op("LayerNormalization", x, scale, shift, epsilon=1e-12)
        centred = self.op("Sub", x, self.mean(x))
        variance = self.mean(self.op("Pow", centred, self.const(np.float32(2))))
        std = self.op("Sqrt", self.op("Add", variance, self.const(np.float32(1e-12))))
        return self.op("Add", self.op("Mul", self.op("Div", centred, std), scale), shift)

    def linear(self, x: str, name: str, rows: int, columns: int) -> str:
        product = self.op("MatMul", x, self.weight(f"{name}.weight", rows, columns))
        return self.op("Add", product, self.weight(f"{name}.bias", columns))

    def gelu(self, x: str) -> str:
        if self.opset >= 20:
            return self.op("Gelu", x)
        e = self.op("Erf", self.op("Div", x, self.const(np.float32(np.sqrt(2)))))
        return self.op(
            "Mul",
            self.op("Mul", x, self.op("Add", e, self.const(np.float32(1)))),
            self.const(np.float32(0.5)),
        )


def bert(
    *,
    opset: int = 17,
    layers: int = 2,
    head: bool = False,
    prefix: str = "bert.",
    pre_norm: bool = False,
    seed: int = 0,
) -> onnx.ModelProto:
    """Inputs input_ids, attention_mask, token_type_ids; output last_hidden_state, or logits."""
    w = _Writer(opset, seed)
    axes = w.const(np.array([1, 2]))
    mask = (
        w.op("Unsqueeze", "attention_mask", axes=[1, 2])
        if opset < 13
        else w.op("Unsqueeze", "attention_mask", axes)
    )
    bias = w.op(
        "Mul",
        w.op("Sub", w.const(np.float32(1)), w.op("Cast", mask, to=TensorProto.FLOAT)),
        w.const(np.finfo(np.float32).min),
    )
    length = w.op("Gather", w.op("Shape", "input_ids"), w.const(np.array([1])), axis=0)
    positions = w.op(
        "Slice",
        w.const(np.arange(POSITIONS)[None]),
        w.const(np.array([0])),
        length,
        w.const(np.array([1])),
    )
    tables = prefix + "embeddings."
    x = w.op(
        "Gather",
        w.weight(f"{tables}word_embeddings.weight", len(VOCABULARY), HIDDEN, scale=1),
        "input_ids",
    )
    x = w.op(
        "Add",
        x,
        w.op(
            "Gather", w.weight(f"{tables}token_type_embeddings.weight", 2, HIDDEN), "token_type_ids"
        ),
    )
    x = w.op(
        "Add",
        x,
        w.op(
            "Gather", w.weight(f"{tables}position_embeddings.weight", POSITIONS, HIDDEN), positions
        ),
    )
    x = x if pre_norm else w.norm(x, f"{tables}LayerNorm")
    for i in range(layers):
        x = _layer(w, x, bias, f"{prefix}encoder.layer.{i}.", pre_norm)
    x = w.norm(x, f"{prefix}final_norm") if pre_norm else x
    output, width = ("logits", len(VOCABULARY)) if head else ("last_hidden_state", HIDDEN)
    if head:
        x = w.norm(w.gelu(w.linear(x, "cls.transform", HIDDEN, HIDDEN)), "cls.transform.LayerNorm")
        x = w.linear(x, "cls.decoder", HIDDEN, width)
    w.nodes.append(helper.make_node("Identity", [x], [output], name="output"))
    ids = [
        helper.make_tensor_value_info(n, TensorProto.INT64, ["batch", "sequence"])
        for n in ("input_ids", "attention_mask", "token_type_ids")
    ]
    made = helper.make_tensor_value_info(output, TensorProto.FLOAT, ["batch", "sequence", width])
    weights = [numpy_helper.from_array(v, n) for n, v in w.weights.items()]
    graph = helper.make_graph(w.nodes, "tiny", ids, [made], weights)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)


def _layer(w: _Writer, x: str, bias: str, name: str, pre_norm: bool) -> str:
    size = HIDDEN // HEADS
    heads, merged = w.const(np.array([0, 0, HEADS, size])), w.const(np.array([0, 0, HIDDEN]))

    def split(value: str, part: str, order: list[int]) -> str:
        projected = w.linear(value, f"{name}attention.self.{part}", HIDDEN, HIDDEN)
        return w.op("Transpose", w.op("Reshape", projected, heads), perm=order)

    value = w.norm(x, f"{name}attention.LayerNorm") if pre_norm else x
    q, k = split(value, "query", [0, 2, 1, 3]), split(value, "key", [0, 2, 3, 1])
    scores = w.op("Div", w.op("MatMul", q, k), w.const(np.float32(np.sqrt(size))))
    weights = w.op("Softmax", w.op("Add", scores, bias), axis=-1 if w.opset >= 13 else 3)
    context = w.op("MatMul", weights, split(value, "value", [0, 2, 1, 3]))
    context = w.op("Reshape", w.op("Transpose", context, perm=[0, 2, 1, 3]), merged)
    x = w.op("Add", w.linear(context, f"{name}attention.output.dense", HIDDEN, HIDDEN), x)
    if not pre_norm:
        x = w.norm(x, f"{name}attention.output.LayerNorm")
    value = w.norm(x, f"{name}LayerNorm") if pre_norm else x
    inner = w.gelu(w.linear(value, f"{name}intermediate.dense", HIDDEN, INNER))
    x = w.op("Add", w.linear(inner, f"{name}output.dense", INNER, HIDDEN), x)
    return x if pre_norm else w.norm(x, f"{name}output.LayerNorm")


def deployment(
    folder: Path,
    model: onnx.ModelProto | None = None,
    *,
    place: str = "model.onnx",
    pooling: dict[str, Any] | None = None,
) -> Path:
    """A model folder: the model, its tokenizer, config.json, and pooling if asked for."""
    (folder / place).parent.mkdir(parents=True, exist_ok=True)
    onnx.save(model or bert(), folder / place)
    (folder / "tokenizer.json").write_text(tokenizer_json())
    (folder / "tokenizer_config.json").write_text(
        json.dumps({"pad_token": "[PAD]", "cls_token": "[CLS]", "model_max_length": 48})
    )
    (folder / "config.json").write_text(
        json.dumps(
            {"model_type": "bert", "max_position_embeddings": POSITIONS, "hidden_size": HIDDEN}
        )
    )
    if pooling is not None:
        (folder / "1_Pooling").mkdir()
        (folder / "1_Pooling" / "config.json").write_text(json.dumps(pooling))
        modules = [("Transformer", ""), ("Pooling", "1_Pooling"), ("Normalize", "2_Normalize")]
        (folder / "modules.json").write_text(
            json.dumps(
                [
                    {
                        "idx": i,
                        "name": str(i),
                        "path": path,
                        "type": f"sentence_transformers.models.{kind}",
                    }
                    for i, (kind, path) in enumerate(modules)
                ]
            )
        )
    return folder


def tokenizer_json() -> str:
    """A WordPiece tokenizer that, like many files, brings truncation and padding of its own."""
    from tokenizers import Tokenizer, normalizers, pre_tokenizers, processors
    from tokenizers.models import WordPiece

    vocabulary = {token: i for i, token in enumerate(VOCABULARY)}
    tokenizer = Tokenizer(WordPiece(vocabulary, unk_token="[UNK]"))
    tokenizer.add_special_tokens(VOCABULARY[:5])
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.TemplateProcessing(
        "[CLS] $A [SEP]", "[CLS] $A [SEP] $B:1 [SEP]:1", [("[CLS]", 2), ("[SEP]", 3)]
    )
    tokenizer.enable_truncation(6)
    tokenizer.enable_padding(length=6)
    return str(tokenizer.to_str())


def cached(folder: Path) -> Path:
    """A deployment whose model is a link, as Hugging Face's cache has it."""
    place = deployment(folder)
    blob = (place / "model.onnx").rename(place.parent / "blob")
    (place / "model.onnx").symlink_to(blob)
    return place
