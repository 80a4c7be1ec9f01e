/* tests/base/options_sample.h - settings with an option of every kind, for the tests of csrc/base/options*.c. */
#ifndef VT_TEST_OPTIONS_SAMPLE_H
#define VT_TEST_OPTIONS_SAMPLE_H

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/options.h"

typedef struct model_settings {
    int img_size[2], depth;
    bool qkv_bias;
    enum { POOL_TOKEN, POOL_AVG } pool;
} model_settings;

typedef struct settings {
    int64_t batch_size, seed;
    double lr, clip_grad, betas[2], minmax[2];
    int repeats, steps[3];
    bool ema, overwrite;
    const char *data, *output, *config;
    int64_t fit;
    vt_strings images, formats;
    model_settings model;
} settings;

static const vt_option model_table[] = {{.name = "img-size",
                                         .aliases = "input-size",
                                         .kind = VT_OPT_SIZE,
                                         VT_FIELD(model_settings, img_size),
                                         .min = 1,
                                         .max = 65536,
                                         .help = "image size; the model's own by default",
                                         .group = "Model"},
                                        {.name = "depth",
                                         .kind = VT_OPT_INT,
                                         VT_FIELD(model_settings, depth),
                                         .min = 1,
                                         .max = 1000,
                                         .fallback = "12",
                                         .help = "blocks",
                                         .group = "Model"},
                                        {.name = "qkv-bias",
                                         .kind = VT_OPT_FLAG,
                                         VT_FIELD(model_settings, qkv_bias),
                                         .fallback = "true",
                                         .help = "no bias of queries, keys and values",
                                         .group = "Model"},
                                        {.name = "global-pool",
                                         .kind = VT_OPT_CHOICE,
                                         VT_FIELD(model_settings, pool),
                                         .choices = "token|avg",
                                         .fallback = "token",
                                         .help = "what the head sees",
                                         .group = "Model"},
                                        {0}};

static const vt_option table[] = {
    {.name = "config",
     .aliases = "c",
     .kind = VT_OPT_CONFIG,
     VT_FIELD(settings, config),
     .help = "settings",
     .group = "Run"},
    {.name = "batch-size",
     .aliases = "b",
     .kind = VT_OPT_INT,
     VT_FIELD(settings, batch_size),
     .min = 1,
     .max = 65536,
     .fallback = "64",
     .help = "images per process and accumulation step, of which there may be several in a step",
     .group = "Batches"},
    {.name = "lr",
     .kind = VT_OPT_FLOAT,
     VT_FIELD(settings, lr),
     .min = 0,
     .max = INFINITY,
     .fallback = "5e-4",
     .help = "learning rate at a global batch of 512",
     .group = "Optimizer"},
    {.kind = VT_OPT_TABLE, VT_FIELD(settings, model), .table = model_table},
    {.name = "clip-grad",
     .kind = VT_OPT_FLOAT,
     VT_FIELD(settings, clip_grad),
     .min = 0,
     .max = INFINITY,
     .help = "norm to clip at",
     .group = "Optimizer"},
    {.name = "opt-betas",
     .kind = VT_OPT_FLOATS,
     VT_FIELD(settings, betas),
     .min = 0,
     .max = 1,
     .fallback = "0.9,0.999",
     .help = "of AdamW",
     .group = "Optimizer"},
    {.name = "cutmix-minmax", .kind = VT_OPT_FLOATS, VT_FIELD(settings, minmax)},
    {.name = "steps", .kind = VT_OPT_INTS, VT_FIELD(settings, steps), .fallback = "-1,0,1"},
    {.name = "seed", .kind = VT_OPT_INT, VT_FIELD(settings, seed), .fallback = "0", .help = "of all random numbers"},
    {.name = "aug-repeats",
     .aliases = "repeated-aug=3,no-repeated-aug=0",
     .kind = VT_OPT_INT,
     VT_FIELD(settings, repeats),
     .min = 0,
     .max = 100,
     .fallback = "3",
     .help = "draws of an image in an epoch",
     .group = "Data"},
    {.name = "model-ema",
     .kind = VT_OPT_FLAG,
     VT_FIELD(settings, ema),
     .help = "average weights",
     .group = "Optimizer"},
    {.name = "overwrite", .kind = VT_OPT_FLAG, VT_FIELD(settings, overwrite)},
    {.name = "data-path",
     .aliases = "data-dir",
     .kind = VT_OPT_STRING,
     VT_FIELD(settings, data),
     .positional = true,
     .help = "the data set",
     .group = "Data",
     .argument = "D"},
    {.name = "output_dir", .aliases = "output,o", .kind = VT_OPT_STRING, VT_FIELD(settings, output), .fallback = "out"},
    {.name = "fit", .kind = VT_OPT_BYTES, VT_FIELD(settings, fit)},
    {.name = "format", .kind = VT_OPT_STRINGS, VT_FIELD(settings, formats), .choices = "timm|hf|onnx"},
    {.name = "image", .kind = VT_OPT_STRINGS, VT_FIELD(settings, images), .positional = true},
    {0}};

/* Parses words separated by spaces ("" stays one). */
static vt_status parse(vt_options *o, settings *s, const char *line)
{
    static char words[1000];
    const char *argv[32];
    int argc = 0;
    vt_status st = vt_options_init(o, table, s);
    if (st != VT_OK) return st;
    snprintf(words, sizeof words, "%s", line);
    for (char *w = strtok(words, " "); w; w = strtok(NULL, " ")) argv[argc++] = w;
    st = vt_options_parse(o, argc, argv);
    if (st != VT_OK) vt_options_free(o);
    return st;
}

#endif
