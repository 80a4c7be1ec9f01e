#include "train/loss_flags.h"

#include <math.h>
#include <string.h>

#include "base/alloc.h"
#include "base/file.h"
#include "train/teacher.h"

#define LOSS(member) VT_FIELD(vt_loss_flags, member), .group = "Loss"
const vt_option vt_loss_flags_table[] = {
    {.name = "bce-loss", .kind = VT_OPT_FLAG, LOSS(bce_loss), .help = "binary cross-entropy, as DeiT III"},
    {.name = "bce-target-thresh", .kind = VT_OPT_FLOAT, LOSS(bce_target_thresh), .min = -1, .max = 1, .fallback = "-1",
     .help = "with --bce-loss: targets above it become 1, others 0; below 0: targets as they are"},
    {.name = "class-weights", .kind = VT_OPT_STRING, LOSS(class_weights), .argument = "auto|FILE",
     .help = "of each class in the loss: auto, images / (classes * images of the class), or a file with a number a "
             "class"},
    {.name = "distillation-type", .kind = VT_OPT_CHOICE, LOSS(distillation), .choices = "none|soft|hard",
     .fallback = "none",
     .help = "learn from a teacher too: its softened probabilities, or its choice; by the distillation head where the "
             "model has one, else by the class head"},
    {.name = "distillation-alpha", .kind = VT_OPT_FLOAT, LOSS(distillation_alpha), .min = 0, .max = 1,
     .fallback = "0.5", .help = "the teacher's share of the loss"},
    {.name = "distillation-tau", .kind = VT_OPT_FLOAT, LOSS(distillation_tau), .min = 0.001, .max = 1000,
     .fallback = "1", .help = "temperature of soft distillation"},
    {.name = "teacher-model", .kind = VT_OPT_STRING, LOSS(teacher_model), .argument = "NAME",
     .help = "the teacher's, where --teacher-path is not a checkpoint of vitc"},
    {.name = "teacher-path", .kind = VT_OPT_STRING, LOSS(teacher_path), .argument = "FILE",
     .help = "the teacher's weights: a checkpoint of vitc (of last and checkpoint-N the raw ones), or any safetensors "
             "file with timm's names"},
    {0}};

vt_status vt_loss_flags_check(const vt_loss_flags *f)
{
    static const char *const types[] = {"none", "soft", "hard"};
    if (f->bce_target_thresh >= 0 && !f->bce_loss)
        return vt_fail(VT_INVALID, "--bce-target-thresh %g: wants --bce-loss", f->bce_target_thresh);
    if (f->distillation != VT_DISTILLATION_NONE && !f->teacher_path)
        return vt_fail(VT_INVALID, "--distillation-type %s: wants a teacher, --teacher-path FILE",
                       types[f->distillation]);
    if (f->distillation == VT_DISTILLATION_NONE && (f->teacher_path || f->teacher_model))
        return vt_fail(VT_INVALID, "--teacher-%s %s: nothing is learned from a teacher without --distillation-type "
                       "soft or hard", f->teacher_path ? "path" : "model", f->teacher_path ? f->teacher_path
                                                                                      : f->teacher_model);
    return VT_OK;
}

/* --- class weights --- */

static vt_status balance(float *weights, int classes, const vt_dataset *data)
{
    if (!data)
        return vt_fail(VT_INVALID, "--class-weights auto: counts the labels of --data-path; without one name a file");
    uint32_t n = vt_dataset_count(data);
    for (uint32_t i = 0; i < n; i++) weights[vt_dataset_label(data, i)]++; /* exact up to 2^24 images of a class */
    for (int k = 0; k < classes; k++) {
        if (weights[k] == 0)
            return vt_fail(VT_INVALID, "--class-weights auto: class %d has no training image; name a file with a "
                           "number a class", k);
        weights[k] = (float)((double)n / ((double)classes * (double)weights[k]));
    }
    return VT_OK;
}

/* Numbers separated by commas and white space. */
static vt_status parse(float *weights, int classes, const char *text, const char *path)
{
    int count = 0, line = 1;
    for (;;) {
        for (size_t between = strspn(text, ", \t\r\n"); between; between--) line += *text++ == '\n';
        size_t n = strcspn(text, ", \t\r\n");
        double v;
        if (!n) break;
        if (!vt_parse_double(text, n, &v))
            return vt_fail(VT_INVALID, "--class-weights %s, line %d: %.*s is not a number", path, line,
                           (int)(n < 40 ? n : 40), text);
        if (!(v >= 0) || !isfinite((float)v))
            return vt_fail(VT_INVALID, "--class-weights %s, line %d: %g: a weight is a finite number of at least 0",
                           path, line, v);
        if (count < classes) weights[count] = (float)v;
        count++;
        text += n;
    }
    if (count != classes)
        return vt_fail(VT_INVALID, "--class-weights %s: %d numbers, the model has %d classes: one a class is wanted",
                       path, count, classes);
    return VT_OK;
}

static vt_status read_weights(float *weights, int classes, const char *path)
{
    vt_file file = {0};
    vt_status st = vt_file_read(&file, path);
    if (st) return vt_fail_in(st, "--class-weights");
    st = strlen((const char *)file.data) == file.size
             ? parse(weights, classes, (const char *)file.data, path)
             : vt_fail(VT_INVALID, "--class-weights %s: not a text file: one number a class is wanted", path);
    vt_file_close(&file);
    return st;
}

static vt_status open_weights(vt_loss_options *loss, const char *from, int classes, const vt_dataset *data,
                              const float *recorded)
{
    float *weights = vt_alloc((size_t)classes * sizeof *weights);
    if (!weights) return vt_fail_memory("class weights");
    loss->class_weights = weights;
    if (!recorded && strcmp(from, "auto") == 0) return balance(weights, classes, data);
    if (!recorded) return read_weights(weights, classes, from);
    memcpy(weights, recorded, (size_t)classes * sizeof *weights);
    return VT_OK;
}

/* --- all of it --- */

vt_status vt_loss_open(vt_loss_options *loss, const vt_loss_flags *f, const vt_model_config *student,
                       const vt_dataset *data, const float *recorded)
{
    *loss = (vt_loss_options){.bce = f->bce_loss, .bce_threshold = (float)f->bce_target_thresh,
                              .distill_hard = f->distillation == VT_DISTILLATION_HARD,
                              .distill_alpha = f->distillation_alpha, .distill_tau = f->distillation_tau};
    vt_status st = VT_OK;
    if (f->class_weights) st = open_weights(loss, f->class_weights, student->classes, data, recorded);
    if (st || f->distillation == VT_DISTILLATION_NONE) return st;
    st = vt_teacher_open(&loss->teacher, f->teacher_path, f->teacher_model);
    return st ? st : vt_teacher_check(loss->teacher, student, data);
}

void vt_loss_close(vt_loss_options *loss)
{
    vt_free((float *)loss->class_weights);
    vt_teacher_close(loss->teacher);
    *loss = (vt_loss_options){0};
}
