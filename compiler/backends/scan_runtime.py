"""What printed scans on torch share: the `torch.autograd.Function` around NumPy functions, and memory that is used again.

The texts are printed as they stand; names in them are `np`, `torch`, `threading` and the functions in `ARRAY_FUNCTIONS`.
"""

from __future__ import annotations

import re
from typing import Final

from compiler.backends.scan_arrays import in_order, steps_going, to_steps

TRANSFORMED: Final = '''def is_transformed():
    """Whether `torch.func` or forward-mode differentiation is at work, which composed operations alone bear."""
    forward_mode = torch.autograd.forward_ad._current_level >= 0
    return not torch.compiler.is_compiling() and (torch._C._are_functorch_transforms_active() or forward_mode)'''
"""What every scan needs that is not the plain loop alone."""

ARRAY_FUNCTIONS: Final = (to_steps, in_order, steps_going)
"""Functions that `ARRAYS` calls."""

ARRAYS: Final = '''class ScanFunction(torch.autograd.Function):
    """A scan by NumPy functions on the memory of CPU tensors; gradients of its gradients are those of the plain loop."""

    @staticmethod
    def forward(ctx, scan, lengths, reverse, sequences, *tensors):
        results, kept = run_scan_arrays(scan, lengths, reverse, sequences, tensors, True)
        ctx.scan, ctx.lengths, ctx.reverse, ctx.sequences = scan, lengths, reverse, sequences
        ctx.given, ctx.saved, ctx.buffers = kept
        ctx.save_for_backward(results[0], *tensors)
        ctx.set_materialize_grads(False)
        return results

    @staticmethod
    def backward(ctx, grad_outputs, *grad_states):
        outputs, *tensors = ctx.saved_tensors
        if torch.is_grad_enabled():
            return None, None, None, None, *scan_gradients(ctx, tensors, grad_outputs, grad_states)
        grads = [None if item is None else item.numpy() for item in grad_states]
        first = (
            np.zeros(outputs.shape, outputs.detach().numpy().dtype) if grad_outputs is None else grad_outputs.numpy()
        )
        first = np.ascontiguousarray(in_order(first, ctx.reverse))
        inward = any(ctx.needs_input_grad[4 : 4 + ctx.sequences])
        weights = [item.detach().numpy() for item in tensors[ctx.sequences + len(grads) :]]
        buffers = ScanBuffers()
        with np.errstate(all="ignore"):
            found = list(ctx.scan[1](first, *grads, *ctx.given, *weights, ctx.saved, inward, buffers.empty))
        buffers.give_back()
        for index in range(ctx.sequences):
            if found[index] is not None:
                found[index] = in_order(found[index], ctx.reverse).swapaxes(0, 1)
        needed = zip(found, ctx.needs_input_grad[4:], strict=True)
        return (
            None,
            None,
            None,
            None,
            *(torch.from_numpy(item) if wanted and item is not None else None for item, wanted in needed),
        )


def run_scan_arrays(scan, lengths, reverse, sequences, tensors, keep):
    """Outputs [T, N, …] and final states, and with `keep` what the backward pass reads."""
    arrays = [None if item is None else item.detach().numpy() for item in tensors]
    valid = None if lengths is None else lengths.numpy()
    given = [to_steps(item, valid, reverse) for item in arrays[:sequences]]
    given += steps_going(valid, given[0].shape[0], scan[2], reverse)
    buffers = ScanBuffers()
    with np.errstate(all="ignore"):
        outputs, *states, saved = scan[0](*given, *arrays[sequences:], keep, buffers.empty)
    buffers.give_back(saved if keep else ())
    return tuple(map(torch.from_numpy, [in_order(outputs, reverse), *states])), (given, saved, buffers)


class ScanBuffers:
    """Memory of calls that are over, for the next ones: fresh pages cost more than what is computed in them.

    Arrays that are saved for a backward pass come back when its graph is gone; at most POOL bytes lie ready.
    """

    POOL = 2**28
    ready = {}
    lock = threading.Lock()

    def __init__(self):
        self.taken = {}

    def empty(self, shape, dtype):
        with self.lock:
            known = self.ready.get((shape, dtype))
            array = known.pop() if known else None
        if array is None:
            array = np.empty(shape, dtype)
        self.taken[id(array)] = array
        return array

    def give_back(self, kept=()):
        """All but those kept, which stay taken until this object is gone."""
        kept = {id(array): self.taken[id(array)] for array in kept if id(array) in self.taken}
        with self.lock:
            for key, array in self.taken.items():
                if key not in kept:
                    self.ready.setdefault((array.shape, array.dtype), []).append(array)
            while sum(array.nbytes for arrays in self.ready.values() for array in arrays) > self.POOL:
                oldest = next(iter(self.ready))
                self.ready[oldest].pop()
                if not self.ready[oldest]:
                    del self.ready[oldest]
        self.taken = kept

    def __del__(self):
        self.give_back()


def scan_gradients(ctx, tensors, grad_outputs, grad_states):
    """Gradients that can be differentiated again: of the plain loop, run once more."""
    needed = [index for index, wanted in enumerate(ctx.needs_input_grad[4:]) if wanted]
    with torch.enable_grad():
        outputs, *states = ctx.scan[3](ctx.lengths, ctx.reverse, *tensors)
        pairs = [
            (outputs, None if grad_outputs is None else grad_outputs.transpose(0, 1)),
            *zip(states, grad_states, strict=True),
        ]
        pairs = [(value, grad) for value, grad in pairs if grad is not None and value.requires_grad]
        values, grads = [value for value, _ in pairs], [grad for _, grad in pairs]
        made = torch.autograd.grad(
            values, [tensors[index] for index in needed], grads, create_graph=True, allow_unused=True
        )
    found = dict(zip(needed, made, strict=True))
    return [found.get(index) for index in range(len(tensors))]


def scan_products(work):
    """How products are done, by their multiply-adds a step: `product` in the loop, on what `steps` and `fixed` make of arrays.

    Large ones are torch's, on the same memory; calls for small ones cost less with NumPy.
    """
    if work < 2**20:

        def same(array, lanes):
            return array

        def squeezed(array, lanes):
            return array[0] if array.ndim == 3 and lanes == 1 else array

        return np.matmul, same, squeezed, torch.from_numpy

    def steps(array, lanes):
        tensor = torch.from_numpy(array)
        return (tensor if tensor.ndim == 4 else tensor.unsqueeze(1).expand(-1, lanes, -1, -1)).unbind(0)

    def fixed(array, lanes):
        tensor = torch.from_numpy(array)
        return tensor if tensor.ndim == 3 else tensor.expand(lanes, -1, -1)

    return lambda left, right, out: torch.bmm(left, right, out=out), steps, fixed, torch.from_numpy


def suits_arrays(tensors):
    """Whether NumPy may work on the memory of these tensors: plain ones on the CPU, of one floating-point type, traced by nobody."""
    floats = {dtype for dtype in {item.dtype for item in tensors} if dtype.is_floating_point}
    if len(floats) != 1 or not floats <= {torch.float32, torch.float64}:
        return False
    if not {type(item) for item in tensors} <= {torch.Tensor, torch.nn.Parameter}:
        return False
    if not all(item.is_cpu for item in tensors):
        return False
    if torch.compiler.is_exporting() or torch.jit.is_tracing():
        return False
    return not is_transformed()


def scan_arrays(scan, lengths, reverse, sequences, tensors):
    """The scan by its NumPy functions: outputs [N, T, …] and final states. A compiler calls it as it is."""
    call = torch.compiler.disable(apply_scan) if torch.compiler.is_compiling() else apply_scan
    return call(scan, lengths, reverse, sequences, *tensors)


def apply_scan(scan, lengths, reverse, sequences, *tensors):
    if torch.is_grad_enabled() and any(item is not None and item.requires_grad for item in tensors):
        outputs, *states = ScanFunction.apply(scan, lengths, reverse, sequences, *tensors)
    else:
        (outputs, *states), _ = run_scan_arrays(scan, lengths, reverse, sequences, tensors, False)
    return outputs.transpose(0, 1), *states'''

NAMES: Final = frozenset(re.findall(r"^(?:def|class) (\w+)", f"{TRANSFORMED}\n{ARRAYS}", re.MULTILINE))
"""Names that the texts define."""
