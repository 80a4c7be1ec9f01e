/* The loop: steps, epochs, evaluation, logs, checkpoints. */
#include "train/run.h"

#include <unistd.h>

#include "base/alloc.h"
#include "train/freeze.h"
#include "train/logs.h"
#include "train/run_setup.h"
#include "train/warnings.h"

enum { SAVE_SECONDS = 300 };

typedef struct loop {
    vt_run_parts parts;
    vt_loader *loader;
    const vt_batch **batches;  /* [depth, micros] of the steps that are queued */
    int64_t queued;            /* steps queued since the start */
    vt_micro *micros;          /* the same, as the trainer takes them */
    vt_progress_line line;
    double saved_at;
    double read_at, waited;    /* when a step was last read, and how long the loader had been waited for then */
    const volatile sig_atomic_t *stop;
} loop;

static vt_checkpoint_state state_of(const loop *l)
{
    const vt_run_parts *r = &l->parts;
    const vt_settings *s = r->settings;
    return (vt_checkpoint_state){.trainer = r->trainer, .train = r->train, .val = r->val,
                                 .preprocessing = {s->images.crop_pct, s->images.interpolation, s->data.val_split,
                                                   s->recipe.seed},
                                 .recipe = vt_text_str(&r->recipe), .class_weights = r->loss.class_weights,
                                 .progress = r->progress};
}

static vt_status save_last(loop *l)
{
    char path[VT_PATH_BYTES];
    vt_checkpoint_state state = state_of(l);
    vt_status st = vt_logs_path(path, l->parts.settings->run.output_dir, "last.safetensors");
    l->saved_at = vt_seconds();
    return st ? st : vt_checkpoint_save(&state, path);
}

/* checkpoint-N is a second name of what last.safetensors is now: last is replaced, never rewritten. */
static vt_status save_epoch(loop *l, int64_t epoch)
{
    char last[VT_PATH_BYTES], path[VT_PATH_BYTES], name[64];
    const vt_run_flags *run = &l->parts.settings->run;
    vt_status st = vt_logs_path(last, run->output_dir, "last.safetensors");
    if (st == VT_OK && run->checkpoint_hist > 0) {
        snprintf(name, sizeof name, "checkpoint-%lld.safetensors", (long long)epoch);
        st = vt_logs_path(path, run->output_dir, name);
        if (st) return st;
        unlink(path);
        if (link(last, path)) {
            vt_checkpoint_state state = state_of(l);
            st = vt_checkpoint_save(&state, path);
        }
    }
    snprintf(name, sizeof name, "checkpoint-%lld.safetensors", (long long)epoch - run->checkpoint_hist);
    if (st == VT_OK && epoch >= run->checkpoint_hist && vt_logs_path(path, run->output_dir, name) == VT_OK)
        unlink(path);
    return st;
}

static vt_status save_best(loop *l, const vt_epoch_log *log)
{
    vt_run_parts *r = &l->parts;
    char path[VT_PATH_BYTES];
    bool ema = log->has_ema && log->ema.acc1 > log->raw.acc1;
    double acc1 = ema ? log->ema.acc1 : log->raw.acc1;
    if (acc1 <= r->progress.best_acc1) return VT_OK;
    r->progress.best_acc1 = acc1;
    vt_checkpoint_state state = state_of(l);
    vt_status st = vt_logs_path(path, r->settings->run.output_dir, "best.safetensors");
    return st ? st : vt_checkpoint_save_best(&state, ema, path);
}

static vt_status evaluate_one(loop *l, vt_eval *eval, const char *label, vt_score *score)
{
    vt_run_parts *r = &l->parts;
    vt_status st = vt_evaluate(score, eval, r->val, &r->evaluation, r->loading.workers, r->loading.skip_bad);
    if (st == VT_OK && r->console.out) {
        fprintf(r->console.out, "* Acc@1 %.3f Acc@5 %.3f loss %.3f%s\n", score->acc1, score->acc5, score->loss, label);
        fflush(r->console.out);
    }
    return st;
}

