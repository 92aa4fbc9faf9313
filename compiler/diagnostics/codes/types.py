"""NL2xx: types and shapes."""

from __future__ import annotations

from typing import Final

from compiler.diagnostics.codes.code import Code

CODES: Final[tuple[Code, ...]] = (
    Code(
        "NL202",
        "wrong number of dimensions",
        """The op works on tensors of a certain rank. `conv`, for one, takes N, C and 1, 2 or 3 spatial sizes, and a vector has
none to slide over. Shapes never grow axes by themselves: add or drop one where you mean it.

Bad (x is [N, 28, 28]):
    conv(x, 6, 5)
Good:
    reshape(x, N, 1, 28, 28) -> conv(6, 5)""",
    ),
    Code(
        "NL203",
        "shapes do not broadcast",
        """Two operands meet number by number. From the last axis backwards their sizes must be equal, or one of them 1, or
missing. Here two sizes differ whatever values the symbols take.

Bad (main is [N, 64, H, W], skip is [N, 32, H, W]):
    main + skip
Good:
    main + conv(skip, 64, 1)""",
    ),
    Code(
        "NL204",
        "sizes not proved to fit",
        """The sizes may be equal for some values of their symbols and differ for others, so the spec is neither right nor wrong
yet. Write the sizes in common symbols, declare one as a multiple (`2*H`), or give concrete sizes.

Bad (x is [N, C]):
    glu(x)
Good (x is [N, 2*C]):
    glu(x)""",
    ),
    Code(
        "NL205",
        "size must be known",
        """The shape of a parameter depends on this size, and parameters exist before any data does. A symbol will not do.

Bad:
    inputs: {x: [N, D]}
    layers: [linear(10)]
Good:
    inputs: {x: [N, 784]}
    layers: [linear(10)]""",
    ),
    Code(
        "NL206",
        "window does not fit",
        """A kernel, or the padding around it, is larger than what is there: the result would have no numbers. Often there are
more layers that shrink a picture than it has sizes to give.

Bad (x is [N, 3, 4, 4]):
    conv(x, 8, 5)
Good:
    conv(x, 8, 5, pad=2)""",
    ),
    Code(
        "NL207",
        "no such axis",
        """Axes count from 0, or from -1 backwards, and each may be named once. A tensor of rank 3 has the axes 0, 1, 2 and
-1, -2, -3.

Bad (x is [N, T, D]):
    mean(x, axis=3)
Good:
    mean(x, axis=-1)""",
    ),
    Code(
        "NL208",
        "list of the wrong length",
        """An attribute that holds one number for each axis lists more or fewer of them than there are axes. One number alone
serves all of them.

Bad (x is [N, 3, H, W]):
    conv(x, 8, [3, 3, 3])
Good:
    conv(x, 8, [3, 3])""",
    ),
    Code(
        "NL209",
        "size does not divide",
        """Something is parted into equal groups, pieces or heads, and the size is no multiple of their number.

Bad (x is [N, 6, H, W]):
    conv(x, 8, 3, groups=4)
Good:
    conv(x, 8, 3, groups=2)""",
    ),
    Code(
        "NL210",
        "wrong element type",
        """The op is defined for floating-point numbers, for numbers, or for truth values, and the operand holds something else.
Nothing is converted silently where it would lose information; `cast` converts, a comparison makes truth values.

Bad (label is i64[N]):
    mean(label)
Good:
    mean(cast(label, f32))""",
    ),
    Code(
        "NL211",
        "labels are not class indices",
        """`cross_entropy`, `nll` and `accuracy` compare a score for each class with the index of the right class, an i64. One-hot
labels become indices by `argmax`; scores come first, labels second.

Bad (label is one-hot, [N, 10]):
    cross_entropy(logits, label)
Good:
    cross_entropy(logits, argmax(label, axis=1))""",
    ),
    Code(
        "NL212",
        "target of another shape",
        """A loss compares a prediction with its target number by number and never broadcasts: [N, 1] against [N] would
silently compare everything with everything. Labels have the shape of the scores without the class axis.

Bad (critic(x) is [N, 1], target is [N]):
    mse(critic(x), target)
Good:
    mse(critic(x), reshape(target, N, 1))""",
    ),
    Code(
        "NL213",
        "size below 1",
        """Every size of a tensor is at least 1.

Bad:
    normal(N, 64 - 64)
Good:
    normal(N, 64)""",
    ),
    Code(
        "NL214",
        "empty range",
        """The lower bound is not below the upper one, so there is nothing between them.

Bad:
    clip(x, 1, -1)
Good:
    clip(x, -1, 1)""",
    ),
    Code(
        "NL215",
        "spread of too few numbers",
        """`var` and `std` divide by the count less `correction`, which is 1 unless you say otherwise. That leaves nothing to
divide by here.

Bad (x is [N, 1]):
    var(x, axis=1)
Good:
    var(x, axis=1, correction=0)""",
    ),
    Code(
        "NL217",
        "more places than classes",
        """`accuracy` with `top=k` counts a label as found among the k highest scores. With k above the number of classes
everything would count.

Bad (logits is [N, 3]):
    accuracy(logits, label, top=5)
Good:
    accuracy(logits, label, top=2)""",
    ),
)
