"""The steps of a training program, and what they must be: one number as objective, reached by a gradient from all they update."""

from __future__ import annotations

from typing import Any, Literal

from compiler.diagnostics import Label
from compiler.front.builder import GraphBuilder
from compiler.front.calls import coerce
from compiler.front.evaluate import evaluate
from compiler.front.program_builtins import describe_cuts
from compiler.front.program_names import ProgramNames, finish
from compiler.front.records import read_record
from compiler.front.scope import Local, Task
from compiler.front.spec import pairs_of, scalars_of
from compiler.front.tree import Mapping, Pair, Scalar
from compiler.front.values import Argument, Poison, is_constant
from compiler.ir.graph import Graph, Value, called_networks, owned_parameters
from compiler.ir.training import OPTIMIZERS, SCHEDULES, Optimizer, Step

LOWEST_DECAY = 0.5
"""An average that keeps less of itself is hardly one."""


def read_objective(names: ProgramNames, builder: GraphBuilder, local: Local, scalar: Scalar, what: str) -> Task:
    """The scalar value of an expression; None when reported."""
    expr = names.elaboration.parse(scalar)
    frame = names.frame(scalar, local, builder)
    if expr is None:
        return None
    value = yield evaluate(frame, expr)
    if is_constant(value):
        names.sink.report("NL402", f"{what} is the constant `{frame.text(expr)}`: nothing it could depend on", frame.span(expr))
        return None
    tensor = coerce(frame, Argument(value, frame.span(expr), frame.text(expr), expr))
    if not isinstance(tensor, Value):
        return None
    if tensor.type.shape or not tensor.type.dtype.is_float:
        names.sink.report(
            "NL401",
            f"{what} must be one floating-point number, but it is {tensor.type}",
            frame.span(expr),
            help="reduce it: `mean(…)` or `sum(…)`",
        )
        return None
    return tensor


def read_step(names: ProgramNames, node: Mapping, index: int) -> Task:
    """One step; None when something about it was reported."""
    named = node.get("name")
    name = named.value if isinstance(named, Scalar) else f"step_{index + 1}"
    builder, local = yield names.environment(name, "train", "step")
    own = yield _read_own(names, builder, local, node)
    sense: Literal["minimize", "maximize"] = "maximize" if node.get("maximize") is not None else "minimize"
    scalar = node.get(sense)
    if not isinstance(scalar, Scalar):
        return None
    value = yield read_objective(names, builder, local, scalar, "the objective")
    names.reads |= local.used - own.keys()
    _warn_unused_own(names, local, own)
    optimizer = yield _read_optimizer(names, node)
    update = yield _read_update(names, node)
    settings: dict[str, Any] = {}
    for key in ("clip_norm", "clip_value", "clamp"):
        settings[key] = yield names.bound(node, key)
    for key, low, default in (("repeat", 1, 1), ("every", 1, 1), ("after", 0, 0), ("until", 1, None)):
        settings[key] = yield names.number(node, key, low, default)
    settings["ema"] = yield names.decay(node, "ema")
    mode = _read_mode(names, node)
    if value is None or not update:
        return None
    graph = finish(builder, {"": value})
    _check_reach(names, graph, node, scalar)
    if not isinstance(optimizer, Optimizer) or mode is None:
        return None
    step = Step(graph.name, graph, sense, update, optimizer, scalar.span, **settings, mode=mode)
    _warn_mode(names, step, node)
    _warn_decay(names, step, node)
    return step


def _read_own(names: ProgramNames, builder: GraphBuilder, local: Local, node: Mapping) -> Task:
    """Evaluate the step's `draw` and `let`; where each of their names stands."""
    own: dict[str, Pair] = {}
    for key in ("draw", "let"):
        for pair in pairs_of(node.get(key)):
            yield names.entry(builder, local, pair)
            names.reads |= local.used - own.keys()
            local.used.discard(pair.key.value)
            own[pair.key.value] = pair
    return own


def _warn_unused_own(names: ProgramNames, local: Local, own: dict[str, Pair]) -> None:
    for name, pair in own.items():
        if name not in local.used:
            names.warn("NL420", f"nothing in this step uses `{name}`", pair.key.span, help="remove it, or read it in the objective")


