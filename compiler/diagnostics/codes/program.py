"""NL4xx: training programs and asserts."""

from __future__ import annotations

from typing import Final

from compiler.diagnostics.codes.code import Code

CODES: Final[tuple[Code, ...]] = (
    Code(
        "NL401",
        "not one number",
        """An objective and a metric are single floating-point numbers. Reduce what is larger.

Bad:
    minimize: (net(x) - y) ** 2
Good:
    minimize: mean((net(x) - y) ** 2)""",
    ),
    Code(
        "NL402",
        "the objective is a constant",
        """Nothing can be learned from a number that is the same whatever the weights are.

Bad:
    minimize: 1 + 2
Good:
    minimize: mean(net(x) ** 2)""",
    ),
    Code(
        "NL403",
        "nothing to update",
        """`update` names networks, and the objective of the step must depend on each of them: otherwise their gradients would be zero.

Bad:
    - update: [encoder, decoder]
      minimize: mean(decoder(z))
Good:
    - update: decoder
      minimize: mean(decoder(z))""",
    ),
    Code(
        "NL404",
        "unknown optimizer or schedule",
        """Optimizers are sgd, momentum, rmsprop, adam, adamw and adagrad; schedules, which may stand for any of their numbers, are
constant, step, exponential, cosine and linear.

Bad:
    with: sgd(lr=cosin(0.1))
Good:
    with: sgd(lr=cosine(0.1))""",
    ),
    Code(
        "NL405",
        "a number of the program is out of range",
        """Counts (`epochs`, `iterations`, `batch`, `repeat`, `every`) are integers from 1; bounds (`clip_norm`, `clip_value`, `clamp`)
are positive.

Bad:
    batch: 0
Good:
    batch: 64""",
    ),
    Code(
        "NL409",
        "not part of this version of the language",
        """The key is reserved for a later version of the compiler.

Bad:
    variables: {canvas: {init: content}}
Good:
    networks: {net: …}""",
    ),
    Code(
        "NL450",
        "an assert does not hold",
        """The compiler computes every fact under `assert` and refuses the spec when one is false or is no truth value. The note tells
the values of both sides.

Bad (net has 61,706 parameters):
    assert: [params(net) == 61707]
Good:
    assert: [params(net) == 61706]""",
    ),
)
