"""A model and what lies beside it, as they were read; what runs them is made of this."""

from __future__ import annotations

import os
from collections.abc import Hashable
from dataclasses import dataclass
from pathlib import Path

from embedx.model.graph import Graph, TensorType, Value
from embedx.model.onnx_file import read_model
from embedx.rewrite.layers import edge_of, is_pooled
from embedx.rewrite.normal import normal_form
from embedx.run.prepare import loading
from embedx.text.deployment import Deployment, files_beside, read_deployment
from embedx.text.locate import find_model
from embedx.text.modules import Pooling

_TOKEN_OUTPUTS = ("token_embeddings", "last_hidden_state", "hidden_states")
_POOLED_OUTPUTS = ("sentence_embedding", "text_embeds", "embeddings", "embedding", "dense_vecs")


@dataclass(frozen=True, eq=False)
class ModelFolder:
    """The graph, in normal form, and the settings of one model folder."""

    path: Path
    """The model's file."""
    deployment: Deployment
    graph: Graph

    def stamp(self) -> Hashable:
        """What changes when one of the files does."""
        paths = [*(file.path for file in self.graph.files), *files_beside(self.deployment)]
        stats = [path.stat() for path in paths]
        return tuple(
            (path, s.st_ino, s.st_size, s.st_mtime_ns) for path, s in zip(paths, stats, strict=True)
        )

    @property
    def declares_length(self) -> bool:
        """Whether an input has a number where others have the length of the texts."""
        types = [v.type for v in self.graph.feeds]
        shapes = [t.shape or () for t in types if isinstance(t, TensorType)]
        return any(isinstance(dim, int) for shape in shapes for dim in shape[1:2])

    def edge(self, layer: int | str | None) -> str:
        """The edge at which a layer ends (see ``layers.edge_of``), or the first output.

        The latter for None, and where a graph has no layers of which one could be the last.
        """
        found = None if layer is None else edge_of(self.graph, layer)
        return found or self.graph.outputs[0].name

    def usual_edge(self, *, pooled: bool = False) -> str:
        """The edge of the token embeddings.

        With ``pooled`` it is that of a sentence embedding which the graph itself makes, if there is
        one and no file says how to pool.
        """
        graph = self.graph
        pooled = pooled and not any(isinstance(m, Pooling) for m in self.deployment.modules)
        names = [v.name for v in graph.outputs]
        for name in (*(_POOLED_OUTPUTS if pooled else ()), *_TOKEN_OUTPUTS):
            if name in names:
                return name
        flat = (v.name for v in graph.outputs if rank(v) in (2, None) and is_pooled(graph, v.name))
        return (next(flat, None) if pooled else None) or self.edge(-1)


def read_folder(
    name: str | os.PathLike[str] | None,
    *,
    file_name: str | None = None,
    tokenizer: str | os.PathLike[str] | None = None,
) -> ModelFolder:
    """What the name of a model leads to.

    ``file_name`` picks one of several ONNX files, ``tokenizer`` is a folder or a tokenizer.json to
    use instead of the model folder's. Raises InputError, ModelError or DeploymentError.
    """
    path = find_model(name, file_name)
    place = None if tokenizer is None else Path(tokenizer).expanduser()
    deployment = read_deployment(path, place)
    with loading():
        return ModelFolder(path, deployment, normal_form(read_model(path)))


def rank(value: Value) -> int | None:
    """The number of declared dimensions; None if they are not declared."""
    kind = value.type
    return len(kind.shape) if isinstance(kind, TensorType) and kind.shape is not None else None
