#include "models/model.h"
#include "train/selftest.h"

#include <string.h>

#include "base/json.h"
#include "command.h"
#include "train/settings.h"

typedef struct settings {
    vt_device_flags device;
    const char *filter;
    int64_t seed;
    bool json;
} settings;

#define FIELD(member) VT_FIELD(settings, member), .group = "Self-test"
static const vt_option table[] = {
    {.name = "op", .kind = VT_OPT_STRING, FIELD(filter), .positional = true, .argument = "NAME",
     .help = "only this op's cases"},
    {.name = "seed", .kind = VT_OPT_INT, FIELD(seed), .min = 0, .max = 9e15, .help = "of the data"},
    {.name = "json", .kind = VT_OPT_FLAG, FIELD(json), .help = "print one JSON object"},
    {.name = "device-flags", .kind = VT_OPT_TABLE, VT_FIELD(settings, device), .table = vt_device_flags_table},
    {0}};

/* The cases of one op come one after the other. */
typedef struct group {
    const char *op;
    int cases, failed;
    double gradient, device;
} group;

typedef struct report {
    group now;
    int cases, failed;
    vt_text table, json;
} report;

static void finish_group(report *r)
{
    const group *g = &r->now;
    if (!g->op) return;
    const struct { const char *key; double value; } numbers[] = {
        {"cases", g->cases}, {"failed", g->failed}, {"gradient", g->gradient}, {"device", g->device}};
    vt_text_printf(&r->table, "%-4s %-20s %3d cases  gradient %6.3f  device %6.3f\n", g->failed ? "FAIL" : "ok", g->op,
                   g->cases, g->gradient, g->device);
    vt_json_open(&r->json, '{');
    vt_json_key(&r->json, "op");
    vt_json_string(&r->json, g->op);
    for (int i = 0; i < 4; i++) {
        vt_json_key(&r->json, numbers[i].key);
        vt_json_number(&r->json, numbers[i].value);
    }
    vt_json_close(&r->json, '}');
    r->now = (group){0};
}

static void add(void *arg, const vt_selftest_result *result)
{
    report *r = arg;
    if (r->now.op && strcmp(r->now.op, result->op) != 0) finish_group(r);
    group *g = &r->now;
    g->op = result->op;
    g->cases++;
    r->cases++;
    if (result->gradient > g->gradient) g->gradient = result->gradient;
    if (result->device > g->device) g->device = result->device;
    if (!result->status) return;
    g->failed++;
    r->failed++;
    fprintf(stderr, "FAIL %s, %s: %s\n", result->op, result->name, result->message);
}

static vt_status run(vt_options *options, void *given)
{
    const settings *s = given;
    vt_model_options on;
    report r = {.failed = 0};
    vt_status st = vt_device_flags_open(&s->device, "bf16", &on);
    if (st) return st;
    vt_json_open(&r.json, '{');
    vt_json_key(&r.json, "ops");
    vt_json_open(&r.json, '[');
    vt_device_options device = vt_model_device(&on);
    st = vt_selftest(&device, s->filter, (uint64_t)s->seed, add, &r);
    finish_group(&r);
    vt_json_close(&r.json, ']');
    vt_json_key(&r.json, "cases");
    vt_json_int(&r.json, r.cases);
    vt_json_key(&r.json, "failed");
    vt_json_int(&r.json, r.failed);
    vt_json_close(&r.json, '}');
    vt_text_add(&r.json, "\n");
    vt_text_printf(&r.table, "%d cases, %d failed; errors as a share of what is allowed\n", r.cases, r.failed);
    if (r.cases) {
        vt_status printed = vt_print(s->json ? &r.json : &r.table);
        st = st ? st : printed;
    }
    vt_text_free(&r.table);
    vt_text_free(&r.json);
    return st;
}

const vt_command vt_command_selftest = {
    .name = "selftest", .summary = "every op, forward and backward, against its specification",
    .usage = "vitc selftest [OP] [--cpu avx2] [flags]", .example = "vitc selftest attention --cpu plain",
    .table = table, .settings_bytes = sizeof(settings), .run = run};
