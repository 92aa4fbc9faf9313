"""NL160 to NL179: cells."""

from __future__ import annotations

from typing import Final

from compiler.diagnostics.codes.code import Code

CODES: Final[tuple[Code, ...]] = (
    Code(
        "NL160",
        "defined twice in a cell",
        """Inputs, states, parameters, constants and equations of a cell share one set of names, each defined once.

Bad:
    params: {W: [H, D]}
    step: {W: tanh(x), h': W}
Good:
    params: {W: [H, D]}
    step: {a: tanh(W @ x), h': a}""",
    ),
    Code(
        "NL161",
        "a state assigned without its prime",
        """Within a step a state is what the step before left; the equation that gives its next value has a prime.

Bad:
    state: {c: [H]}
    step: {c: f * c + i * g}
Good:
    state: {c: [H]}
    step: {c': f * c + i * g}""",
    ),
    Code(
        "NL162",
        "a prime on what is no state",
        """Only states have a next value. A name within one step is written without a prime.

Bad:
    state: {h: [H]}
    step: {g': tanh(W @ x), h': g'}
Good:
    state: {h: [H]}
    step: {g: tanh(W @ x), h': g}""",
    ),
    Code(
        "NL163",
        "a state that is never updated",
        """Each state has one equation for its next value. What never changes is a parameter or an input.

Bad:
    state: {h: [H], c: [H]}
    step: {h': tanh(W @ x + c)}
Good:
    state: {h: [H]}
    step: {h': tanh(W @ x)}""",
    ),
    Code(
        "NL164",
        "a next value that no equation defines",
        """A primed name stands for the state's value after this step, which one of the equations must give.

Bad:
    state: {h: [H]}
    step: {g: tanh(W @ h')}
Good:
    state: {h: [H]}
    step: {g: tanh(W @ h), h': g}""",
    ),
    Code(
        "NL165",
        "equations in a circle",
        """The equations of a step can stand in any order, but none can need its own result. The value of a state in the step before is its
name without a prime.

Bad:
    step: {c': f * c + g, f: sigmoid(p * c')}
Good:
    step: {c': f * c + g, f: sigmoid(p * c)}""",
    ),
    Code(
        "NL166",
        "an unused parameter of a cell",
        """A weight that no equation reads would never be trained.

Bad:
    params: {W: [H, D], b: [H]}
    step: {h': tanh(W @ x)}
Good:
    params: {W: [H, D], b: [H]}
    step: {h': tanh(W @ x + b)}""",
    ),
    Code(
        "NL167",
        "an unused input of a cell",
        """What comes in at each step must be read by an equation or the output.

Bad:
    inputs: {x: [D], y: [D]}
    step: {h': tanh(W @ x)}
Good:
    inputs: {x: [D]}
    step: {h': tanh(W @ x)}""",
    ),
    Code(
        "NL168",
        "not allowed in a cell",
        """A step is made of ops without weights and without draws, which can be done for many examples at once. Weights stand under
`params`; dropout stands before or after the scan.

Bad:
    step: {h': x -> linear(8) -> tanh}
Good:
    params: {W: [H, D], b: [H]}
    step: {h': tanh(W @ x + b)}""",
    ),
    Code(
        "NL169",
        "the output depends on nothing",
        """The output of a cell is computed at each step from inputs or states; one that reads neither is a constant.

Bad:
    output: b
Good:
    output: h'""",
    ),
    Code(
        "NL170",
        "a size that nothing tells",
        """The sizes of a cell are its constants and those of its inputs, which are known where it is used.

Bad:
    inputs: {x: [D]}
    params: {W: [H, E]}
Good:
    inputs: {x: [D]}
    params: {W: [H, D]}""",
    ),
)
