"""The C that every native scan shares: vectors, the functions of single numbers, products of rows by packed weights.

A vector is one machine register; `real` is float or double. Only GNU C's vector types are used, which gcc and clang have. Nothing here
may be compiled with `-ffast-math`: `exp` rounds by adding a large number, which such a compiler takes away.

Weights for products are laid out in panels: for each lane, for each block of 2 vectors of columns, for each factor of the sum, a row of
the block for each of its inner indices; columns that are not there are 0.
"""

from __future__ import annotations

import math
from typing import Final

INCLUDES: Final = """#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

"""

VECTORS: Final = """
#if defined(__AVX512F__)
#include <immintrin.h>
#define BYTES 64
#define ROWS 8
#elif defined(__AVX__)
#define BYTES 32
#define ROWS 4
#else
#define BYTES 16
#define ROWS 4
#endif
#define INLINE static inline __attribute__((always_inline, unused))
#define WIDTH ((ptrdiff_t)(BYTES / sizeof(real)))
#define BLOCK (2 * WIDTH)

typedef real vec __attribute__((vector_size(BYTES)));
typedef whole mask __attribute__((vector_size(BYTES)));

INLINE vec splat(real value) { return value - (vec){0}; }
INLINE vec choose(mask m, vec a, vec b) { return (vec)((m & (mask)a) | (~m & (mask)b)); }
INLINE vec numbers(mask m) { return (vec)(m & (mask)splat(1)); }
INLINE mask truths(vec a) { return a != splat(0); }

INLINE vec load(const real *from, ptrdiff_t count)
{
    vec value = {0};
    memcpy(&value, from, (size_t)count * sizeof(real));
    return value;
}

INLINE void store(real *to, vec value, ptrdiff_t count) { memcpy(to, &value, (size_t)count * sizeof(real)); }

INLINE mask load_truth(const uint8_t *from, ptrdiff_t count)
{
    mask value = {0};
    for (ptrdiff_t i = 0; i < count; i++)
        value[i] = from[i] ? -1 : 0;
    return value;
}

INLINE void store_truth(uint8_t *to, mask value, ptrdiff_t count)
{
    for (ptrdiff_t i = 0; i < count; i++)
        to[i] = value[i] != 0;
}

INLINE mask splat_truth(uint8_t value) { return (mask){0} - (whole)(value != 0); }
"""

FUNCTIONS: Final = """
/* exp(r) - 1 for |r| < 0.35 */
INLINE vec short_expm1(vec r)
{
    vec sum = splat(SERIES[0]);
    for (size_t i = 1; i < sizeof(SERIES) / sizeof(real); i++)
        sum = sum * r + SERIES[i];
    return r + r * r * sum;
}

INLINE vec two_to(mask n) { return (vec)((n + EXPONENT_BIAS) << MANTISSA_BITS); }

/* x = n * log(2) + r */
INLINE vec split_exponent(vec x, mask *n)
{
    vec shifted = x * (real)1.4426950408889634 + ROUNDING;
    *n = (mask)shifted - (mask)splat(ROUNDING);
    vec count = shifted - ROUNDING;
    return x - count * LOG2_HIGH - count * LOG2_LOW;
}

INLINE vec v_abs(vec x) { return (vec)((mask)x & ~SIGN); }
INLINE vec v_negative(vec x) { return (vec)((mask)x ^ SIGN); }
INLINE vec v_copysign(vec x, vec y) { return (vec)(((mask)x & ~SIGN) | ((mask)y & SIGN)); }

INLINE vec v_exp(vec x)
{
    x = choose(x > splat(EXP_HIGH), splat(EXP_HIGH), x);
    x = choose(x < splat(EXP_LOW), splat(EXP_LOW), x);
    mask n;
    vec rest = short_expm1(split_exponent(x, &n)) + (real)1;
    mask half = n >> 1;
    return rest * two_to(half) * two_to(n - half);
}

/* a / b for b from 2 to 1e9 */
INLINE vec short_quotient(vec a, vec b)
{
#if defined(__AVX512F__)
    if (sizeof(real) == 4) {
        vec near = (vec)_mm512_rcp14_ps((__m512)b);
        return a * (near * ((real)2 - b * near));
    }
#endif
    return a / b;
}

/* the smaller of both; x where it is no number */
INLINE vec at_most(vec limit, vec x)
{
#if defined(__AVX512F__)
    return sizeof(real) == 4 ? (vec)_mm512_min_ps((__m512)limit, (__m512)x) : (vec)_mm512_min_pd((__m512d)limit, (__m512d)x);
#else
    return choose(x > limit, limit, x);
#endif
}

/* (exp(2|x|) - 1) / (exp(2|x|) + 1), with the sign of x; where log(2) is not exact enough, it is 1 */
INLINE vec v_tanh(vec x)
{
    vec twice = at_most(splat(TANH_HIGH), v_abs(x) * (real)2);
    vec shifted = twice * (real)1.4426950408889634 + ROUNDING;
    vec rest = short_expm1(twice - (shifted - ROUNDING) * (real)0.69314718055994531);
    vec scale = (vec)(((mask)shifted << MANTISSA_BITS) + ((whole)EXPONENT_BIAS << MANTISSA_BITS));
    vec grown = rest * scale + (scale - (real)1);
    return v_copysign(short_quotient(grown, grown + (real)2), x);
}

INLINE vec v_square(vec x) { return x * x; }
INLINE vec v_reciprocal(vec x) { return (real)1 / x; }
INLINE vec v_sign(vec x) { return choose(x != x, x, numbers(x > splat(0)) - numbers(x < splat(0))); }
INLINE vec v_maximum(vec x, vec y) { return choose((x > y) | (x != x), x, y); }
INLINE vec v_minimum(vec x, vec y) { return choose((x < y) | (x != x), x, y); }

#define EACH(name, function)                                                                                                           \\
    INLINE vec v_##name(vec x)                                                                                                         \\
    {                                                                                                                                  \\
        for (ptrdiff_t i = 0; i < WIDTH; i++)                                                                                          \\
            x[i] = (real)function(x[i]);                                                                                               \\
        return x;                                                                                                                      \\
    }
"""

