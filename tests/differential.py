"""Graphs that match a rule, nearly match it, or are random; and whether optimizing changes them.

Used by the tests of the rules. Run as a script it looks at as many graphs as asked for:
``python -m tests.differential COUNT [SEED]``.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import onnx
import onnx.parser
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from embedx.errors import EmbedxError
from embedx.rewrite.element_types import FLOATS
from embedx.rewrite.retype import carry_halves_wide
from embedx.run.engine import Engine
from embedx.run.prepare import RULES

Random = np.random.Generator
_FLOAT_CODES = (TensorProto.FLOAT, TensorProto.DOUBLE, TensorProto.FLOAT16, TensorProto.BFLOAT16)


def parsed(example: str, opset: int = 17) -> onnx.ModelProto:
    """The model of a graph in ONNX's text format."""
    imports = [helper.make_opsetid("", opset), helper.make_opsetid("com.microsoft", 1)]
    graph = onnx.parser.parse_graph(example)
    for value in (*graph.input, *graph.output):
        value.type.tensor_type.ClearField("shape")
    return helper.make_model(graph, opset_imports=imports, ir_version=8)


# ------------------------------------------------------------------------------------- mutations


def _pick(random: Random, items: Any) -> Any:
    items = list(items)
    return items[random.integers(len(items))] if items else None


def _constants(graph: Any) -> Iterator[Any]:
    return (t for t in graph.initializer if t.data_type in _FLOAT_CODES)


def _replace(graph: Any, tensor: Any, array: NDArray[Any]) -> None:
    tensor.CopyFrom(numpy_helper.from_array(np.asarray(array), tensor.name))


def _inner_edges(graph: Any) -> list[str]:
    return [name for node in graph.node for name in node.output]


def change_axis(graph: Any, random: Random) -> None:
    """Another axis of a reduction or of Softmax."""
    node = _pick(random, (n for n in graph.node if n.op_type in ("ReduceMean", "Softmax")))
    if node is None:
        return
    axis = int(random.integers(-3, 4))
    for attribute in node.attribute:
        if attribute.name == "axes":
            attribute.ints[:] = [axis] if random.random() < 0.7 else [axis, -1]
        elif attribute.name == "axis":
            attribute.i = axis


def change_keepdims(graph: Any, random: Random) -> None:
    """A reduction that drops its axis."""
    node = _pick(random, (n for n in graph.node if n.op_type.startswith("Reduce")))
    if node is not None and not any(a.name == "keepdims" for a in node.attribute):
        node.attribute.append(helper.make_attribute("keepdims", int(random.integers(2))))


def change_number(graph: Any, random: Random) -> None:
    """Another value of a constant."""
    tensor = _pick(random, _constants(graph))
    if tensor is None:
        return
    array = numpy_helper.to_array(tensor)
    factor = _pick(random, [0.5, 2, -1, 1.01, 1e-3, 1.5, 0, 1e6])
    _replace(graph, tensor, (array.astype(np.float64) * factor).astype(array.dtype))


def change_shape_of_constant(graph: Any, random: Random) -> None:
    """A constant with other axes, or of one element."""
    tensor = _pick(random, _constants(graph))
    if tensor is None:
        return
    array = numpy_helper.to_array(tensor)
    shapes = [(1,), (1, 1), (1, 1, 1), (1, 1, 1, 1)] if array.size == 1 else [(1, 4), (1, 1, 4)]
    if array.size == 1 and random.random() < 0.3:
        _replace(graph, tensor, np.full(4, array.reshape(-1)[0]))
    elif array.size > 1 and random.random() < 0.5:
        _replace(graph, tensor, array.reshape(-1)[: _pick(random, [1, 2, 3])])
    elif array.size in (1, 4):
        _replace(graph, tensor, array.reshape(_pick(random, shapes)))


def constant_to_input(graph: Any, random: Random) -> None:
    """A constant that is fed, or that can be."""
    tensor = _pick(random, graph.initializer)
    if tensor is None:
        return
    graph.input.append(helper.make_tensor_value_info(tensor.name, tensor.data_type, None))
    if random.random() < 0.5:
        graph.initializer.remove(tensor)


def add_consumer(graph: Any, random: Random) -> None:
    """Another node that reads an inner edge."""
    edge = _pick(random, _inner_edges(graph))
    name = f"extra{len(graph.node)}"
    graph.node.append(helper.make_node("Neg", [edge], [name]))
    graph.output.append(onnx.ValueInfoProto(name=name))


