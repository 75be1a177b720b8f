"""Write a trained student as a deployment folder: model.onnx, configuration and tokenizer files.

The graph follows SparseML's quantized BERT: uint8 embedding tables, statically quantized
activations, QuantizeLinear -> MatMulInteger -> Add (int32 bias) -> Cast -> Mul for every dense
layer, weights symmetric around 128. Everything else is float32 and made of plain operators (opset
13). The folder is then checked: zeros in every encoder matrix, agreement of the simulation with
onnxruntime, and steadiness of the sentence embeddings under tiny changes.
"""

import argparse
import json
import pathlib
import shutil

import numpy as np
import onnx
import onnxruntime
import torch
from onnx import TensorProto, helper, numpy_helper
from student import MASKED, Activation, Linear, Student, load_student, weight_scale
from train import encode, pad

POOLING = {
    "word_embedding_dimension": 256,
    "pooling_mode_cls_token": False,
    "pooling_mode_mean_tokens": True,
    "pooling_mode_max_tokens": False,
    "pooling_mode_mean_sqrt_len_tokens": False,
}
MODULES = (
    (0, "0", "", "Transformer"),
    (1, "1", "1_Pooling", "Pooling"),
    (2, "2", "2_Normalize", "Normalize"),
)
TOKENS = {
    "cls_token": "[CLS]",
    "mask_token": "[MASK]",
    "pad_token": "[PAD]",
    "sep_token": "[SEP]",
    "unk_token": "[UNK]",
}