def _read_optimizer(names: ProgramNames, node: Mapping) -> Task:
    scalar = node.get("with")
    expr = names.elaboration.parse(scalar) if isinstance(scalar, Scalar) else None
    if not isinstance(scalar, Scalar) or expr is None:
        return None
    return (yield read_record(names.frame(scalar), expr, "NL404", "optimizer", OPTIMIZERS, SCHEDULES))


def trainable(names: ProgramNames) -> list[str]:
    """What steps can update: networks, also those of other files, and variables."""
    imported = [name for name, scope in names.file.imported.items() if name in scope.spec.networks]
    return [*names.file.spec.networks, *imported, *names.file.spec.variables]


def _read_update(names: ProgramNames, node: Mapping) -> Task:
    """What a step updates; empty when something was reported."""
    found: list[str] = []
    good = True
    for item in scalars_of(node.get("update")):
        known = trainable(names)
        if item.value not in known:
            message = f"there is no network `{item.value}` to update"
            names.elaboration.report_near("NL403", message, item.span, item.value, known)
            good = False
        elif item.value in found:
            names.sink.report("NL403", f"`{item.value}` is updated twice in one step", item.span, help="name it once")
            good = False
        elif item.value in names.variables:
            good = good and not isinstance(names.variables[item.value], Poison)
        elif isinstance((yield names.elaboration.resolve(names.file, item.value)), Poison):
            good = False
        found.append(item.value)
    return tuple(found) if good else ()


def _read_mode(names: ProgramNames, node: Mapping) -> dict[str, bool] | None:
    """The networks that `mode` names and whether they train; None when something was reported."""
    found: dict[str, bool] = {}
    networks = [name for name in trainable(names) if name not in names.file.spec.variables]
    for pair in pairs_of(node.get("mode")):
        name = pair.key.value
        if name not in networks:
            names.elaboration.report_near("NL415", f"there is no network `{name}` to give a mode", pair.key.span, name, networks)
            return None
        if isinstance(pair.value, Scalar):
            found[name] = pair.value.value == "train"
    return found


def _check_reach(names: ProgramNames, graph: Graph, node: Mapping, scalar: Scalar) -> None:
    """Report what a step updates though no gradient of its objective reaches it."""
    reach = names.elaboration.reach
    objective = graph.outputs[""]
    reached = {item for item in reach.of(graph).get(objective, ()) if isinstance(item, Graph)}
    called = called_networks(graph)
    for item in scalars_of(node.get("update")):
        name = item.value
        network = called.get(name)
        if network in reached:
            continue
        also = [Label(scalar.span, "the objective")]
        message = f"the step updates `{name}`, but its objective does not depend on it"
        help_text = f"use `{name if name in names.variables else f'{name}(…)'}` in the objective, or do not update it here"
        if network is not None and not any(parameter.trainable for _, parameter in owned_parameters(network)):
            inner = [other for other in called_networks(network) if other in called]
            message = f"the step updates `{name}`, which has no weights of its own"
            help_text = f"update what it calls: `[{', '.join(inner)}]`" if inner else "do not update it"
        elif network is not None:
            message = f"the step updates `{name}`, but no gradient of its objective reaches it"
            help_text = "let the objective depend on it through floating-point values alone, or do not update it here"
            also = describe_cuts(reach.cuts(graph.nodes, objective, {}, network)) or also
        names.sink.report("NL403", message, item.span, also=tuple(also), help=help_text)


def _warn_mode(names: ProgramNames, step: Step, node: Mapping) -> None:
    called = called_networks(step.graph)
    for pair in pairs_of(node.get("mode")):
        if pair.key.value not in called:
            message = f"the step gives `{pair.key.value}` a mode and does not call it"
            names.warn("NL421", message, pair.key.span, help="remove it")


def _warn_decay(names: ProgramNames, step: Step, node: Mapping) -> None:
    scalar = node.get("ema")
    if step.ema is not None and step.ema < LOWEST_DECAY and isinstance(scalar, Scalar):
        message = f"an average with `ema: {scalar.value}` is hardly one: it keeps {step.ema:g} of itself at each update"
        names.warn("NL421", message, scalar.span, help="decays are near 1, such as 0.999")
