/* Exponentials of a tile of scores, for candidates.py.

   A tile is (rows, columns), stored row by row, rows `stride` apart; its columns are queries. With
   `measure`, `top` gets the highest score of each column and `sum` the sum of exp(score - top);
   without, `top` is given. The tile becomes exp(score - top). */

#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

typedef ptrdiff_t Size;

enum { WIDE = 256 };

#define ALWAYS static inline __attribute__((always_inline))

ALWAYS float from_bits(uint32_t bits)
{
    float number;
    memcpy(&number, &bits, sizeof number);
    return number;
}

ALWAYS uint32_t to_bits(float number)
{
    uint32_t bits;
    memcpy(&bits, &number, sizeof bits);
    return bits;
}

/* A bfloat16 is the upper half of a float; to the nearest one, even if two are as near. */
ALWAYS float load(const void *tile, Size at, int low)
{
    return low ? from_bits((uint32_t)((const uint16_t *)tile)[at] << 16)
               : ((const float *)tile)[at];
}

ALWAYS void store(void *tile, Size at, float number, int low)
{
    const uint32_t bits = to_bits(number);
    if (low)
        ((uint16_t *)tile)[at] = (uint16_t)((bits + 0x7fff + ((bits >> 16) & 1)) >> 16);
    else
        ((float *)tile)[at] = number;
}

/* exp(x) of x <= 0, to about 1e-7 of it, as 2^n exp(r) with |r| <= ln(2) / 2: the C library's is
   not turned into vector instructions. The polynomial is that of Cephes' expf. */
ALWAYS float exponential(float x)
{
    x = x < -87.0f ? -87.0f : x;
    const float n = rintf(x * 1.44269504f);
    /* ln(2) in two parts, so that n ln(2) loses no digits. */
    const float r = (x - n * 0.693145752f) - n * 1.42860677e-6f;
    float p = 1.98756915e-4f;
    p = p * r + 1.39819995e-3f;
    p = p * r + 8.33345193e-3f;
    p = p * r + 4.16657962e-2f;
    p = p * r + 1.66666655e-1f;
    p = p * r + 5.00000012e-1f;
    p = p * r * r + r + 1.0f;
    return p * from_bits((uint32_t)((int32_t)n + 127) << 23);
}

ALWAYS void exponentials(void *tile, float *top, float *sum, Size rows, Size columns, Size stride,
                         Size measure, int low)
{
    for (Size left = 0; left < columns; left += WIDE) {
        const Size wide = columns - left < WIDE ? columns - left : WIDE;
        float highest[WIDE], total[WIDE] = {0};
        if (measure) {
            for (Size j = 0; j < wide; j++)
                highest[j] = load(tile, left + j, low);
            for (Size i = 1; i < rows; i++)
                for (Size j = 0; j < wide; j++) {
                    const float score = load(tile, i * stride + left + j, low);
                    highest[j] = score > highest[j] ? score : highest[j];
                }
            memcpy(top + left, highest, wide * sizeof *top);
        } else {
            memcpy(highest, top + left, wide * sizeof *top);
        }
        for (Size i = 0; i < rows; i++)
            for (Size j = 0; j < wide; j++) {
                const Size at = i * stride + left + j;
                const float number = exponential(load(tile, at, low) - highest[j]);
                total[j] += number;
                store(tile, at, number, low);
            }
        if (measure)
            memcpy(sum + left, total, wide * sizeof *sum);
    }
}

void exponentials_float32(void *tile, float *top, float *sum, Size rows, Size columns, Size stride,
                          Size measure)
{
    exponentials(tile, top, sum, rows, columns, stride, measure, 0);
}

void exponentials_bfloat16(void *tile, float *top, float *sum, Size rows, Size columns, Size stride,
                           Size measure)
{
    exponentials(tile, top, sum, rows, columns, stride, measure, 1);
}