/* The end of an epoch, or of the run within one: evaluation, logs, checkpoints. */
static vt_status end_epoch(loop *l, int64_t steps_done)
{
    vt_run_parts *r = &l->parts;
    vt_progress *p = &r->progress;
    int64_t epoch = p->epoch;
    vt_epoch_log log = {.epoch = epoch, .n_parameters = vt_trained_parameters(&r->model->params),
                        .has_ema = r->trainer->options.ema,
                        .lr = vt_schedule_lr(&r->schedule, p->step - 1),
                            .train_loss = p->epoch_loss / (double)steps_done,
                        .train_seconds = p->epoch_seconds};
    log.data_wait = p->epoch_seconds > 0 ? p->epoch_waited / p->epoch_seconds : 0;
    vt_status st = evaluate_one(l, &r->raw, "", &log.raw);
    if (st == VT_OK && log.has_ema) st = evaluate_one(l, &r->ema, " (EMA)", &log.ema);
    if (st == VT_OK) st = vt_logs_epoch(r->settings->run.output_dir, &log);
    if (st) return st;
    if (p->epoch_step == r->steps_per_epoch)
        *p = (vt_progress){.step = p->step, .epoch = epoch + 1, .best_acc1 = p->best_acc1};
    st = save_best(l, &log);
    if (st == VT_OK) st = save_last(l);
    if (st == VT_OK) st = save_epoch(l, epoch);
    if (st == VT_OK) st = vt_logs_bad_images(r->settings->run.output_dir, r->train, l->loader);
    return st;
}

/* The batches of the step that is queued as number `step` since the start. */
static const vt_batch **batches_of(const loop *l, int64_t step)
{
    return l->batches + step % vt_trainer_depth(l->parts.trainer) * l->parts.loading.sampler.micros;
}

static vt_status take_batches(loop *l)
{
    int micros = l->parts.loading.sampler.micros;
    const vt_batch **batches = batches_of(l, l->queued);
    for (int k = 0; k < micros; k++) {
        vt_status st = vt_loader_next(l->loader, &batches[k]);
        if (st) return st;
        if (!batches[k]) return vt_fail(VT_FAILED, "the loader ended before the run");
        const vt_batch *b = batches[k];
        l->micros[k] = (vt_micro){b->images, b->labels, b->slots, b->boxes, b->mixed.where, b->mixed.weights};
    }
    return VT_OK;
}

/* Takes note of the oldest step that was queued: progress counts steps that are known to be taken. Its batches, which
 * the device may have been copying from until now, and which a step that failed is looked at with, are given back. */
static vt_status read_step(loop *l)
{
    vt_run_parts *r = &l->parts;
    vt_progress *p = &r->progress;
    float loss = 0, norm = 0;
    const vt_batch **batches = batches_of(l, l->queued - r->trainer->unread);
    vt_status st = vt_trainer_read(r->trainer, &loss, &norm);
    if (st) return st;
    for (int k = 0; k < r->loading.sampler.micros; k++) vt_loader_release(l->loader, batches[k]);
    double now = vt_seconds(), seconds = now - l->read_at, waited = vt_loader_waited(l->loader) - l->waited;
    vt_progress_step(&l->line, p->epoch_step, vt_schedule_lr(&r->schedule, p->step), loss, seconds, waited);
    l->read_at = now;
    l->waited += waited;
    p->step++;
    p->epoch_step++;
    p->epoch_loss += loss;
    p->epoch_seconds += seconds;
    p->epoch_waited += waited;
    return VT_OK;
}

/* The state that a checkpoint or an evaluation sees has no step under way. */
static vt_status read_all(loop *l)
{
    vt_status st = VT_OK;
    while (st == VT_OK && l->parts.trainer->unread) st = read_step(l);
    return st;
}

/* Queues a step; reads one where as many are queued as may be: the device works on while the next batch is made. */
static vt_status one_step(loop *l)
{
    vt_run_parts *r = &l->parts;
    double lr = vt_schedule_lr(&r->schedule, r->progress.step + r->trainer->unread);
    vt_status st = take_batches(l);
    if (st == VT_OK) st = vt_trainer_queue(r->trainer, l->micros, (float)lr);
    if (st) return st;
    l->queued++;
    return r->trainer->unread == vt_trainer_depth(r->trainer) ? read_step(l) : VT_OK;
}

/* Steps of the epoch, and of the run, that are taken or queued. */
static bool is_queued(const loop *l)
{
    const vt_run_parts *r = &l->parts;
    int64_t most = r->settings->recipe.max_steps, unread = r->trainer->unread;
    return r->progress.epoch_step + unread >= r->steps_per_epoch || (most && r->progress.step + unread >= most);
}

static bool save_is_due(const loop *l)
{
    int64_t every = l->parts.settings->run.save_steps;
    return every ? l->parts.progress.step % every == 0 : vt_seconds() - l->saved_at > SAVE_SECONDS;
}