def make_output(graph: Any, random: Random) -> None:
    """An inner edge that is an output."""
    edge = _pick(random, _inner_edges(graph))
    if edge not in {o.name for o in graph.output}:
        graph.output.append(onnx.ValueInfoProto(name=edge))


def swap_inputs(graph: Any, random: Random) -> None:
    """The two inputs of a node the other way round."""
    node = _pick(random, (n for n in graph.node if len(n.input) == 2))
    if node is not None:
        node.input[:] = list(node.input)[::-1]


def one_edge_twice(graph: Any, random: Random) -> None:
    """A node that reads another edge of the graph in place of one of its inputs."""
    node = _pick(random, [n for n in graph.node if len(n.input) > 1])
    edge = _pick(random, [*(node.input if node else ()), *_inner_edges(graph)])
    if node is not None and edge and edge not in node.output:
        node.input[int(random.integers(len(node.input)))] = edge


def other_operator(graph: Any, random: Random) -> None:
    """Another operator with as many inputs."""
    node = _pick(random, graph.node)
    families = (
        ("Add", "Sub", "Mul", "Div", "Pow", "Max"),
        ("Erf", "Tanh", "Sqrt", "Exp", "Neg", "Abs", "Reciprocal", "Identity", "Sigmoid", "Relu"),
        ("ReduceMean", "ReduceSum", "ReduceMax"),
    )
    for family in families:
        if node.op_type in family:
            node.op_type = _pick(random, family)
            return


def swap_neighbours(graph: Any, random: Random) -> None:
    """Two nodes, one behind the other, in the other order: epsilon outside of the root."""
    makers = {node.output[0]: node for node in graph.node}
    pairs = [(makers[name], node) for node in graph.node for name in node.input if name in makers]
    pair = _pick(random, pairs)
    if pair is not None:
        first, second = pair
        kind, attributes = first.op_type, list(first.attribute)
        same = len(first.input) == len(second.input)
        if same:
            first.op_type = second.op_type
            del first.attribute[:]
            first.attribute.extend(second.attribute)
            second.op_type = kind
            del second.attribute[:]
            second.attribute.extend(attributes)
        elif len(first.input) == 2 and len(second.input) == 1:
            # second(first(a, b)) becomes first(second(a), b)
            a, middle = first.input[0], first.output[0]
            copies = [onnx.NodeProto(), onnx.NodeProto()]
            copies[0].CopyFrom(second)
            copies[1].CopyFrom(first)
            copies[0].input[0], copies[0].output[0] = a, middle
            copies[1].input[0], copies[1].output[0] = middle, second.output[0]
            if not any(middle in n.input for n in graph.node if n is not second):
                first.CopyFrom(copies[0])
                second.CopyFrom(copies[1])


def insert(graph: Any, random: Random) -> None:
    """A node on an edge that hands its value on, or rounds it."""
    node = _pick(random, (n for n in graph.node if n.input))
    place = int(random.integers(len(node.input)))
    edge = node.input[place]
    if not edge:
        return
    name = f"inserted{len(graph.node)}"
    kinds: tuple[tuple[str, dict[str, int]], ...] = (
        ("Identity", {}),
        ("Cast", {"to": TensorProto.FLOAT}),
        ("Cast", {"to": TensorProto.FLOAT16}),
        ("Cast", {"to": TensorProto.DOUBLE}),
        ("Cast", {"to": TensorProto.INT64}),
    )
    op_type, attributes = kinds[min(int(random.integers(9)), 4) if random.random() < 0.6 else 0]
    made = [helper.make_node(op_type, [edge], [name], **attributes)]
    if op_type == "Cast" and random.random() < 0.8:
        made.append(helper.make_node("Cast", [name], [name + "back"], to=TensorProto.FLOAT))
    node.input[place] = made[-1].output[0]
    nodes = list(graph.node)
    at = nodes.index(node)
    nodes[at:at] = made
    del graph.node[:]
    graph.node.extend(nodes)


def duplicate(graph: Any, random: Random) -> None:
    """A node that does again what another does, read by one that reads the other."""
    node = _pick(random, graph.node)
    copy = onnx.NodeProto()
    copy.CopyFrom(node)
    copy.output[0] = f"copy{len(graph.node)}"
    readers = [n for n in graph.node if node.output[0] in n.input]
    reader = _pick(random, readers)
    if reader is None:
        return
    place = list(reader.input).index(node.output[0])
    reader.input[place] = copy.output[0]
    graph.node.append(copy)