class Graph:
    """Collects nodes and initializers; every method returns the name of the value it made."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.tensors: dict[str, np.ndarray] = {}

    def constant(self, name: str, value: np.ndarray | np.generic) -> str:
        """An initializer."""
        self.tensors[name] = np.ascontiguousarray(value).reshape(np.shape(value))
        return name

    def number(self, value: float) -> str:
        """A float32 scalar."""
        return self.constant(f"value_{value:.9g}", np.float32(value))

    def node(self, kind: str, name: str, *inputs: str, **attributes: object) -> str:
        """A node with one output."""
        self.nodes.append(
            helper.make_node(kind, list(inputs), [f"{name}_output_0"], name=name, **attributes)
        )
        return f"{name}_output_0"

    def quantize(self, x: str, name: str, point: Activation) -> tuple[str, str, float]:
        """The quantized value, its zero point and its scale."""
        scale = self.constant(f"{name[1:].replace('/', '.')}.scale", np.float32(point.scale))
        zero = self.constant(f"{name[1:].replace('/', '.')}.zero_point", np.uint8(point.zero_point))
        return (
            self.node("QuantizeLinear", f"{name}/QuantizeLinear", x, scale, zero),
            zero,
            point.scale,
        )

    def table(self, weight: torch.Tensor, ids: str, name: str) -> str:
        """Rows of an 8-bit table."""
        unit = weight_scale(weight)
        path = "/" + name.replace(".", "/")
        table = self.constant(f"{name}.weight_quantized", unsigned(weight, unit))
        scale = self.constant(f"{name}.weight_scale", np.float32(unit))
        rows = self.node("Gather", f"{path}/Gather_quant", table, ids, axis=0)
        return self.node("DequantizeLinear", f"{path}/DequantizeLinear", rows, scale, self.middle)

    @property
    def middle(self) -> str:
        """The zero point of all weights, which are symmetric."""
        return self.constant("weight_zero_point", np.uint8(128))

    def linear(self, entry: tuple[str, str, float], layer: Linear, name: str) -> str:
        """A dense layer on a quantized value."""
        x, zero, scale = entry
        weight = layer.weight.detach() * layer.mask
        unit = weight_scale(weight)
        path = "/" + name.replace("layer.", "layer~").replace(".", "/").replace("~", ".")
        table = self.constant(f"{name}.weight_quantized", unsigned(weight, unit).T)
        whole = np.rint(layer.bias.detach().numpy().astype(np.float64) / (scale * unit)).astype(
            np.int32
        )
        y = self.node("MatMulInteger", f"{path}/MatMul_quant", x, table, zero, self.middle)
        y = self.node("Add", f"{path}/Add_quant", y, self.constant(f"{name}.bias_quantized", whole))
        return self.rescale(y, scale * unit, path)

    def rescale(self, y: str, scale: float, path: str) -> str:
        """An int32 product as float32."""
        y = self.node("Cast", f"{path}/Cast", y, to=TensorProto.FLOAT)
        name = path[1:].replace("/", ".") + ".rescale.scale"
        return self.node("Mul", f"{path}/Mul_rescale", y, self.constant(name, np.float32(scale)))

    def norm(self, x: str, layer: torch.nn.LayerNorm, name: str) -> str:
        """LayerNorm in plain operators."""
        path = "/" + name.replace("layer.", "layer~").replace(".", "/").replace("~", ".")
        centred = self.node(
            "Sub", f"{path}/Sub", x, self.node("ReduceMean", f"{path}/ReduceMean", x, axes=[-1])
        )
        square = self.node("Pow", f"{path}/Pow", centred, self.number(2))
        variance = self.node("ReduceMean", f"{path}/ReduceMean_1", square, axes=[-1])
        spread = self.node(
            "Sqrt",
            f"{path}/Sqrt",
            self.node("Add", f"{path}/Add", variance, self.number(layer.eps)),
        )
        y = self.node("Div", f"{path}/Div", centred, spread)
        weight = self.constant(f"{name}.weight", layer.weight.detach().numpy())
        bias = self.constant(f"{name}.bias", layer.bias.detach().numpy())
        return self.node("Add", f"{path}/Add_1", self.node("Mul", f"{path}/Mul", y, weight), bias)

    def gelu(self, x: str, path: str) -> str:
        """The exact GELU in plain operators."""
        y = self.node("Erf", f"{path}/Erf", self.node("Div", f"{path}/Div", x, self.number(2**0.5)))
        y = self.node("Mul", f"{path}/Mul", x, self.node("Add", f"{path}/Add", y, self.number(1)))
        return self.node("Mul", f"{path}/Mul_1", y, self.number(0.5))

    def product(
        self, left: str, right: str, points: tuple[Activation, Activation], path: str
    ) -> str:
        """The matrix product of two activations, in 8 bits where their quantization is on."""
        a, a_zero, a_scale = self.quantize(left, f"{path}/left", points[0])
        b, b_zero, b_scale = self.quantize(right, f"{path}/right", points[1])
        y = self.node("MatMulInteger", f"{path}_quant", a, b, a_zero, b_zero)
        return self.rescale(y, a_scale * b_scale, path)


def unsigned(weight: torch.Tensor, unit: float) -> np.ndarray:
    return (np.rint(weight.detach().numpy() / np.float32(unit)).clip(-127, 127) + 128).astype(
        np.uint8
    )


def attention(graph: Graph, x: str, bias: str, part: torch.nn.Module, name: str) -> str:
    path = "/" + name.replace("layer.", "layer~").replace(".", "/").replace("~", ".")
    entry = graph.quantize(x, f"{path}/input", part.entry)
    width = part.query.out_features // part.heads
    split = graph.constant("split_heads", np.array([0, 0, part.heads, width]))
    heads = []
    for piece, order in (("query", (0, 2, 1, 3)), ("key", (0, 2, 3, 1)), ("value", (0, 2, 1, 3))):
        y = graph.linear(entry, getattr(part, piece), f"{name}.{piece}")
        y = graph.node("Reshape", f"{path}/{piece}/Reshape", y, split)
        heads.append(graph.node("Transpose", f"{path}/{piece}/Transpose", y, perm=order))
    scores = graph.product(heads[0], heads[1], (part.query_out, part.key_out), f"{path}/MatMul")
    scores = graph.node("Div", f"{path}/Div", scores, graph.number(width**0.5))
    scores = graph.node("Add", f"{path}/Add", scores, bias)
    weights = graph.node("Softmax", f"{path}/Softmax", scores, axis=-1)
    y = graph.product(weights, heads[2], (part.probabilities, part.value_out), f"{path}/MatMul_1")
    y = graph.node("Transpose", f"{path}/Transpose", y, perm=(0, 2, 1, 3))
    return graph.node(
        "Reshape", f"{path}/Reshape", y, graph.constant("merge_heads", np.array([0, 0, -1]))
    )


def build(student: Student) -> onnx.ModelProto:
    graph = Graph()
    config = student.config
    axes = graph.constant("mask_axes", np.array([1, 2]))
    mask = graph.node("Unsqueeze", "/bert/Unsqueeze", "attention_mask", axes)
    mask = graph.node("Cast", "/bert/Cast", mask, to=TensorProto.FLOAT)
    bias = graph.node(
        "Mul",
        "/bert/Mul",
        graph.node("Sub", "/bert/Sub", graph.number(1), mask),
        graph.number(MASKED),
    )
    length = graph.node("Shape", "/bert/embeddings/Shape", "input_ids")
    length = graph.node(
        "Slice",
        "/bert/embeddings/Slice",
        length,
        graph.constant("one", np.array([1])),
        graph.constant("two", np.array([2])),
        graph.constant("zero", np.array([0])),
    )
    places = graph.constant(
        "bert.embeddings.position_ids", np.arange(config.max_position_embeddings)[None]
    )
    places = graph.node("Slice", "/bert/embeddings/Slice_1", places, "zero", length, "one")
    embeddings = student.bert["embeddings"]
    prefix = "bert.embeddings"
    x = graph.table(embeddings.word_embeddings.weight, "input_ids", f"{prefix}.word_embeddings")
    types = graph.constant(
        f"{prefix}.token_type_embeddings.weight",
        embeddings.token_type_embeddings.weight.detach().numpy(),
    )
    y = graph.node(
        "Gather", "/bert/embeddings/token_type_embeddings/Gather", types, "token_type_ids", axis=0
    )
    x = graph.node("Add", "/bert/embeddings/Add", x, y)
    y = graph.table(embeddings.position_embeddings.weight, places, f"{prefix}.position_embeddings")
    x = graph.norm(
        graph.node("Add", "/bert/embeddings/Add_1", x, y),
        embeddings.LayerNorm,
        f"{prefix}.LayerNorm",
    )
    for i, layer in enumerate(student.layers):
        name, path = f"bert.encoder.layer.{i}", f"/bert/encoder/layer.{i}"
        y = attention(graph, x, bias, layer.attention["self"], f"{name}.attention.self")
        for part, value in (("attention.output", y), ("output", None)):
            output = layer.attention["output"] if value else layer.output
            if value is None:
                dense = layer.intermediate["dense"]
                entry = graph.quantize(x, f"{path}/intermediate/input", layer.intermediate["entry"])
                value = graph.linear(entry, dense, f"{name}.intermediate.dense")
                value = graph.gelu(value, f"{path}/intermediate/intermediate_act_fn")
            slashed = part.replace(".", "/")
            entry = graph.quantize(value, f"{path}/{slashed}/input", output.entry)
            y = graph.linear(entry, output.dense, f"{name}.{part}.dense")
            y = graph.node("Add", f"{path}/{slashed}/Add", y, x)
            x = graph.norm(y, output.LayerNorm, f"{name}.{part}.LayerNorm")
    y = graph.linear(
        graph.quantize(x, "/projection/input", student.entry), student.projection, "projection"
    )
    graph.nodes[-1].output[0] = "projection"
    inputs = [
        helper.make_tensor_value_info(name, TensorProto.INT64, ["batch", "sequence"])
        for name in ("input_ids", "attention_mask", "token_type_ids")
    ]
    output = helper.make_tensor_value_info(
        "projection", TensorProto.FLOAT, ["batch", "sequence", config.projection_size]
    )
    tensors = [numpy_helper.from_array(value, name) for name, value in graph.tensors.items()]
    proto = helper.make_graph(graph.nodes, "bert", inputs, [output], tensors)
    model = helper.make_model(proto, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    model.producer_name = "embedx-recipe"
    onnx.checker.check_model(model, full_check=True)
    return model


def write_json(path: pathlib.Path, value: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value, indent=2) + "\n", "utf-8")


def write_folder(folder: pathlib.Path, student: Student, tokenizer: pathlib.Path) -> None:
    config = student.config
    folder.mkdir(parents=True, exist_ok=True)
    onnx.save(build(student), folder / "model.onnx")
    shutil.copy(tokenizer, folder / "tokenizer.json")
    write_json(
        folder / "config.json",
        {
            "architectures": ["BertModel"],
            "model_type": "bert",
            "hidden_act": "gelu",
            "vocab_size": config.vocab_size,
            "hidden_size": config.hidden_size,
            "num_hidden_layers": config.num_hidden_layers,
            "num_attention_heads": config.num_attention_heads,
            "intermediate_size": config.intermediate_size,
            "max_position_embeddings": config.max_position_embeddings,
            "layer_norm_eps": config.layer_norm_eps,
            "type_vocab_size": 2,
            "pad_token_id": 0,
            "position_embedding_type": "absolute",
            "hidden_dropout_prob": 0.0,
            "attention_probs_dropout_prob": 0.0,
            "initializer_range": 0.02,
        },
    )
    write_json(
        folder / "tokenizer_config.json",
        {
            **TOKENS,
            "do_lower_case": True,
            "strip_accents": None,
            "tokenize_chinese_chars": True,
            "model_max_length": config.max_position_embeddings,
            "tokenizer_class": "BertTokenizer",
        },
    )
    write_json(folder / "special_tokens_map.json", TOKENS)
    write_json(
        folder / "modules.json",
        [
            {"idx": i, "name": name, "path": path, "type": f"sentence_transformers.models.{kind}"}
            for i, name, path, kind in MODULES
        ],
    )
    write_json(folder / "1_Pooling" / "config.json", POOLING)
    write_json(
        folder / "sentence_bert_config.json",
        {"max_seq_length": config.max_position_embeddings, "do_lower_case": False},
    )


def embeddings(model: onnx.ModelProto, ids: list[np.ndarray], optimize: bool = True) -> np.ndarray:
    """Sentence embeddings by onnxruntime: the masked mean of the last LayerNorm, normalised."""
    last = max(
        (n.output[0] for n in model.graph.node if n.name.endswith("/output/LayerNorm/Add_1")),
        key=lambda name: (int(name.split("layer.")[1].split("/")[0]), "attention" not in name),
    )
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    copy.graph.output.append(helper.make_tensor_value_info(last, TensorProto.FLOAT, None))
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    levels = onnxruntime.GraphOptimizationLevel
    options.graph_optimization_level = levels.ORT_ENABLE_ALL if optimize else levels.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(
        copy.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    rows = []
    for start in range(0, len(ids), 32):
        table, mask = (part.numpy() for part in pad(ids[start : start + 32]))
        feed = {"input_ids": table, "attention_mask": mask, "token_type_ids": np.zeros_like(table)}
        hidden = session.run([last], feed)[0]
        weights = mask[..., None].astype(np.float32)
        rows.append((hidden * weights).sum(1) / weights.sum(1))
    found = np.concatenate(rows)
    return found / np.linalg.norm(found, axis=1, keepdims=True)


def check(folder: pathlib.Path, student: Student, texts: list[str]) -> None:
    model = onnx.load(folder / "model.onnx")
    size = (folder / "model.onnx").stat().st_size
    weights = {t.name: numpy_helper.to_array(t) for t in model.graph.initializer}
    zeros = [
        float((w == 128).mean())
        for n, w in weights.items()
        if "encoder" in n and "weight_quantized" in n
    ]
    print(
        f"{size} bytes, {len(model.graph.node)} nodes, {len(zeros)} encoder matrices, "
        f"zeros {min(zeros):.4f} to {max(zeros):.4f}"
    )
    ids = encode(folder / "tokenizer.json", texts)
    found = embeddings(model, ids)
    student.eval()
    with torch.inference_mode():
        parts = [student.embed(*pad(ids[i : i + 32])).numpy() for i in range(0, len(ids), 32)]
    simulated = np.concatenate(parts)
    simulated /= np.linalg.norm(simulated, axis=1, keepdims=True)
    alone = np.concatenate([embeddings(model, [line]) for line in ids[:32]])
    changed = onnx.ModelProto()
    changed.CopyFrom(model)
    rng = np.random.default_rng(0)
    for tensor in changed.graph.initializer:
        if tensor.name.endswith("LayerNorm.weight"):
            value = numpy_helper.to_array(tensor)
            noise = 1 + 1e-7 * rng.standard_normal(value.shape)
            tensor.CopyFrom(
                numpy_helper.from_array((value * noise).astype(np.float32), tensor.name)
            )
    others = {
        "simulation": simulated,
        "unoptimised graph": embeddings(model, ids, optimize=False),
        "LayerNorm weights changed by 1e-7": embeddings(changed, ids),
    }
    for name, other in others.items():
        cosines = (found * other).sum(1)
        print(f"{name}: cosine lowest {cosines.min():.6f}, mean {cosines.mean():.6f}")
    print(f"each sentence alone: cosine lowest {(alone * found[:32]).sum(1).min():.6f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("checkpoint", type=pathlib.Path)
    parser.add_argument("--data", type=pathlib.Path, default=pathlib.Path("data"))
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path("release"))
    args = parser.parse_args()
    torch.set_num_threads(1)
    student = load_student(args.checkpoint)
    student.quantize(active=True)
    write_folder(args.out, student, args.data / "tokenizer.json")
    check(
        args.out,
        student,
        (args.data / "heldout_technical.txt").read_text("utf-8").splitlines()[:500],
    )


if __name__ == "__main__":
    main()
