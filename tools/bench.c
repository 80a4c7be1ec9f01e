#include <string.h>

#include "base/file.h"
#include "base/json.h"
#include "command.h"
#include "train/bench_attention.h"
#include "train/bench_kernels.h"
#include "train/bench_loader.h"

typedef struct settings {
    vt_settings train;
    vt_strings kinds, images, impls, directions;
    const char *json, *shapes;
    int steps, sets, side;
    double seconds;
    bool ledger, reference;
} settings;

#define FIELD(member) VT_FIELD(settings, member), .group = "Benchmark"
static const vt_option table[] = {
    {.name = "bench", .kind = VT_OPT_STRINGS, FIELD(kinds), .choices = "step|kernels|attention|loader",
     .positional = true, .help = "what to measure, separated by commas"},
    {.name = "json", .kind = VT_OPT_STRING, FIELD(json), .argument = "FILE",
     .help = "write one JSON object there; - is stdout"},
    {.name = "steps", .kind = VT_OPT_INT, FIELD(steps), .min = 0, .max = 1e6,
     .help = "steps to measure; 0: as --seconds says; kernels 10, attention 20"},
    {.name = "seconds", .kind = VT_OPT_FLOAT, FIELD(seconds), .min = 0, .max = 1e5, .fallback = "5",
     .help = "to measure for"},
    {.name = "ledger", .kind = VT_OPT_FLAG, FIELD(ledger), .help = "step: time each op too"},
    {.name = "reference", .kind = VT_OPT_FLAG, FIELD(reference), .fallback = "true",
     .help = "kernels: leave the reference bodies away"},
    {.name = "images", .kind = VT_OPT_STRINGS, FIELD(images), .argument = "FILE…",
     .help = "loader: photographs, or a folder of them; made-up ones by default"},
    {.name = "shapes", .kind = VT_OPT_STRING, FIELD(shapes), .argument = "B,H,N,D[,B,H,N,D…]",
     .help = "attention: batch, heads, tokens and head width of each shape; DeiT's by default"},
    {.name = "impl", .kind = VT_OPT_STRINGS, FIELD(impls), .choices = "vitc|cudnn|unfused",
     .fallback = "vitc,cudnn,unfused",
     .help = "attention: vitc as it trains; cuDNN's fused kernels; a chain of matrix products that keeps P"},
    {.name = "direction", .kind = VT_OPT_STRINGS, FIELD(directions), .choices = "fwd|bwd|both",
     .fallback = "fwd,bwd,both",
     .help = "attention: forward is 4*B*H*N*N*D FLOPs, backward 2.5 times that: five products to forward's two"},
    {.name = "sets", .kind = VT_OPT_INT, FIELD(sets), .min = 0, .max = 64,
     .help = "attention: sets of tensors that a run goes through; 0: twice what the device's cache holds, at most 64"},
    {.name = "gemm-side", .kind = VT_OPT_INT, FIELD(side), .min = 0, .max = 32768, .argument = "N",
     .help = "a product of N x N matrices is the roofline's ceiling; 0: 8192 on cuda, 2048 on the CPU (attention)"},
    {.name = "train", .kind = VT_OPT_TABLE, VT_FIELD(settings, train), .table = vt_settings_table},
    {0}};

/* The text for people and the JSON, both made at once. */
typedef struct output {
    vt_text table, json;
    const char *failed; /* what is said once they are printed; NULL: all went well */
} output;

static bool wants(const settings *s, const char *kind)
{
    for (int i = 0; i < s->kinds.count; i++)
        if (strcmp(s->kinds.items[i], kind) == 0) return true;
    return false;
}

static vt_status bench_options(vt_options *options, settings *s, vt_bench_options *b)
{
    const vt_recipe *r = &s->train.recipe;
    *b = (vt_bench_options){.steps = s->steps, .seconds = s->seconds, .by_op = s->ledger, .side = s->side};
    vt_status st = vt_options_set(options, "model", "deit_tiny_distilled_patch16_224", VT_FROM_PRESET);
    if (st == VT_OK) st = vt_options_set(options, "batch-size", "8", VT_FROM_PRESET);
    if (st == VT_OK) st = vt_model_flags_apply(&s->train.model, &b->model);
    if (st == VT_OK) st = vt_image_flags_apply(&s->train.images, &b->model);
    if (st == VT_OK) st = vt_recipe_check(options, &s->train);
    if (st == VT_OK) st = vt_device_flags_open(&s->train.device, "bf16", &b->device);
    if (st) return st;
    int micro = r->micro_batch_size ? r->micro_batch_size : r->batch_size;
    b->batch_size = r->batch_size;
    vt_effects_flags_apply(&r->effects, &b->erase, &b->mixing);
    b->train = vt_recipe_train_options(r, r->batch_size / micro * r->grad_accum_steps);
    return vt_loss_open(&b->train.loss, &r->loss, &b->model, NULL, NULL);
}

