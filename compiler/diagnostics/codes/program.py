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
        """`update` names networks and variables, and a gradient of the step's objective must reach each of them. None goes through
integers, comparisons and `argmax`, none through `replay`, and a network without weights of its own has nothing to update.

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
        "NL410",
        "a function of programs elsewhere",
        """`grad` and `replay` belong to training programs: they stand in a step and its `let`, not in a network or an assert. `generate`
stands only under `sample`.

Bad:
    networks: {net: {inputs: {x: [N, 2]}, layers: {y: linear(1), slope: "grad(y, x)"}}}
Good:
    minimize: mean(norm(grad(net(x), x)))""",
    ),
    Code(
        "NL411",
        "nothing to differentiate",
        """`grad(y, x)` is the gradient of sum(y) with respect to x. y must be made of x, by floating-point values alone, and the same x: a
value that is written twice is computed twice, so it needs a name.

Bad:
    minimize: mean(norm(grad(critic(image + noise), image + noise)))
Good:
    let: {mix: image + noise}
    minimize: mean(norm(grad(critic(mix), mix)))""",
    ),
    Code(
        "NL412",
        "no use of a replay buffer",
        """`replay(value, size)` keeps examples of a batch while steps run. A metric or a sample reads the value itself.

Bad:
    metrics: {score: "mean(D(replay(G(z), 50)))"}
Good:
    metrics: {score: mean(D(G(z)))}""",
    ),
    Code(
        "NL413",
        "not a variable",
        """A variable is one tensor of floating-point numbers that is trained. Its first value has sizes that are numbers: it is made of
constants, draws, and data sources that are one tensor. It shares its name with nothing else of the program, and networks
cannot read it: what they need is an input of theirs.

Bad:
    variables: {code: {init: "normal(N, 64)"}}
Good:
    variables: {code: {init: "normal(1, 64)"}}""",
    ),
    Code(
        "NL414",
        "not a sample",
        """What a sample writes follows from its type: pictures are [K, 1, H, W] or [K, 3, H, W] with values from 0 to 1, points are
[K, 2], a text is `generate(logits)` with logits [N, T, V] that a network gives for one text i64[N, T].

Bad:
    sample: {code: "encoder(image)"}
Good:
    sample: {picture: "decoder(encoder(image))"}""",
    ),
    Code(
        "NL415",
        "no network to give a mode",
        """`mode` says of networks that a step calls whether they run in training mode (batch statistics, dropout), where not as the program
would choose.

Bad:
    mode: {generator: eval}
Good:
    mode: {G: eval}""",
    ),
    Code(
        "NL416",
        "not a carried state",
        """`carry` says what a state is in the next iteration; what it is in the first of an epoch stands under its name in the program's
`let`, has the same type, and reads no data and no draws.

Bad:
    carry: {h: "net(text, h).h"}
Good:
    let: {h: "zeros(N, 128)"}
    carry: {h: "net(text, h).h"}""",
    ),
    Code(
        "NL420",
        "nothing reads it",
        """A warning: a draw, a value, a state, a variable or a data source of the program that no step, metric or sample reads.

Bad:
    draw: {z: "normal(N, 64)", w: "normal(N, 64)"}
    steps: [{update: G, minimize: mean(G(z)), with: adam}]
Good:
    draw: {z: "normal(N, 64)"}
    steps: [{update: G, minimize: mean(G(z)), with: adam}]""",
    ),
    Code(
        "NL421",
        "a setting without effect",
        """A warning: a step that no iteration runs, a schedule whose end lies behind the run's, a mode of a network that the step does not
call, an average that forgets at once, a buffer of a constant.

Bad:
    {after: 500, until: 100}
Good:
    {after: 100, until: 500}""",
    ),
    Code(
        "NL422",
        "batch norm under a gradient penalty",
        """A warning: a penalty on the gradient by a network's input is meant for each example alone, and batch norm lets each output depend
on all examples of the batch. Gulrajani et al. 2017 (arXiv:1704.00028) use layer norm in such networks.

Bad:
    layers: {main: conv(64, 4) -> batch_norm -> relu}
Good:
    layers: {main: conv(64, 4) -> layer_norm -> relu}""",
    ),
    Code(
        "NL423",
        "statistics of a network that is not trained",
        """A note: networks that some step trains run in training mode in every step, so their batch norm counts what this step gives them,
too. That is what published recipes of such networks do; `mode` says otherwise.

Bad (where this is not wanted):
    - {update: G, minimize: mean(D(G(z))), with: adam}
Good:
    - {update: G, minimize: mean(D(G(z))), with: adam, mode: {D: eval}}""",
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
