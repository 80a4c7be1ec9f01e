#include "data/beta.h"

#include <math.h>

/* (0, 1) */
static double uniform(vt_rng *r)
{
    return ((double)vt_rng_bits(r) + 0.5) / 4294967296.0;
}

static double normal(vt_rng *r)
{
    double radius = sqrt(-2 * log(uniform(r)));
    return radius * cos(2 * 3.14159265358979323846 * uniform(r));
}

/* The logarithm of a Gamma(a, 1) variate: of Gamma(a + 1) times U^(1/a). */
static double log_gamma_draw(vt_rng *r, double a)
{
    double d = a + 1 - 1.0 / 3, c = 1 / sqrt(9 * d), x, v;
    do {
        x = normal(r);
        v = 1 + c * x;
        v = v * v * v;
    } while (v <= 0 || log(uniform(r)) >= 0.5 * x * x + d - d * v + d * log(v));
    return log(d * v) + log(uniform(r)) / a;
}

double vt_beta_draw(vt_rng *r, double a)
{
    double x = log_gamma_draw(r, a), y = log_gamma_draw(r, a);
    return 1 / (1 + exp(y - x));
}

void vt_dirichlet_draw(vt_rng *r, double a, double *shares, int count)
{
    double most = -INFINITY, sum = 0;
    for (int i = 0; i < count; i++) {
        shares[i] = log_gamma_draw(r, a);
        most = fmax(most, shares[i]);
    }
    for (int i = 0; i < count; i++) sum += shares[i] = exp(shares[i] - most);
    for (int i = 0; i < count; i++) shares[i] /= sum;
}