def retype(graph: Any, random: Random) -> None:
    """All of float32 in another float type."""
    code = _pick(random, _FLOAT_CODES[1:])
    dtype = helper.tensor_dtype_to_np_dtype(code)
    for value in (*graph.input, *graph.output):
        if value.type.tensor_type.elem_type == TensorProto.FLOAT:
            value.type.tensor_type.elem_type = code
    for tensor in graph.initializer:
        if tensor.data_type == TensorProto.FLOAT:
            _replace(graph, tensor, numpy_helper.to_array(tensor).astype(dtype))
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.name == "to" and attribute.i == TensorProto.FLOAT:
                attribute.i = code


def one_half_constant(graph: Any, random: Random) -> None:
    """One constant in half precision behind a cast."""
    tensor = _pick(random, (t for t in graph.initializer if t.data_type == TensorProto.FLOAT))
    if tensor is None:
        return
    name, half = tensor.name, f"{tensor.name}_half"
    code = _pick(random, _FLOAT_CODES[2:])
    array = numpy_helper.to_array(tensor).astype(helper.tensor_dtype_to_np_dtype(code))
    tensor.CopyFrom(numpy_helper.from_array(array, half))
    graph.node.insert(0, helper.make_node("Cast", [half], [name], to=TensorProto.FLOAT))


def wrap(graph: Any, random: Random) -> None:
    """All nodes in both branches of an If, or in the body of a Loop that turns twice."""
    made = set(_inner_edges(graph))
    if not {o.name for o in graph.output} <= made:
        return
    outer = [f"outer_{o.name}" for o in graph.output]
    bodies = []
    for name in ("then_branch", "else_branch"):
        inside = [t for t in graph.initializer if random.random() < 0.5]
        overridable = {v.name for v in graph.input}
        inside = [t for t in inside if t.name not in overridable]
        bodies.append((name, helper.make_graph(graph.node, name, [], graph.output, inside)))
    if random.random() < 0.5:
        choice = helper.make_tensor_value_info("choice", TensorProto.BOOL, None)
        graph.input.append(choice)
        node = helper.make_node("If", ["choice"], outer, **dict(bodies))
    else:
        turn = helper.make_tensor_value_info("turn", TensorProto.INT64, [])
        goes = helper.make_tensor_value_info("goes", TensorProto.BOOL, [])
        body = bodies[0][1]
        body.input.extend([turn, goes])
        body.node.append(helper.make_node("Identity", ["goes"], ["still"]))
        body.output.insert(0, helper.make_tensor_value_info("still", TensorProto.BOOL, []))
        graph.initializer.append(numpy_helper.from_array(np.array(2), "turns"))
        node = helper.make_node("Loop", ["turns", ""], outer, body=body)
    del graph.node[:]
    graph.node.append(node)
    del graph.output[:]
    graph.output.extend(onnx.ValueInfoProto(name=name) for name in outer)


MUTATIONS: tuple[Callable[[Any, Random], None], ...] = (
    change_axis, change_keepdims, change_number, change_shape_of_constant, constant_to_input,
    add_consumer, make_output, swap_inputs, one_edge_twice, other_operator, swap_neighbours,
    insert, duplicate, retype, one_half_constant,
)  # fmt: skip


# ----------------------------------------------------------------------------------------- feeds


def _has_halves(model: Any) -> bool:
    return any(code in _FLOAT_CODES[2:] for code in _codes(model.graph))


def _codes(graph: Any) -> Iterator[int]:
    """The element types of what goes in, of constants, and of casts."""
    yield from (t.data_type for t in graph.initializer)
    yield from (v.type.tensor_type.elem_type for v in graph.input)
    for attribute in (a for node in graph.node for a in node.attribute):
        if attribute.name == "to":
            yield attribute.i
        elif attribute.HasField("g"):
            yield from _codes(attribute.g)


def _dims(example: str) -> dict[str, tuple[int | str, ...]]:
    graph = onnx.parser.parse_graph(example)
    return {
        value.name: tuple(d.dim_param or d.dim_value for d in value.type.tensor_type.shape.dim)
        for value in graph.input
    }


