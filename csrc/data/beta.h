/* data/beta.h - shares that add up to 1, drawn by gamma variates (Marsaglia and Tsang, 2000, with their way to a
 * parameter below 1), in logarithms: the variates themselves underflow where it is small. A draw takes as many numbers
 * of the stream as it needs. */
#ifndef VT_DATA_BETA_H
#define VT_DATA_BETA_H

#include "base/philox.h"

double vt_beta_draw(vt_rng *r, double a); /* Beta(a, a), a > 0 */
/* Dirichlet(a, ..., a), a > 0. shares: [count], count >= 1 */
void vt_dirichlet_draw(vt_rng *r, double a, double *shares, int count);

#endif
