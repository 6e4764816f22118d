/* Series of the functions in smooth.inc, coefficients from the constant up, for float and for double.
 *
 * Each is the polynomial through the function at the zeros of a Chebyshev polynomial of its interval, which is within a
 * small factor of the best there is; what it leaves is below a quarter of a unit in the last place of the function that
 * it is for. Made with 50 digits by mpmath; tests/kernels/test_ext_pointwise.py compares the functions with mpmath's.
 */
#ifndef LRP_SERIES_H
#define LRP_SERIES_H

/* (exp(r) - 1 - r) / r^2 for |r| <= ln 2 / 2 */
static const float exp_series_float[] = {
    0.5f, 0.166665763f, 0.0416665561f, 0.00836320315f, 0.00139262131f
};
static const double exp_series_double[] = {0.50000000000000011,    0.16666666666666669,    0.04166666666662399,
                                           0.0083333333333300511,  0.0013888888917281794,  0.00019841269863105968,
                                           2.4801521190217729e-05, 2.7557268378684192e-06, 2.7620138719733994e-07,
                                           2.5100424157005067e-08};

/* (log(1 + w) - 2 s) / s^3 in s^2 <= 1/9, where s = w / (2 + w) */
static const float log_series_float[] = {
    0.666666389f, 0.400075614f, 0.282366186f, 0.268514991f
};
static const double log_series_double[] = {
    0.66666666666666663, 0.40000000000014585, 0.28571428567108759, 0.22222222717427864, 0.18181789436132859,
    0.15385570064958623, 0.13314144209654935, 0.12001072809590713, 0.088007384861446741, 0.16164045611943531
};

/* (t + 4) exp(t^2 / 2) Q(t) in (t - 4) / (t + 4), where Q(t) is the normal distribution's tail above t: for t up to
 * 14.75 and 39 */
static const float tail_series_float[] = {
    0.755285144f, -0.607896626f, 0.387136668f, -0.186523154f, 0.0604063347f, -0.00752628036f, -0.00352227013f,
    0.00156803255f, 0.000191822488f, -0.000124297294f
};
static const double tail_series_double[] = {
    0.75528513041575152,    -0.60789664197189175,    0.38713740074221886,     -0.18652185795969417,
    0.060396574890699467,   -0.0075401889655930593,  -0.0034796923622425332,  0.0016308184418903596,
    0.00013334425401904912, -0.0002310948183193762,  -1.9078665316613576e-06, 3.5144181157760973e-05,
    7.1500559592160986e-07, -5.9188927317632362e-06, -6.25132104047868e-07,   1.0198048518135172e-06,
    2.6368248576407624e-07, -1.5426320536771075e-07, -7.6380820534904505e-08, 1.457859334703646e-08,
    1.3924023993501709e-08, 7.2695454790266894e-11,  -9.6534254202285038e-10};

#endif