static vt_status bench_step(vt_options *options, settings *s, output *out)
{
    vt_bench_options b;
    vt_bench_step result;
    vt_status st = bench_options(options, s, &b);
    if (st == VT_OK) st = vt_bench_step_run(&result, &b);
    vt_loss_close(&b.train.loss);
    if (st) return st;
    vt_bench_step_table(&out->table, &result, &b);
    vt_bench_step_json(&out->json, &result, &b);
    vt_bench_step_free(&result);
    return VT_OK;
}

/* All blocks have the same shapes, so two of them tell as much as twelve. */
static vt_status bench_kernels(vt_options *options, settings *s, output *out)
{
    enum { RUNS = 10 };
    vt_bench_options b;
    vt_bench_ops ops;
    vt_status st = bench_options(options, s, &b);
    if (st == VT_OK && !s->train.model.depth && b.model.depth > 2) b.model.depth = 2;
    if (st == VT_OK) st = vt_bench_kernels_run(&ops, &b, s->steps ? s->steps : RUNS, s->reference);
    vt_loss_close(&b.train.loss);
    if (st) return st;
    vt_text_printf(&out->table, "ops of a step of %s, depth %d, batch %d\n", b.model.name, b.model.depth,
                   b.train.batch_size);
    vt_bench_ops_table(&out->table, &ops);
    vt_bench_ops_json(&out->json, &ops);
    vt_bench_ops_free(&ops);
    return VT_OK;
}

static vt_status bench_attention(vt_options *options, settings *s, output *out)
{
    vt_model_options m;
    vt_bench_attention result;
    vt_status st = vt_device_flags_open(&s->train.device, "bf16", &m);
    if (st) return st;
    vt_bench_attention_options o = {
        .device = {.name = m.device, .cpu = m.cpu, .threads = m.threads, .precision = m.precision},
        .shapes = s->shapes, .impls = s->impls, .directions = s->directions, .runs = s->steps, .sets = s->sets,
        .side = s->side};
    st = vt_bench_attention_run(&result, &o);
    if (st) return st;
    vt_bench_attention_table(&out->table, &result);
    vt_bench_attention_json(&out->json, &result);
    if (vt_bench_attention_failed(&result)) out->failed = "bench attention: vitc's own failed; its row says how";
    vt_bench_attention_free(&result);
    return VT_OK;
}

static vt_status bench_loader(vt_options *options, settings *s, output *out)
{
    vt_run_parts parts = {.options = options, .settings = &s->train};
    vt_bench_loader result;
    vt_status st = vt_recipe_check(options, &s->train);
    if (st == VT_OK) st = vt_bench_loader_run(&result, &s->images, &parts, s->seconds);
    vt_run_close(&parts);
    if (st) return st;
    vt_bench_loader_table(&out->table, &result);
    vt_bench_loader_json(&out->json, &result);
    return VT_OK;
}

/* Said before anything is measured. */
static vt_status check_json(const char *path)
{
    vt_writer w;
    if (!path || strcmp(path, "-") == 0) return VT_OK;
    vt_status st = vt_writer_open(&w, path);
    if (st) return vt_fail_in(VT_INVALID, "--json");
    vt_writer_abort(&w);
    return VT_OK;
}

static vt_status print(const settings *s, output *out)
{
    vt_status st = vt_text_status(&out->json);
    vt_text_add(&out->json, "\n");
    if (!s->json || strcmp(s->json, "-") != 0) {
        if (st == VT_OK && s->json) st = vt_file_write(s->json, vt_text_str(&out->json), out->json.size);
        return st ? st : vt_print(&out->table);
    }
    return st ? st : vt_print(&out->json);
}

static vt_status run(vt_options *options, void *given)
{
    static const struct { const char *name; vt_status (*run)(vt_options *, settings *, output *); } kinds[] = {
        {"step", bench_step}, {"kernels", bench_kernels}, {"attention", bench_attention}, {"loader", bench_loader}};
    settings *s = given;
    output out = {{0}, {0}, NULL};
    vt_status st = VT_OK;
    if (!s->kinds.count) return vt_fail(VT_INVALID, "what to measure is missing: step, kernels, attention or loader");
    bool several = s->kinds.count > 1;
    st = check_json(s->json);
    if (several) vt_json_open(&out.json, '{');
    for (int i = 0; i < (int)(sizeof kinds / sizeof *kinds) && st == VT_OK; i++) {
        if (!wants(s, kinds[i].name)) continue;
        if (out.table.size) vt_text_add(&out.table, "\n");
        if (several) vt_json_key(&out.json, kinds[i].name);
        st = kinds[i].run(options, s, &out);
    }
    if (several) vt_json_close(&out.json, '}');
    if (st == VT_OK) st = print(s, &out);
    if (st == VT_OK && out.failed) st = vt_fail(VT_FAILED, "%s", out.failed);
    vt_text_free(&out.table);
    vt_text_free(&out.json);
    return st;
}

const vt_command vt_command_bench = {
    .name = "bench", .summary = "times of steps, ops, attention and the loader",
        .usage = "vitc bench step,kernels,attention,loader [--json F] [flags]",
    .example = "vitc bench step --model deit_micro --batch-size 128 --json -", .table = table,
    .settings_bytes = sizeof(settings), .run = run};
