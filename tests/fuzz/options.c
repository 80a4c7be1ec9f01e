/* The first byte picks the reader: a command line (arguments separated by newlines), a settings file, or a checkpoint's
 * record. What is read can be written, and what was written reads back as the same settings.
 * clang -fsanitize=fuzzer,address,undefined; corpus: tests/fuzz/corpus/options */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/options.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

typedef struct settings {
    int batch, size[2], steps[3], pool;
    int64_t seed, fit;
    double lr, clip, betas[2];
    bool ema, bias;
    const char *data;
    vt_strings images, formats;
} settings;

static const vt_option table[] = {
    {.name = "batch-size",
     .aliases = "b",
     .kind = VT_OPT_INT,
     VT_FIELD(settings, batch),
     .min = 1,
     .max = 65536,
     .fallback = "64"},
    {.name = "img-size", .aliases = "input-size", .kind = VT_OPT_SIZE, VT_FIELD(settings, size)},
    {.name = "steps",
     .aliases = "some=1,no-steps=0",
     .kind = VT_OPT_INTS,
     VT_FIELD(settings, steps),
     .fallback = "1,2,3"},
    {.name = "global-pool", .kind = VT_OPT_CHOICE, VT_FIELD(settings, pool), .choices = "token|avg|none"},
    {.name = "seed", .kind = VT_OPT_INT, VT_FIELD(settings, seed), .fallback = "0"},
    {.name = "fit", .kind = VT_OPT_BYTES, VT_FIELD(settings, fit)},
    {.name = "lr", .kind = VT_OPT_FLOAT, VT_FIELD(settings, lr), .fallback = "5e-4"},
    {.name = "clip-grad", .kind = VT_OPT_FLOAT, VT_FIELD(settings, clip)},
    {.name = "opt-betas", .kind = VT_OPT_FLOATS, VT_FIELD(settings, betas), .min = 0, .max = 1},
    {.name = "model-ema", .kind = VT_OPT_FLAG, VT_FIELD(settings, ema)},
    {.name = "qkv-bias", .kind = VT_OPT_FLAG, VT_FIELD(settings, bias), .fallback = "true"},
    {.name = "data-path", .aliases = "d", .kind = VT_OPT_STRING, VT_FIELD(settings, data), .positional = true},
    {.name = "format", .kind = VT_OPT_STRINGS, VT_FIELD(settings, formats), .choices = "timm|hf|onnx"},
    {.name = "image", .kind = VT_OPT_STRINGS, VT_FIELD(settings, images), .positional = true},
    {0}};

static const char config[] = "fuzz_options.out";

static void write_config(const char *text, size_t size)
{
    FILE *out = fopen(config, "wb");
    if (!out || fwrite(text, 1, size, out) != size || fclose(out)) abort();
}

static vt_status read_arguments(vt_options *o, char *text)
{
    const char *argv[64];
    int argc = 0;
    for (char *next; text && argc < 64; text = next) {
        next = strchr(text, '\n');
        if (next) *next++ = 0;
        argv[argc++] = text;
    }
    return vt_options_parse(o, argc, argv);
}

/* Settings from other than UTF-8 arguments are recorded with U+FFFD, so bytes may change; the count of settings may
 * not. */
static void check_round_trip(const vt_options *o)
{
    settings s;
    vt_options again;
    vt_text json = {0}, second = {0}, yaml = {0};
    vt_options_write_json(o, &json);
    if (vt_options_init(&again, table, &s) != VT_OK || vt_options_resume(&again, vt_text_str(&json), "") != VT_OK)
        abort();
    vt_options_write_json(&again, &second);
    if (strcmp(vt_text_str(&json), vt_text_str(&second))) abort();
    vt_options_write_yaml(&again, &yaml);
    vt_options_free(&again);
    write_config(yaml.data, yaml.size);
    if (vt_options_init(&again, table, &s) != VT_OK || vt_options_read_config(&again, config) != VT_OK) abort();
    second.size = 0;
    vt_options_write_json(&again, &second);
    if (strcmp(vt_text_str(&json), vt_text_str(&second))) abort();
    vt_options_free(&again);
    vt_text_free(&json);
    vt_text_free(&second);
    vt_text_free(&yaml);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    settings s;
    vt_options o;
    if (size == 0 || size > 4096 || vt_options_init(&o, table, &s) != VT_OK) return 0;
    char *text = malloc(size);
    if (!text) abort();
    memcpy(text, data + 1, size - 1);
    text[size - 1] = 0;
    vt_status st;
    if (data[0] % 3 == 0) {
        st = read_arguments(&o, text);
    } else if (data[0] % 3 == 1) {
        write_config(text, size - 1);
        st = vt_options_read_config(&o, config);
    } else {
        st = vt_options_resume(&o, text, "lr,seed");
    }
    if (st == VT_OK && !o.help) check_round_trip(&o);
    vt_options_free(&o);
    free(text);
    return 0;
}