def _shape(dims: tuple[int | str, ...], sizes: dict[str, int], random: Random) -> tuple[int, ...]:
    shape = [
        sizes.setdefault(d, int(random.integers(1, 5))) if isinstance(d, str) else d for d in dims
    ]
    while random.random() < 0.12:
        change = random.integers(5)
        if change == 0 and shape:
            shape = shape[1:]
        elif change == 1 and len(shape) < 5:
            shape = [_pick(random, [1, 2]), *shape]
        elif shape:
            shape[int(random.integers(len(shape)))] = _pick(random, [0, 1, 1, 2, 4])
    return tuple(shape)


def _array(shape: tuple[int, ...], code: int, random: Random, *, wild: bool) -> NDArray[Any]:
    dtype = helper.tensor_dtype_to_np_dtype(code)
    if dtype == bool:
        return np.asarray(random.random(shape) < 0.4)
    if dtype.kind in "iu":
        info = np.iinfo(dtype)
        low, high = (info.min, info.max) if info.bits == 8 else (-3, 4)
        return random.integers(low, high, shape, endpoint=True).astype(dtype)
    x = np.asarray(random.standard_normal(shape)) * _pick(random, [1, 1, 1, 0.01, 8])
    if wild and random.random() < 0.1:
        strange = random.choice([np.nan, np.inf, -np.inf, 0.0, -0.0], shape)
        x = np.where(random.random(shape) < 0.1, strange, x)
    return np.asarray(x).astype(dtype)


def _feeds(
    model: Any, dims: dict[str, tuple[int | str, ...]], random: Random
) -> dict[str, NDArray[Any]]:
    sizes: dict[str, int] = {}
    defaults = {t.name: tuple(t.dims) for t in model.graph.initializer}
    feeds = {}
    wild = not _has_halves(model)
    for value in model.graph.input:
        known = dims.get(value.name, defaults.get(value.name, (4,)))
        if value.name == "choice":
            feeds["choice"] = np.array(random.random() < 0.5)
            continue
        if value.name in defaults and random.random() < 0.4:
            continue
        feeds[value.name] = _array(
            _shape(known, sizes, random), value.type.tensor_type.elem_type, random, wild=wild
        )
    return feeds


def _with_opset(model: Any, opset: int) -> None:
    """Write the reductions as the opset wants them, and declare it."""
    model.opset_import[0].version = opset
    for node in list(model.graph.node):
        axes = [a for a in node.attribute if a.name == "axes"]
        as_input = node.op_type == "ReduceSum" or opset >= 18
        if node.op_type.startswith("Reduce") and axes and as_input:
            name = f"axes{len(model.graph.initializer)}"
            listed = np.array(axes[0].ints, np.int64)
            model.graph.initializer.append(numpy_helper.from_array(listed, name))
            node.attribute.remove(axes[0])
            node.input.append(name)


def _sorted(graph: Any) -> None:
    """The nodes of a graph in an order that can run, as far as there is one."""
    known = {v.name for v in graph.input} | {t.name for t in graph.initializer} | {""}
    waiting, done = list(graph.node), []
    while waiting:
        node = next((n for n in waiting if set(n.input) <= known), waiting[0])
        waiting.remove(node)
        known.update(node.output)
        done.append(node)
    del graph.node[:]
    graph.node.extend(done)


@np.errstate(all="ignore")
def variant(example: str, random: Random) -> tuple[Any, dict[str, NDArray[Any]]]:
    """A graph like a rule's example, changed in up to three ways, and feeds for it."""
    opset = int(random.integers(20 if "Gelu(" in example or "Gelu<" in example else 17, 24))
    model = parsed(example)
    for _ in range(_pick(random, [0, 1, 1, 1, 2, 2, 3])):
        _pick(random, MUTATIONS)(model.graph, random)
    _with_opset(model, opset)
    _sorted(model.graph)
    if random.random() < 0.1:
        wrap(model.graph, random)
    return model, feeds_for(model, example, random)


def feeds_for(model: Any, example: str, random: Random) -> dict[str, NDArray[Any]]:
    """Feeds of about the shapes that an example declares."""
    return _feeds(model, _dims(example), random)


# --------------------------------------------------------------------------------- random graphs