NUMBERS: Final = {
    "float": """typedef float real;
typedef int32_t whole;
#define MANTISSA_BITS 23
#define EXPONENT_BIAS 127
#define SIGN INT32_MIN
#define ROUNDING 12582912.0f
#define LOG2_HIGH 0.693359375f
#define LOG2_LOW -2.12194440e-4f
#define EXP_HIGH 89.0f
#define EXP_LOW -104.0f
#define TANH_HIGH 20.0f
""",
    "double": """typedef double real;
typedef int64_t whole;
#define MANTISSA_BITS 52
#define EXPONENT_BIAS 1023
#define SIGN INT64_MIN
#define ROUNDING 6755399441055744.0
#define LOG2_HIGH 0.693147180369123816490
#define LOG2_LOW 1.90821492927058770002e-10
#define EXP_HIGH 710.0
#define EXP_LOW -746.0
#define TANH_HIGH 40.0
""",
}
"""By type: its bits, log(2) in two parts of which the first times a small whole number is exact, and where functions are level.

The two parts of log(2) are those of the Cephes library for float and of fdlibm for double.
"""

SERIES: Final = {
    "float": (0.5, 0.16666577025597987, 0.041666554662057945, 0.008363173074512452, 0.0013926176119192207),
    "double": tuple(1 / math.factorial(power) for power in range(2, 14)),
}
"""(exp(r) - 1 - r) / r^2 by powers of r, from the lowest: for float interpolated between the Chebyshev points of |r| <= log(2) / 2, which
is within 2.3e-8 of exp(r) - 1 for its size; for double the series of exp.
"""

SINGLE: Final = (
    *("expm1", "log", "log1p", "log2", "sqrt", "cbrt", "floor", "ceil", "trunc", "rint"),
    *("sin", "cos", "tan", "asin", "acos", "atan", "sinh", "cosh", "atanh"),
)
"""Functions of the C library, called for each number."""


POWER: Final = """INLINE vec v_power(vec x, vec y)
{
    for (ptrdiff_t i = 0; i < WIDTH; i++)
        x[i] = pow(x[i], y[i]);
    return x;
}
"""


def print_numbers(real: str) -> str:
    """Everything before a scan's own functions, for `float` or `double`."""
    series = ", ".join(f"(real){number!r}" for number in reversed(SERIES[real]))
    suffix = "f" if real == "float" else ""
    single = "".join(f"EACH({name}, {name}{suffix})\n" for name in SINGLE)
    parts = [INCLUDES, NUMBERS[real], f"static const real SERIES[] = {{{series}}};\n", VECTORS, FUNCTIONS, single]
    return "".join([*parts, POWER.replace("pow", f"pow{suffix}"), print_products(), print_outer()])


def print_products() -> str:
    """Sums of products of rows by panels: `multiply_rows`, and `pack_weights`, which makes panels."""
    kernels = "".join(_print_rows(rows, unrolled) for rows, unrolled in ((1, 4), (2, 2), (4, 1)))
    return f"{kernels}#if ROWS == 8\n{_print_rows(8, 1)}#endif\n{MULTIPLY}"


