"""``embedx inspect``, ``truncate`` and ``ops``: what a model and its operators are."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from typing import Any

from embedx.cli.arguments import MODEL, command
from embedx.cli.output import print_json, say
from embedx.config_file import index_or_name
from embedx.errors import ConfigError
from embedx.output_file import check_writable


def add_to(commands: Any) -> None:
    """Add the commands about a model."""
    inspect = command(
        commands, "inspect", _inspect, "show what is in a model file, and what is missing"
    )
    inspect.add_argument("model", nargs="?", help=MODEL)
    inspect.add_argument(
        "--plan", action="store_true", help="the calls of a run, and the nodes that each covers"
    )
    inspect.add_argument(
        "--sites",
        action="store_true",
        help="the edges that carry what has a name in every transformer, and what is not there",
    )

    truncate = command(commands, "truncate", _truncate, "write a model that ends at an inner layer")
    truncate.add_argument("model", nargs="?", help=MODEL)
    truncate.add_argument(
        "--layer", default="-1", help="an index, or a node's or edge's name (default: -1)"
    )
    truncate.add_argument(
        "-o", "--output", type=Path, required=True, metavar="FILE", help="the file to write"
    )
    truncate.add_argument(
        "--external-data", action="store_true", help="put the weights into FILE.data"
    )

    ops = command(
        commands, "ops", _ops, "list the operators, or show one: signature, text and source"
    )
    ops.add_argument(
        "name",
        nargs="?",
        metavar="NAME",
        help="an operator, such as Softmax or com.microsoft::Gelu",
    )


def _inspect(options: argparse.Namespace) -> None:
    from embedx.model.onnx_file import read_model
    from embedx.observe.inspection import as_text, inspect_model, inspect_plan, plan_as_text
    from embedx.run.engine import Engine
    from embedx.run.prepare import loading
    from embedx.text.deployment import read_deployment
    from embedx.text.locate import find_model

    path = find_model(options.model)
    if options.sites:
        _show_sites(path, as_json=options.json)
        return
    if options.plan:
        steps = inspect_plan(Engine(path).plan)
        if options.json:
            print_json({"plan": steps})
        else:
            say(plan_as_text(steps))
        return
    with loading():
        facts = inspect_model(read_model(path), path, read_deployment(path))
    if options.json:
        print_json(facts)
    else:
        say(as_text(facts))


def _show_sites(path: Path, *, as_json: bool) -> None:
    from embedx.model.onnx_file import read_model
    from embedx.observe.sites import absent_sites, find_sites, sites_as_text
    from embedx.rewrite.normal import normal_form
    from embedx.run.prepare import loading

    with loading():
        graph = normal_form(read_model(path))
        sites, absent = find_sites(graph), absent_sites(graph)
    if as_json:
        print_json({"sites": [vars(site) for site in sites.values()], "absent": absent})
    else:
        say(sites_as_text(sites, absent))


def _truncate(options: argparse.Namespace) -> None:
    from embedx.model.graph import TensorType
    from embedx.model.onnx_file import read_model
    from embedx.model.onnx_writer import write_model
    from embedx.rewrite.cut import truncate
    from embedx.rewrite.layers import edge_of
    from embedx.rewrite.normal import normal_form
    from embedx.run.engine import Engine
    from embedx.run.prepare import loading
    from embedx.text.locate import find_model

    made = [options.output]
    if options.external_data:
        made.insert(0, options.output.with_name(f"{options.output.name}.data"))
        if options.output.exists() and not options.output.is_file():
            raise ConfigError(f"no data can lie beside {options.output}, which is no plain file")
    for target in made:
        check_writable(target)
    with loading():
        whole = read_model(find_model(options.model))
        graph = normal_form(whole)
    for source in (file.path for file in whole.files):
        if any(target.exists() and target.samefile(source) for target in made):
            raise ConfigError(f"{source} belongs to the model itself; it is never written to")
    edge = edge_of(graph, index_or_name(options.layer)) or graph.outputs[0].name
    cut = truncate(graph, edge)
    # The file may not declare the edge's type, so one run finds it out.
    engine = Engine(cut)
    (sample,) = engine.run(engine.generate_random_inputs(sequence_length=8))
    ids = cut.feeds[0].type
    sizes = ids.shape if isinstance(ids, TensorType) and ids.shape is not None else ()
    shape = (*sizes[: sample.ndim - 1], *sample.shape[len(sizes[: sample.ndim - 1]) :])
    output = replace(cut.outputs[0], type=TensorType(sample.dtype, shape))
    write_model(
        replace(cut, outputs=(output,)), options.output, external_data=options.external_data
    )
    facts = {
        "file": str(options.output),
        "edge": edge,
        "nodes": len(cut.nodes),
        "nodes_before": len(graph.nodes),
    }
    if options.json:
        print_json(facts)
    else:
        say(f"{options.output}: ends at {edge}, {len(cut.nodes)} of {len(graph.nodes)} nodes")


def _ops(options: argparse.Namespace) -> None:
    from embedx.observe import catalogue

    if options.name is not None:
        if options.json:
            print_json({"behaviours": catalogue.facts(options.name)})
        else:
            say(catalogue.card(options.name))
    elif options.json:
        listed = [
            {
                "domain": domain or "ai.onnx",
                "name": name,
                "since": [entry.since for entry in versions],
            }
            for (domain, name), versions in catalogue.families().items()
        ]
        print_json({"operators": listed})
    else:
        say(catalogue.table())