_TO_BOOL = {"Equal": 2, "Greater": 2, "IsNaN": 1}
_TO_INT = {"ArgMax": 1, "Shape": 1}
_SAME = {
    "Abs": 1, "Neg": 1, "Exp": 1, "Sqrt": 1, "Reciprocal": 1, "Erf": 1, "Tanh": 1, "Sigmoid": 1,
    "Relu": 1, "Identity": 1, "Floor": 1, "Sign": 1, "Softmax": 1, "ReduceMean": 1, "ReduceSum": 1,
    "ReduceMax": 1, "Transpose": 1, "Dropout": 1, "Cast": 1, "Squeeze": 1, "Unsqueeze": 1,
    "Add": 2, "Sub": 2, "Mul": 2, "Div": 2, "Pow": 2, "Max": 2, "MatMul": 2, "Concat": 2,
    "Where": 2, "Gather": 1, "Expand": 1,
}  # fmt: skip
"""Operators of the random graphs, and how many inputs of the graph's float type they take."""


@np.errstate(all="ignore")
def random_graph(random: Random) -> tuple[Any, dict[str, NDArray[Any]]]:
    """A graph of random operators that mostly fit together, and feeds for it."""
    opset = int(random.integers(13, 24))
    code = int(_pick(random, [*[TensorProto.FLOAT] * 6, *_FLOAT_CODES[1:], TensorProto.INT64]))
    dtype = helper.tensor_dtype_to_np_dtype(code)
    inputs = [helper.make_tensor_value_info(f"x{i}", code, None) for i in range(2)]
    numbers = [2, 0.5, 3, 1, 1e-5, 2**0.5, 2**-0.5, 0.044715, (2 / np.pi) ** 0.5, -1, 0, 1e4]
    constants: dict[str, Any] = {
        f"c{i}": np.full(_pick(random, [(), (1,), (4,), (1, 1)]), number).astype(dtype)
        for i, number in enumerate(random.choice(numbers, 5))
    }
    constants["w"] = (random.standard_normal((4, 4)) * 2).astype(dtype)
    constants["axis"] = np.array([0], np.int64)
    floats = [*(v.name for v in inputs), *(name for name in constants if name != "axis")]
    bools, integers = list[str](), ["axis"]
    nodes = []

    def recent(edges: list[str]) -> str:
        # Mostly what was made last, so that graphs are deep; now and then of another type.
        if random.random() < 0.02:
            edges = [*floats, *bools, *integers]
        return str(_pick(random, edges[-3:] if random.random() < 0.6 else edges))

    for k in range(int(random.integers(2, 14))):
        kind = str(_pick(random, [*_SAME, *_SAME, *_TO_BOOL, *_TO_INT]))
        count = {**_SAME, **_TO_BOOL, **_TO_INT}[kind]
        taken = [recent(floats) for _ in range(count)]
        attributes: dict[str, Any] = {}
        if kind in ("Softmax", "Concat", "ArgMax", "Gather"):
            attributes["axis"] = int(random.integers(-2, 2))
        if kind.startswith("Reduce"):
            attributes |= {"axes": [-1], "keepdims": int(random.random() < 0.8)}
        if kind == "Cast":
            attributes["to"] = int(_pick(random, [code, code, 1, 7, 9, 10, 11, 16]))
        if kind == "Where":
            taken.insert(0, recent(bools) if bools else "x0")
        if kind in ("Squeeze", "Unsqueeze"):
            taken.append("axis")
        if kind in ("Gather", "Expand"):
            taken.append(recent(integers))
        nodes.append(helper.make_node(kind, taken, [f"e{k}"], **attributes))
        other = kind == "Cast" and attributes["to"] != code
        made = bools if kind in _TO_BOOL or (other and attributes["to"] == 9) else floats
        made = integers if kind in _TO_INT or (other and attributes["to"] == 7) else made
        if not (other and made is floats) or random.random() < 0.3:
            made.append(f"e{k}")
    outputs = {nodes[-1].output[0], str(_pick(random, [n.output[0] for n in nodes]))}
    overridable = [name for name in constants if random.random() < 0.05]
    inputs += [helper.make_tensor_value_info(n, code, None) for n in overridable if n != "axis"]
    graph = helper.make_graph(
        nodes, "g", inputs, [onnx.ValueInfoProto(name=n) for n in sorted(outputs)],
        [numpy_helper.from_array(np.asarray(v), name) for name, v in constants.items()],
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
    _with_opset(model, opset)
    shape = _pick(random, [(2, 4), (4, 4), (4,), (3, 4, 4), (), (1, 4), (2, 1, 4, 4), (0, 4)])
    return model, _feeds(model, {v.name: shape for v in inputs[:2]}, random)


# ------------------------------------------------------------------------------------ comparison


def _outcome(model: Any, feeds: dict[str, NDArray[Any]], **options: Any) -> list[Any] | EmbedxError:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            return Engine(model, num_cores=1, **options).run(None, feeds)
    except EmbedxError as error:
        return error


def difference(model: Any, feeds: dict[str, NDArray[Any]]) -> str:
    """What optimizing changes beyond rounding; empty if nothing.

    Results have the same types and shapes, or both are refused. Integers and the places of NaN and
    infinity are the same, unless rounding decides: then the optimized ones are those of float64.
    Floats may be off by the rules' bound of the largest one around, and by as much as float64 says
    that rounding matters.
    """
    fast = _outcome(model, feeds)
    plain = _outcome(model, feeds, optimize=False)
    if isinstance(fast, EmbedxError) or isinstance(plain, EmbedxError):
        refused = [isinstance(way, EmbedxError) for way in (fast, plain)]
        return "" if all(refused) else f"optimized: {fast!r}, as written: {plain!r}"
    exact = _outcome(model, feeds, precision="float64")
    halves = _has_halves(model)
    bound = max(rule.bound for rule in RULES if halves or rule is not carry_halves_wide)
    for i, (a, b) in enumerate(zip(fast, plain, strict=True)):
        if (a.dtype, a.shape) != (b.dtype, b.shape):
            return f"output {i}: optimized {a.dtype}{a.shape}, as written {b.dtype}{b.shape}"
        referee = b if isinstance(exact, EmbedxError) or exact[i].shape != b.shape else exact[i]
        with np.errstate(all="ignore"):
            what = _apart(a, b, referee, 4 * bound)
        if what:
            return f"output {i}: optimized {a}, as written {b}, exact {referee}: {what}"
    return ""


def _apart(fast: NDArray[Any], plain: NDArray[Any], exact: NDArray[Any], bound: float) -> str:
    if fast.dtype not in FLOATS:
        wrong = (fast != plain) & (fast != exact)
        return f"{int(wrong.sum())} are wrong" if wrong.any() else ""
    x, y, z = (a.astype(np.float64) for a in (fast, plain, exact))
    z = np.where(np.abs(z) > np.finfo(np.float32).max, np.sign(z) * np.inf, z)
    finite = np.isfinite(x) & np.isfinite(y)
    if not (_alike(x, y) | _alike(x, z)).all():
        return "other places of NaN or infinity"
    smallest = 1e-6 if fast.itemsize >= 4 else 2e-7
    slack = bound * np.abs(y[finite]).max(initial=0) + smallest
    rounding = np.abs(y - z)[finite]
    slack += 16 * rounding[np.isfinite(rounding)].max(initial=0)
    apart = np.abs(x - y)[finite].max(initial=0)
    return f"off by {apart}, may be {slack}" if apart > slack else ""


def _alike(x: NDArray[Any], y: NDArray[Any]) -> NDArray[Any]:
    """Where both are NaN, the same infinity, or both finite."""
    return (x == y) | (np.isnan(x) & np.isnan(y)) | (np.isfinite(x) & np.isfinite(y))


def graphs(seed: int) -> Iterator[tuple[str, Any, dict[str, NDArray[Any]]]]:
    """Endlessly, for each example of each rule a variant of it, and a random graph."""
    random = np.random.default_rng(seed)
    while True:
        for rule in dict.fromkeys(RULES):
            for example in rule.examples:
                yield (rule.name, *variant(example, random))
        for _ in range(5):
            yield ("random", *random_graph(random))


def main() -> None:
    """Look at COUNT graphs, from SEED on, and print those that optimizing changes."""
    count, seed = int(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 0
    found = 0
    for number, (name, model, feeds) in zip(range(count), graphs(seed), strict=False):
        what = difference(model, feeds)
        if what:
            found += 1
            shapes = {k: (str(v.dtype), v.shape) for k, v in feeds.items()}
            print(f"{number} {name}: {what}\n{shapes}\n{onnx.printer.to_text(model)}\n", flush=True)
    print(f"{found} of {count} graphs differ (seed {seed})")


if __name__ == "__main__":
    main()