def print_outer() -> str:
    """Products of rows, turned, by rows: `add_outer`."""
    kernels = "".join(_print_outer_rows(rows) for rows in (1, 2, 4))
    return f"{kernels}#if ROWS == 8\n{_print_outer_rows(8)}#endif\n{OUTER}"


def _print_outer_rows(rows: int) -> str:
    """Some rows of a product by one block of columns: sums over `count` rows of both sides."""
    sums = [f"s{row}_{half}" for row in range(rows) for half in (0, 1)]
    lines = [
        f"INLINE void outer_{rows}(ptrdiff_t count, const real *a, ptrdiff_t down, const real *b, ptrdiff_t across, real *out,",
        "                    ptrdiff_t low, ptrdiff_t high, int fresh)",
        "{",
        f"    vec {', '.join(f'{name} = {{0}}' for name in sums)};",
        "    for (ptrdiff_t row = 0; row < count; row++, a += down, b += across) {",
    ]
    lines += ["        vec b0 = load(b, low), b1 = load(b + WIDTH, high);"]
    for row in range(rows):
        lines += [f"        s{row}_0 += a[{row}] * b0;", f"        s{row}_1 += a[{row}] * b1;"]
    lines += ["    }", "    if (!fresh) {"]
    for row in range(rows):
        lines += [f"        s{row}_0 += load(out + {row} * across, low);", f"        s{row}_1 += load(out + {row} * across + WIDTH, high);"]
    lines.append("    }")
    for row in range(rows):
        lines += [f"    store(out + {row} * across, s{row}_0, low);", f"    store(out + {row} * across + WIDTH, s{row}_1, high);"]
    return "\n".join([*lines, "}", "", ""])


def _print_rows(rows: int, unrolled: int) -> str:
    """The product of some rows by one block of columns; each sum is kept in `unrolled` parts, so that no addition waits for the last."""
    sums = [f"s{row}_{half}_{part}" for part in range(unrolled) for row in range(rows) for half in (0, 1)]
    lines = [
        f"static void multiply_{rows}(const real *const *left, ptrdiff_t factors, ptrdiff_t inner, ptrdiff_t row, const real *panel,",
        "                       real *out, ptrdiff_t columns, ptrdiff_t count)",
        "{",
        f"    vec {', '.join(f'{name} = {{0}}' for name in sums)};",
        "    for (ptrdiff_t factor = 0; factor < factors; factor++) {",
        "        const real *a = left[factor] + row * inner;",
        "        ptrdiff_t k = 0;",
    ]

    def body(part: int, depth: int) -> list[str]:
        made = [f"vec b0 = *(const vec *)(panel + {part} * BLOCK), b1 = *(const vec *)(panel + {part} * BLOCK + WIDTH);"]
        for row in range(rows):
            made.append(f"vec a{row} = splat(a[{row} * inner + k + {part}]);")
            made += [f"s{row}_{half}_{part} += a{row} * b{half};" for half in (0, 1)]
        return ["    " * depth + "{", *("    " * (depth + 1) + line for line in made), "    " * depth + "}"]

    if unrolled > 1:
        lines.append(f"        for (; k + {unrolled} <= inner; k += {unrolled}, panel += {unrolled} * BLOCK) {{")
        for part in range(unrolled):
            lines += body(part, 3)
        lines.append("        }")
    lines += ["        for (; k < inner; k++, panel += BLOCK)", *body(0, 2), "    }"]
    for row in range(rows):
        for half in (0, 1):
            lines += [f"    s{row}_{half}_0 += s{row}_{half}_{part};" for part in range(1, unrolled)]
    lines.append("    if (count == BLOCK) {")
    for row in range(rows):
        lines += [f"        store(out + {row} * columns + {half} * WIDTH, s{row}_{half}_0, WIDTH);" for half in (0, 1)]
    lines += ["    } else {", "        real block[2 * BYTES / sizeof(real)];"]
    for row in range(rows):
        lines += [f"        store(block + {half} * WIDTH, s{row}_{half}_0, WIDTH);" for half in (0, 1)]
        lines.append(f"        memcpy(out + {row} * columns, block, (size_t)count * sizeof(real));")
    return "\n".join([*lines, "    }", "}", "", ""])


