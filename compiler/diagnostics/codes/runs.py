"""NL7xx: runs and commands."""

from __future__ import annotations

from typing import Final

from compiler.diagnostics.codes.code import Code

CODES: Final[tuple[Code, ...]] = (
    Code(
        "NL701",
        "no such spec",
        """A command was given a spec that is neither a file nor the name of a spec that comes with netlang. A file wins over a name.
`netlang specs` lists the names.

Bad:
    netlang check lennet5
Good:
    netlang check lenet5
    netlang check nets/lenet5.yaml""",
    ),
    Code(
        "NL702",
        "output exists already",
        """A command would write over files that are there. Nothing was written. With `--force` they are replaced once the new ones are
complete.

Bad:
    netlang build lenet5 --out out      # the second time
Good:
    netlang build lenet5 --out out --force""",
    ),
    Code(
        "NL703",
        "output cannot be written",
        """A file or folder that a command makes could not be made: the place is read-only, the disk is full, or a part of the path is a
file. What was there before is as it was.

Bad:
    netlang build lenet5 --out /proc/out
Good:
    netlang build lenet5 --out out""",
    ),
    Code(
        "NL704",
        "no such size",
        """`--size` gives a number to a size that the spec leaves open. The name must be a symbolic size of an input of one of its
networks, and the number positive.

Bad:
    netlang show vgg19 --size M=64
Good:
    netlang show vgg19 --size N=64""",
    ),
    Code(
        "NL705",
        "no weights for these networks",
        """A file of weights was given for a spec with several networks, or for one that has none. With several networks `--weights`
names a folder with one file a network: `G.safetensors`, `D.safetensors`.

Bad:
    netlang build dcgan --weights G.safetensors
Good:
    netlang build dcgan --weights weights/""",
    ),
    Code(
        "NL710",
        "nothing to train, to measure or to sample",
        """`train` needs a section `train`; `eval` needs `metrics` in it, and `sample` needs `sample`.

Bad:
    netlang train vgg19      # a spec with networks alone
Good:
    netlang train lenet5""",
    ),
    Code(
        "NL711",
        "not enough memory",
        """The weights, their gradients, the optimizers' states and the results that the backward pass keeps would take more than 80 % of
the memory that is free (in the system and in the process's control group), or more than `--max-bytes`. Nothing was allocated.

Bad:
    layers: {head: linear(1000000000)}
Good:
    layers: {head: linear(1000)}""",
    ),
    Code(
        "NL712",
        "a run's folder cannot be made or used",
        """A new run makes its folder and never writes into one that exists. The place must be writable.

Bad:
    netlang train lenet5 --folder runs/first      # the second time
Good:
    netlang train lenet5 --folder runs/second
    netlang train lenet5 --resume runs/first""",
    ),
    Code(
        "NL713",
        "the run is in use",
        """Another process trains in this folder. Two would overwrite each other's checkpoints. The lock goes away with its process, however
that ends.

Bad:
    netlang train lenet5 --resume runs/first &
    netlang train lenet5 --resume runs/first
Good:
    netlang train lenet5 --resume runs/first""",
    ),
    Code(
        "NL714",
        "nothing to resume",
        """The folder is not there, or holds no checkpoint.

Bad:
    netlang train lenet5 --resume runs
Good:
    netlang train lenet5 --resume runs/lenet5/20260101-120000""",
    ),
    Code(
        "NL715",
        "no checkpoint is sound",
        """Each checkpoint has a manifest with the size and the SHA-256 of every file. In all checkpoints of this run a file is missing or
has changed, or they are those of another program. Nothing was loaded.

Bad:
    netlang train lenet5 --resume damaged
Good:
    netlang train lenet5 --resume copy_of_the_run""",
    ),
    Code(
        "NL716",
        "an older checkpoint is used",
        """The newest checkpoint does not match its manifest, so the run goes on from the one before. The damaged one is kept under the name
`damaged-step-…`. What was computed in between is computed again, with the same results.

Bad:
    step-00002000 has changed on the disk
Good:
    step-00002000 is as it was written""",
    ),
    Code(
        "NL717",
        "the run was started with something else",
        """A run goes on with the spec, the constants, the seed, the back end and the type it was started with, so that the result is
that of an unbroken run. Weights of networks that it does not change are read anew from the files that the spec names: those too
must be what they were.

Bad:
    netlang train lenet5 --set classes=10
    netlang train lenet5 --set classes=12 --resume runs/first
Good:
    netlang train lenet5 --set classes=10 --resume runs/first""",
    ),
    Code(
        "NL718",
        "the run was started elsewhere",
        """The number of threads, the device or a package's version is not that of the run's start. The run goes on, but sums are taken in
another order, so results may differ from an unbroken run's in the last digits.

Bad:
    netlang train lenet5 --threads 8
    netlang train lenet5 --threads 4 --resume runs/first
Good:
    netlang train lenet5 --threads 8 --resume runs/first""",
    ),
    Code(
        "NL719",
        "the state of a run cannot be saved",
        """The disk is full, failed, or may no longer be written. The run stops, since it must not go on without checkpoints. Those before
are as they were.

Bad:
    netlang train lenet5 --folder /full/disk
Good:
    netlang train lenet5 --resume /full/disk      # after making room""",
    ),
    Code(
        "NL720",
        "a number is not finite",
        """The objective, a gradient or a weight became NaN or infinite. The run stopped before it would have updated or saved anything
with it. The message names the first layer with such a result.

Bad:
    with: sgd(lr=100)
Good:
    with: sgd(lr=0.1)""",
    ),
    Code(
        "NL722",
        "no such device",
        """`--device` names what torch, or CuPy with `--backend numpy`, can compute on here.

Bad:
    netlang train lenet5 --device cuda:7
Good:
    netlang train lenet5 --device cpu""",
    ),
    Code(
        "NL723",
        "epochs that never end",
        """An epoch is a pass over `train`. Where no step reads a field of `train`, or all steps end before, passes cannot be counted.

Bad:
    epochs: 10
    steps: [{update: G, minimize: mean(G(z)), with: adam}]
Good:
    iterations: 10000
    steps: [{update: G, minimize: mean(G(z)), with: adam}]""",
    ),
    Code(
        "NL724",
        "no CuPy",
        """The NumPy back end computes on a graphics card with CuPy, which has NumPy's interface. It is not installed here, or cannot be
loaded. The package is called after the version of CUDA: `cupy-cuda12x`, `cupy-cuda13x`.

Bad:
    netlang train lenet5 --backend numpy --device cuda      # without CuPy
Good:
    netlang train lenet5 --backend numpy
    netlang train lenet5 --device cuda      # torch""",
    ),
    Code(
        "NL725",
        "back ends disagree",
        """`compare` runs networks and the gradients of steps with PyTorch, with NumPy and from the stand-alone files. A tensor differs by
more than is allowed. With f32 rounding alone may do that in deep networks; with f64 it is a fault of netlang, or of an op that was
registered.

Bad:
    netlang compare resnet50 --dtype f32 --tolerance 1e-7
Good:
    netlang compare resnet50""",
    ),
    Code(
        "NL726",
        "no PyTorch",
        """A command computes with PyTorch, which is not installed here. Training and evaluation also run with NumPy alone.

Bad:
    netlang train lenet5      # without PyTorch
Good:
    netlang train lenet5 --backend numpy""",
    ),
    Code(
        "NL727",
        "NumPy has no gradient of an op",
        """The NumPy back end trains with gradients that the compiler derives. For what is named there is none: of a scan, the gradient
of its gradient, which a gradient penalty asks for; or an op of your own without a derivative. Forward it runs.

Bad:
    netlang train penalized_rnn --backend numpy    # grad(reader(rows), rows) inside `minimize`
Good:
    netlang train penalized_rnn""",
    ),
    Code(
        "NL730",
        "no Pillow to write pictures",
        """Samples and curves are written as pictures by the package Pillow, which netlang does not install by itself.

Bad:
    netlang train style      # without Pillow
Good:
    pip install "netlang[data]" && netlang train style""",
    ),
    Code(
        "NL731",
        "no such sample",
        """`netlang sample` was given a name that does not stand under `sample` in the section `train` of the spec. Without a name it makes
all of them.

Bad:
    netlang sample ring faces --weights runs/first
Good:
    netlang sample ring made --weights runs/first""",
    ),
    Code(
        "NL732",
        "a sample cannot be made like that",
        """A number of examples was asked of samples whose size the spec has fixed, or more of them than the evaluation data holds; a prompt
was given to what is no text, or with characters that the text does not have; or the numbers of a field are no characters.

Bad:
    netlang sample shakespeare --weights runs/first --count 9
Good:
    netlang sample shakespeare --weights runs/first --prompt "ROMEO:" --length 500""",
    ),
    Code(
        "NL733",
        "samples do not go into that file",
        """`--out` of `sample` names one file for several pictures or texts, or a picture for a text. A `.npz` file holds any number of
samples as arrays, and a folder gets a file for each.

Bad:
    netlang sample cgan_digits --weights runs/first --out grid.png      # which has two samples
Good:
    netlang sample cgan_digits --weights runs/first --out samples
    netlang sample cgan_digits digits --weights runs/first --out grid.png""",
    ),
    Code(
        "NL734",
        "no log of a run",
        """`plot` draws what stands in `metrics.jsonl` in the folder of a run. There is none in this folder.

Bad:
    netlang plot runs
Good:
    netlang plot runs/lenet5/20260101-120000""",
    ),
    Code(
        "NL735",
        "no gradients to watch",
        """`--watch gradients` measures how the gradient of an objective reaches back through the states of a scan. There must be a step
whose objective reads a scan.

Bad:
    netlang train lenet5 --watch gradients
Good:
    netlang train rnn/adding --watch gradients""",
    ),
)
