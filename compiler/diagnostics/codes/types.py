"""NL2xx: types and shapes."""

from __future__ import annotations

from typing import Final

from compiler.diagnostics.codes.code import Code

CODES: Final[tuple[Code, ...]] = (
    Code(
        "NL201",
        "a network or block is given another type",
        """The inputs of networks and blocks have declared types. Names of sizes may take any size, the same one wherever they occur;
numbers, the number of axes and the dtype must be equal.

Bad (net has inputs: {image: [N, 1, 28, 28]}, x is [N, 3, 28, 28]):
    net(x)
Good:
    net(mean(x, axis=1, keepdims=true))""",
    ),
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
    Code(
        "NL220",
        "reshape changes the number of numbers",
        """`reshape` keeps every number and its order, so the product of the sizes stays the same. At most one size is -1: what
is left. The batch is a size too.

Bad (x is [N, 3, 4]):
    reshape(x, 12)
Good:
    reshape(x, N, 12)""",
    ),
    Code(
        "NL221",
        "tensors do not join",
        """`concat` puts tensors behind one another along one axis, and all other sizes must be equal; `stack` needs them all
equal.

Bad (up is [N, 64, 30, 30], skip is [N, 64, 32, 32]):
    concat(up, skip)
Good:
    concat(pad(up, 1), skip)""",
    ),
    Code(
        "NL222",
        "parts do not make up the whole",
        """`split` parts an axis into equal pieces, or into pieces of the sizes listed; together they are the whole axis.

Bad (x is [N, 7]):
    split(x, 2)
Good:
    split(x, [3, 4])""",
    ),
    Code(
        "NL223",
        "index out of range",
        """A position lies outside its axis, an index names more axes than there are, or a slice takes nothing.

Bad (x is [N, 10]):
    x[:, 10]
Good:
    x[:, 9]""",
    ),
    Code(
        "NL224",
        "step of a slice",
        """Slices step forward by a number known beforehand. To read an axis backwards, flip it.

Bad:
    x[:, ::-1]
Good:
    flip(x, 1)""",
    ),
    Code(
        "NL225",
        "padding too large",
        """Padding of a pooling window is at most half of it, or a window could lie in the padding alone; reflected and circular
padding cannot be longer than what they repeat; the output padding of a transposed convolution is smaller than its stride.

Bad:
    max_pool(x, 2, pad=2)
Good:
    max_pool(x, 2, pad=1)""",
    ),
    Code(
        "NL226",
        "axis to remove is not of size 1",
        """`squeeze` removes axes that hold one entry. Any other axis holds numbers that would be lost: index it, reduce it, or
flatten it.

Bad (x is [N, 3]):
    squeeze(x, 1)
Good:
    mean(x, axis=1)""",
    ),
    Code(
        "NL227",
        "upsampling said wrongly",
        """`upsample` takes either `scale` or `size`; an interpolation is named for its number of dimensions or just `linear`;
`align_corners` belongs to interpolation.

Bad (x is [N, C, H, W]):
    upsample(x, 2, mode=trilinear)
Good:
    upsample(x, 2, mode=linear)""",
    ),
    Code(
        "NL228",
        "matrices do not multiply",
        """`x @ y` sums over the last axis of x and the last but one of y, so these sizes are equal.

Bad (q and k are [N, T, 64]):
    q @ k
Good:
    q @ transpose(k)""",
    ),
    Code(
        "NL230",
        "nothing to normalize",
        """`instance_norm` takes away the mean of each channel of each example. Where a channel has one number, that leaves 0
whatever the input.

Bad (x is [N, 64, 1, 1]):
    instance_norm(x)
Good:
    layer_norm(flatten(x))""",
    ),
    Code(
        "NL231",
        "a state changed by its step",
        """A state has one type from step to step: what an equation gives as its next value must have the declared shape.

Bad (x is [D]):
    state: {h: [H]}
    step: {h': tanh(x)}
Good:
    state: {h: [H]}
    step: {h': tanh(W @ x)}""",
    ),
)