MULTIPLY: Final = """
INLINE real *aligned(real *pointer) { return (real *)(((uintptr_t)pointer + BYTES - 1) / BYTES * BYTES); }

/* out[lane] = the sum over factors of left[factor] by their panels, for rows from `first` to before `last` */
static void multiply_rows(ptrdiff_t first, ptrdiff_t last, ptrdiff_t lanes, ptrdiff_t factors, ptrdiff_t inner, ptrdiff_t columns,
                          const real *const *left, real *const *out, const real *panel)
{
    for (ptrdiff_t lane = 0; lane < lanes; lane++)
        for (ptrdiff_t column = 0; column < columns; column += BLOCK, panel += factors * inner * BLOCK) {
            ptrdiff_t count = columns - column < BLOCK ? columns - column : BLOCK;
            real *to = out[lane] + column;
            ptrdiff_t row = first;
#if ROWS == 8
            for (; row + 8 <= last; row += 8)
                multiply_8(left, factors, inner, row, panel, to + row * columns, columns, count);
#endif
            for (; row + 4 <= last; row += 4)
                multiply_4(left, factors, inner, row, panel, to + row * columns, columns, count);
            if (row + 2 <= last) {
                multiply_2(left, factors, inner, row, panel, to + row * columns, columns, count);
                row += 2;
            }
            if (row < last)
                multiply_1(left, factors, inner, row, panel, to + row * columns, columns, count);
        }
}

/* weights [lanes, factors], each [inner, columns] or turned, times a number, as panels */
INLINE void pack_panels(ptrdiff_t lanes, ptrdiff_t factors, ptrdiff_t inner, ptrdiff_t columns, const real *const *weights,
                        const int *turned, const real *scales, real *to)
{
    for (ptrdiff_t lane = 0; lane < lanes; lane++)
        for (ptrdiff_t column = 0; column < columns; column += BLOCK) {
            ptrdiff_t count = columns - column < BLOCK ? columns - column : BLOCK;
            for (ptrdiff_t factor = lane * factors; factor < (lane + 1) * factors; factor++, to += inner * BLOCK) {
                const real *from = weights[factor] + column * (turned[factor] ? inner : 1);
                ptrdiff_t down = turned[factor] ? 1 : columns, across = turned[factor] ? inner : 1;
                if (count < BLOCK)
                    memset(to, 0, (size_t)(inner * BLOCK) * sizeof(real));
                for (ptrdiff_t row = 0; row < inner; row++)
                    for (ptrdiff_t i = 0; i < count; i++)
                        to[row * BLOCK + i] = scales[factor] * from[row * down + i * across];
            }
        }
}
"""

OUTER: Final = """
/* to the sums of all steps those of one, which begin anew */
INLINE void add_up(real *sums, ptrdiff_t count)
{
    for (ptrdiff_t i = 0; i < count; i++) {
        sums[i] += sums[count + i];
        sums[count + i] = 0;
    }
}

#define OUTER_ROWS 128

INLINE void outer_columns(ptrdiff_t first, ptrdiff_t last, ptrdiff_t down, ptrdiff_t across, ptrdiff_t count, const real *left,
                          const real *right, real *out, ptrdiff_t low, ptrdiff_t high, int fresh)
{
    ptrdiff_t row = first;
#if ROWS == 8
    for (; row + 8 <= last; row += 8)
        outer_8(count, left + row, down, right, across, out + row * across, low, high, fresh);
#endif
    for (; row + 4 <= last; row += 4)
        outer_4(count, left + row, down, right, across, out + row * across, low, high, fresh);
    if (row + 2 <= last) {
        outer_2(count, left + row, down, right, across, out + row * across, low, high, fresh);
        row += 2;
    }
    if (row < last)
        outer_1(count, left + row, down, right, across, out + row * across, low, high, fresh);
}

/* out [down, across] += left [count, down], turned, by right [count, across], for rows of out from `first` to before `last` */
INLINE void add_outer(ptrdiff_t first, ptrdiff_t last, ptrdiff_t down, ptrdiff_t across, ptrdiff_t count, const real *left,
                      const real *right, real *out, int fresh)
{
    first = first < 0 ? 0 : first;
    last = last > down ? down : last;
    for (ptrdiff_t start = 0; start < count && first < last; start += OUTER_ROWS) {
        ptrdiff_t rows = count - start < OUTER_ROWS ? count - start : OUTER_ROWS;
        const real *a = left + start * down, *b = right + start * across;
        ptrdiff_t column = 0;
        for (; column + BLOCK <= across; column += BLOCK)
            outer_columns(first, last, down, across, rows, a, b + column, out + column, WIDTH, WIDTH, fresh && !start);
        if (across - column >= WIDTH)
            outer_columns(first, last, down, across, rows, a, b + column, out + column, WIDTH, across % WIDTH, fresh && !start);
        else if (across > column)
            outer_columns(first, last, down, across, rows, a, b + column, out + column, across % WIDTH, 0, fresh && !start);
    }
}
"""
