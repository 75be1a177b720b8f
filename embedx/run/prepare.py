"""From a graph as it was read to one that runs: checked, in normal form, and rewritten.

``RULES`` is the whole of the optimizer, by name and in order. What each needs and promises is in
its docstring, and a test holds all of them to the graph as it was written.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterator
from contextlib import contextmanager

from embedx.errors import BudgetError, ConfigError, EmbedxError, ModelError
from embedx.model.graph import Graph
from embedx.ops import OverBudgetError
from embedx.rewrite import fuse_activations, fuse_attention, fuse_normalization, fuse_products
from embedx.rewrite.drop_neurons import drop_neurons
from embedx.rewrite.element_types import element_types
from embedx.rewrite.join_products import join_products, join_quantized_products
from embedx.rewrite.normal import with_fed
from embedx.rewrite.per_text import quantized_per_text
from embedx.rewrite.retype import carry_halves_wide, to_float64
from embedx.rewrite.rule import Rule, everywhere
from embedx.rewrite.simplify import drop_identities, merge_equals
from embedx.run.binding import Precision, bind, check_operators, ignored_attributes
from embedx.run.fold import fold_constants

_log = logging.getLogger("embedx")

RULES: tuple[Rule, ...] = (
    drop_identities,
    carry_halves_wide,
    drop_identities,
    *fuse_activations.RULES,
    *fuse_normalization.RULES,
    *fuse_attention.RULES,
    *fuse_products.RULES,
    *fuse_activations.BIAS_RULES,
    *fuse_normalization.SKIP_RULES,
    merge_equals,
    fold_constants,
    drop_neurons,
    join_products,
    join_quantized_products,
)
"""What ``Engine(optimize=True)`` applies in native precision, behind constant folding."""


def checked(graph: Graph, precision: Precision = "native") -> None:
    """Refuse what cannot run, while every node still has the name that its author knows.

    Raises UnsupportedOpError with all operators that are missing, ModelError for a node that does
    not fit its operator or its inputs' types. Logs a warning for attributes that do nothing.
    """
    check_operators(graph.walk())
    for node in graph.walk():
        bind(node, precision)
        for name in ignored_attributes(node):
            if name != "consumed_inputs":  # which files of opset 1 are full of
                _log.warning("%s: nobody looks at the attribute %r; is the name right?", node, name)
    element_types(graph)


def prepare(
    graph: Graph,
    precision: Precision = "native",
    *,
    optimize: bool = True,
    skip: Collection[str] = (),
    fed: Collection[str] = (),
    per_text: bool = False,
) -> Graph:
    """The graph that a plan is made of, for feeds that override the defaults of ``fed``.

    ``graph`` is in normal form. The rules in ``skip`` are left out. With ``per_text`` the first
    axis of all inputs is one of texts, each of which is quantized for itself where that can be
    done. Raises ConfigError for a rule that does not exist.
    """
    unknown = set(skip) - {rule.name for rule in RULES}
    if unknown:
        names = ", ".join(dict.fromkeys(rule.name for rule in RULES))
        raise ConfigError(f"there is no rule {min(unknown)!r}; the rules are {names}")
    graph = everywhere(lambda inner: with_fed(inner, set()), with_fed(graph, set(fed)))
    if precision == "float64":
        graph = to_float64(graph)
    written = graph = fold_constants(graph, precision)
    for rule in RULES if precision == "native" and optimize else ():
        if rule.name not in skip:
            graph = rule(graph)
    return quantized_per_text(graph, written) if per_text else graph


@contextmanager
def loading() -> Iterator[None]:
    """Whatever is wrong with a model file leaves the block as one of embedx's own errors."""
    try:
        yield
    except EmbedxError:
        raise
    except (MemoryError, OverBudgetError) as error:
        raise BudgetError(f"the model cannot be loaded: {error or 'out of memory'}") from error
    except Exception as error:
        raise ModelError(f"the model cannot be loaded: {type(error).__name__}: {error}") from error