/* Steps until the epoch, the run or patience ends. `ended`: nothing more is to be done. */
static vt_status run_epoch(loop *l, bool *ended)
{
    vt_run_parts *r = &l->parts;
    vt_progress *p = &r->progress;
    int64_t most = r->settings->recipe.max_steps;
    vt_status st = VT_OK;
    l->line = (vt_progress_line){.console = r->console, .epoch = p->epoch, .steps = r->steps_per_epoch};
    *ended = most && p->step >= most;
    l->read_at = vt_seconds();
    l->waited = vt_loader_waited(l->loader);
    while (st == VT_OK && !*ended && p->epoch_step < r->steps_per_epoch) {
        st = is_queued(l) ? read_all(l) : one_step(l);
        if (st == VT_OK && (*l->stop || save_is_due(l))) st = read_all(l);
        if (st) break;
        *ended = *l->stop || (most && p->step >= most);
        if (!*ended && p->epoch_step < r->steps_per_epoch && save_is_due(l)) st = save_last(l);
    }
    vt_progress_end(&l->line);
    if (st) { /* not finite, or no data: what is in memory is the state before the failed step */
        char message[1024];
        snprintf(message, sizeof message, "%s", vt_error());
        read_all(l); /* steps queued before an image failed */
        return save_last(l) == VT_OK ? vt_fail(st, "%s", message) : st;
    }
    if (*l->stop) {
        st = save_last(l);
        if (st == VT_OK && r->console.out)
            fprintf(r->console.out, "stopped after step %lld; saved, --resume auto goes on\n", (long long)p->step);
        *ended = true;
        return st;
    }
    return p->epoch_step ? end_epoch(l, p->epoch_step) : VT_OK;
}

static vt_status pin(void *device, size_t bytes, void **memory)
{
    vt_device *d = device;
    return d->backend->pin(d, bytes, memory);
}

static void unpin(void *device, void *memory)
{
    vt_device *d = device;
    d->backend->unpin(d, memory);
}

static vt_status open_loader(loop *l)
{
    vt_run_parts *r = &l->parts;
    vt_loader_options *o = &r->loading;
    o->epoch = (uint32_t)r->progress.epoch;
    o->step = r->progress.epoch_step;
    o->held = vt_trainer_depth(r->trainer);
    if (r->model->device->backend->pin) o->memory = (vt_batch_memory){pin, unpin, r->model->device};
    return vt_loader_create(&l->loader, r->train, o);
}

static vt_status warn(const vt_run_parts *r)
{
    vt_warnings found;
    vt_warnings_find(&found, r);
    if (r->console.out) fflush(r->console.out);
    return vt_warnings_print(&found, r->console.warnings);
}

static vt_status open_loop(loop *l)
{
    vt_run_parts *r = &l->parts;
    const vt_run_flags *run = &r->settings->run;
    vt_model_options device;
    size_t micros;
    vt_status st;
    /* What is wrong with the flags is said first. */
    VT_TRY(vt_device_flags_open(&r->settings->device, "bf16", &device));
    if (!run->output_dir) return vt_fail(VT_INVALID, "--output_dir is missing: the folder for logs and checkpoints");
    VT_TRY(vt_run_resume(r));
    VT_TRY(vt_run_open_data(r));
    VT_TRY(vt_run_open_loss(r));
    if (r->console.warnings) VT_TRY(warn(r));
    if (run->overwrite && !run->resume) {
        VT_TRY(vt_logs_spares(run->output_dir, "finetune", run->finetune));
        VT_TRY(vt_logs_spares(run->output_dir, "teacher-path", r->settings->recipe.loss.teacher_path));
    }
    VT_TRY(vt_logs_prepare(run->output_dir, run->resume != NULL, run->overwrite));
    VT_TRY(vt_run_open_model(r));
    if (run->resume) { /* also where a run ended before its first checkpoint, and begins afresh */
        VT_TRY(vt_logs_rewind(run->output_dir, r->progress.epoch));
        if (r->console.out && r->resumed.file.path)
            fprintf(r->console.out, "resumed from %s at epoch %lld, step %lld\n", r->resumed.file.path,
                    (long long)r->progress.epoch, (long long)r->progress.step);
    }
    VT_TRY(vt_logs_args(run->output_dir, r->options));
    micros = (size_t)r->loading.sampler.micros;
    l->batches = vt_alloc((size_t)vt_trainer_depth(r->trainer) * micros * sizeof *l->batches);
    l->micros = vt_alloc(micros * sizeof *l->micros);
    if (!l->batches || !l->micros) return vt_fail_memory("micro-batches");
    VT_TRY(open_loader(l));
    l->saved_at = vt_seconds();
fail:
    return st;
}

vt_status vt_train_run(vt_options *options, vt_settings *settings, vt_console console,
                       const volatile sig_atomic_t *stop)
{
    loop l = {.parts = {.options = options, .settings = settings, .console = console}, .stop = stop};
    vt_status st = open_loop(&l);
    bool ended = false;
    while (st == VT_OK && !ended && l.parts.progress.epoch < settings->recipe.epochs) st = run_epoch(&l, &ended);
    vt_loader_destroy(l.loader);
    vt_run_close(&l.parts);
    vt_free(l.batches);
    vt_free(l.micros);
    return st;
}
