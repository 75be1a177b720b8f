"""embedx by ONNX's own interface for backends, which its test suite and its scoreboard run.

    import embedx.backend as backend
    from onnx.backend.test import BackendTest

    globals().update(BackendTest(backend, __name__).test_cases)

An operator that embedx lacks is an error there, or skipped where the suite asks for it beforehand;
it never looks like a test that is passed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from onnx import ModelProto, NodeProto, helper
from onnx.backend.base import Backend, BackendRep, namedtupledict

from embedx.errors import ConfigError, EmbedxError, InputError
from embedx.run.engine import Engine


class EmbedxBackendRep(BackendRep):  # type: ignore[misc]
    """A model that is ready to run."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine

    def run(self, inputs: Any, **_: Any) -> tuple[Any, ...]:
        """The outputs, in order and by name, for feeds by name, in order, or a single one.

        Feeds in order are those of all inputs, or of the first of those without a default. Raises
        what :meth:`embedx.Engine.run` raises.
        """
        graph = self.engine.graph
        if isinstance(inputs, np.ndarray):
            inputs = [inputs]
        if isinstance(inputs, list | tuple):
            edges = graph.inputs if len(inputs) == len(graph.inputs) else graph.feeds
            if len(inputs) > len(edges):
                raise InputError(f"got {len(inputs)} inputs, the model has {len(edges)}")
            inputs = dict(zip((v.name for v in edges), inputs, strict=False))
        names = self.engine.output_names
        return namedtupledict("Outputs", names)(*self.engine.run(inputs))


class EmbedxBackend(Backend):  # type: ignore[misc]
    """What embedx makes of models, by the names of ``onnx.backend.base.Backend``.

    ``device`` is ``"CPU"``; other options are taken and mean nothing.
    """

    @classmethod
    def supports_device(cls, device: str) -> bool:
        """Whether models run on that device: ``CPU``, or ``CPU:0``."""
        return device.partition(":")[0] == "CPU"

    @classmethod
    def is_compatible(cls, model: ModelProto, device: str = "CPU", **_: Any) -> bool:
        """Whether embedx has all operators of the model, and finds nothing wrong with it."""
        try:
            cls.prepare(model, device)
        except EmbedxError:
            return False
        return True

    @classmethod
    def prepare(cls, model: ModelProto, device: str = "CPU", **_: Any) -> EmbedxBackendRep:
        """The model, ready to run. Raises what :class:`embedx.Engine` raises, or ConfigError."""
        if not cls.supports_device(device):
            raise ConfigError(f"embedx runs on the CPU, not on {device!r}")
        return EmbedxBackendRep(Engine(model))

    @classmethod
    def run_model(
        cls, model: ModelProto, inputs: Any, device: str = "CPU", **options: Any
    ) -> tuple[Any, ...]:
        """The outputs of a model, which :meth:`EmbedxBackendRep.run` tells more of."""
        return cls.prepare(model, device, **options).run(inputs)

    @classmethod
    def run_node(
        cls,
        node: NodeProto,
        inputs: Any,
        device: str = "CPU",
        outputs_info: Sequence[tuple[Any, tuple[int, ...]]] | None = None,
        **options: Any,
    ) -> tuple[Any, ...]:
        """The outputs of a single node, for its inputs by name or in order, omitted ones or not.

        ``opset_version`` is that of the standard's operators (default: the newest). What the
        outputs should be, ``outputs_info``, is not needed.
        """
        present = [name for name in node.input if name]
        if isinstance(inputs, np.ndarray):
            inputs = [inputs]
        if not isinstance(inputs, Mapping):
            names = present if len(inputs) == len(present) else list(node.input)
            if len(inputs) != len(names):
                raise InputError(f"got {len(inputs)} inputs, the node has {', '.join(present)}")
            inputs = {k: v for k, v in zip(names, inputs, strict=True) if k}
        opset = options.get("opset_version") or onnx.defs.onnx_opset_version()
        graph = helper.make_graph(
            [node],
            node.op_type,
            [onnx.ValueInfoProto(name=name) for name in inputs],
            [onnx.ValueInfoProto(name=name) for name in node.output if name],
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)])
        return cls.run_model(model, dict(inputs), device)


is_compatible = EmbedxBackend.is_compatible
prepare = EmbedxBackend.prepare
run_model = EmbedxBackend.run_model
run_node = EmbedxBackend.run_node
supports_device = EmbedxBackend.supports_device
