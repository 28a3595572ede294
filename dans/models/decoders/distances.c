/* Distances of every query to every entity, and their gradients, for distances.py.

   Queries are (rows, width), entities (columns, width), distances and what comes back to them
   (rows, stride), of which `columns` are meant; all are stored row by row. Entities are taken BLOCK
   at a time and transposed, so that a loop over a block goes through neighbouring numbers, which
   compilers turn into vector instructions. `scratch` has room for 2 * BLOCK * width numbers.

   With `complex`, a row is [real | imaginary]: the distance is the sum of the moduli of complex
   differences (RotatE); without, the sum of absolute differences (TransE, p = 1). The compiler is
   told how many a BLOCK is. */

#include <math.h>
#include <stddef.h>

typedef ptrdiff_t Size;

#define ALWAYS static inline __attribute__((always_inline))

static void transpose(const float *from, float *to, Size columns, Size width)
{
    for (Size k = 0; k < width; k++)
        for (Size j = 0; j < BLOCK; j++)
            to[k * BLOCK + j] = j < columns ? from[j * width + k] : 0;
}

ALWAYS void distances(const float *queries, const float *entities, float *found, float *scratch,
                      Size rows, Size columns, Size width, Size stride, float epsilon, int complex)
{
    const Size half = complex ? width / 2 : width;
    for (Size left = 0; left < columns; left += BLOCK) {
        const Size wide = columns - left < BLOCK ? columns - left : BLOCK;
        transpose(entities + left * width, scratch, wide, width);
        for (Size i = 0; i < rows; i++) {
            const float *q = queries + i * width;
            float total[BLOCK] = {0};
            for (Size k = 0; k < half; k++) {
                const float *re = scratch + k * BLOCK, *im = complex ? re + half * BLOCK : re;
                const float x = q[k], y = complex ? q[half + k] : 0;
                for (Size j = 0; j < BLOCK; j++) {
                    const float u = x - re[j], v = y - im[j];
                    total[j] += complex ? sqrtf(u * u + v * v + epsilon) : fabsf(u);
                }
            }
            for (Size j = 0; j < wide; j++)
                found[i * stride + left + j] = total[j];
        }
    }
}

/* Adds to by_query, (rows, width), and writes by_entity, (columns, width). */
ALWAYS void gradients(const float *queries, const float *entities, const float *grad,
                      float *by_query, float *by_entity, float *scratch, Size rows, Size columns,
                      Size width, Size stride, float epsilon, int complex)
{
    const Size half = complex ? width / 2 : width;
    float *block = scratch, *sums = scratch + BLOCK * width;
    for (Size left = 0; left < columns; left += BLOCK) {
        const Size wide = columns - left < BLOCK ? columns - left : BLOCK;
        transpose(entities + left * width, block, wide, width);
        for (Size x = 0; x < BLOCK * width; x++)
            sums[x] = 0;
        for (Size i = 0; i < rows; i++) {
            const float *q = queries + i * width;
            float weight[BLOCK] = {0};
            for (Size j = 0; j < wide; j++)
                weight[j] = grad[i * stride + left + j];
            for (Size k = 0; k < half; k++) {
                const Size other = complex ? (half + k) : k;
                const float *re = block + k * BLOCK, *im = block + other * BLOCK;
                float *by_re = sums + k * BLOCK, *by_im = sums + other * BLOCK;
                const float x = q[k], y = q[other];
                float a = 0, b = 0;
                for (Size j = 0; j < BLOCK; j++) {
                    const float u = x - re[j], v = y - im[j];
                    if (complex) {
                        const float w = weight[j] / sqrtf(u * u + v * v + epsilon);
                        a += w * u;
                        b += w * v;
                        by_re[j] -= w * u;
                        by_im[j] -= w * v;
                    } else {
                        const float sign = u > 0 ? 1.0f : u < 0 ? -1.0f : u;
                        const float w = weight[j] * sign;
                        a += w;
                        by_re[j] -= w;
                    }
                }
                by_query[i * width + k] += a;
                if (complex)
                    by_query[i * width + other] += b;
            }
        }
        for (Size j = 0; j < wide; j++)
            for (Size k = 0; k < width; k++)
                by_entity[(left + j) * width + k] = sums[k * BLOCK + j];
    }
}

#define EXPORT(name, complex)                                                                    \
    void name(const float *queries, const float *entities, float *found, float *scratch,         \
              Size rows, Size columns, Size width, Size stride, float epsilon)                   \
    {                                                                                            \
        distances(queries, entities, found, scratch, rows, columns, width, stride, epsilon,      \
                  complex);                                                                      \
    }                                                                                            \
    void name##_gradients(const float *queries, const float *entities, const float *grad,        \
                          float *by_query, float *by_entity, float *scratch, Size rows,          \
                          Size columns, Size width, Size stride, float epsilon)                  \
    {                                                                                            \
        gradients(queries, entities, grad, by_query, by_entity, scratch, rows, columns, width,   \
                  stride, epsilon, complex);                                                     \
    }

EXPORT(moduli, 1)
EXPORT(manhattan, 0)
