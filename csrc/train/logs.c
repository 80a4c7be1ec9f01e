#include "train/logs.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/file.h"
#include "base/json.h"

vt_status vt_logs_path(char path[VT_PATH_BYTES], const char *dir, const char *name)
{
    int n = snprintf(path, VT_PATH_BYTES, "%s/%s", dir, name);
    return n < VT_PATH_BYTES ? VT_OK
                             : vt_fail(VT_INVALID, "--output-dir: the path is longer than %d bytes", VT_PATH_BYTES);
}

/* A run's own files, by which a used folder is known. */
static bool is_ours(const char *name)
{
    static const char *const names[] = {"args.yaml", "summary.csv", "log.txt", "last.safetensors", "best.safetensors",
                                        "bad_images.txt"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strcmp(name, names[i]) == 0) return true;
    return strncmp(name, "checkpoint-", 11) == 0 && strstr(name, ".safetensors");
}

static vt_status make_folders(const char *dir)
{
    char path[VT_PATH_BYTES];
    vt_status st = vt_logs_path(path, dir, "");
    for (char *at = path + 1; st == VT_OK && *at; at++) {
        if (*at != '/') continue;
        *at = 0;
        if (mkdir(path, 0777) && errno != EEXIST)
            st = vt_fail(VT_INVALID, "--output-dir %s: cannot make the folder: %s", path, strerror(errno));
        *at = '/';
    }
    return st;
}

vt_status vt_logs_spares(const char *dir, const char *flag, const char *file)
{
    char folder[VT_PATH_BYTES];
    struct stat a, b;
    const char *slash = file ? strrchr(file, '/') : NULL, *name = slash ? slash + 1 : file;
    if (!file || !is_ours(name)) return VT_OK;
    snprintf(folder, sizeof folder, "%.*s", slash ? (int)(slash - file) + 1 : 1, slash ? file : ".");
    if (stat(folder, &a) || stat(dir, &b) || a.st_dev != b.st_dev || a.st_ino != b.st_ino) return VT_OK;
    return vt_fail(VT_INVALID, "--%s %s: --overwrite would remove it; choose another --output-dir", flag, file);
}

vt_status vt_logs_prepare(const char *dir, bool resume, bool overwrite)
{
    char path[VT_PATH_BYTES];
    vt_status st = make_folders(dir);
    if (st || resume) return st;
    DIR *d = opendir(dir);
    if (!d) return vt_fail(VT_INVALID, "--output-dir %s: %s", dir, strerror(errno));
    for (struct dirent *e; st == VT_OK && (e = readdir(d));) {
        if (!is_ours(e->d_name)) continue;
        if (!overwrite)
            st = vt_fail(VT_INVALID, "--output-dir %s holds a run already (%s): --resume auto goes on with it, "
                         "--overwrite begins afresh", dir, e->d_name);
        else if ((st = vt_logs_path(path, dir, e->d_name)) == VT_OK && unlink(path))
            st = vt_fail(VT_INVALID, "%s: cannot be removed: %s", path, strerror(errno));
    }
    closedir(d);
    return st;
}

static vt_status write_text(const char *dir, const char *name, vt_text *text)
{
    char path[VT_PATH_BYTES];
    vt_status st = vt_text_status(text);
    if (st == VT_OK) st = vt_logs_path(path, dir, name);
    if (st == VT_OK) st = vt_file_write(path, vt_text_str(text), text->size);
    vt_text_free(text);
    return st;
}

vt_status vt_logs_args(const char *dir, const vt_options *options)
{
    vt_text text = {0};
    vt_options_write_yaml(options, &text);
    return write_text(dir, "args.yaml", &text);
}

/* The whole file is written anew, so that a killed run never leaves half a line. `text` is taken over. */
static vt_status append(const char *dir, const char *name, const char *header, vt_text *line)
{
    char path[VT_PATH_BYTES];
    vt_text whole = {0};
    vt_file old = {0};
    vt_status st = vt_logs_path(path, dir, name);
    bool exists = st == VT_OK && access(path, F_OK) == 0;
    if (exists) st = vt_file_read(&old, path);
    if (st == VT_OK) {
        if (exists) vt_text_append(&whole, (const char *)old.data, old.size);
        else vt_text_add(&whole, header);
        vt_text_append(&whole, vt_text_str(line), line->size);
        st = vt_text_status(line);
    }
    if (exists) vt_file_close(&old);
    vt_text_free(line);
    if (st == VT_OK) return write_text(dir, name, &whole);
    vt_text_free(&whole);
    return st;
}

static void number(vt_text *t, const char *key, double value)
{
    vt_json_key(t, key);
    vt_json_number(t, value);
}

vt_status vt_logs_epoch(const char *dir, const vt_epoch_log *l)
{
    vt_text csv = {0}, json = {0};
    vt_text_printf(&csv, "%lld,%.6f,%.6f,%.4f,%.4f,%.9g", (long long)l->epoch, l->train_loss, l->raw.loss, l->raw.acc1,
                   l->raw.acc5, l->lr);
    if (l->has_ema) vt_text_printf(&csv, ",%.4f", l->ema.acc1);
    vt_text_add(&csv, "\n");
    vt_status st = append(dir, "summary.csv",
                          l->has_ema ? "epoch,train_loss,eval_loss,eval_top1,eval_top5,lr,eval_ema_top1\n"
                                     : "epoch,train_loss,eval_loss,eval_top1,eval_top5,lr\n", &csv);
    vt_json_open(&json, '{');
    number(&json, "train_lr", l->lr);
    number(&json, "train_loss", l->train_loss);
    number(&json, "test_loss", l->raw.loss);
    number(&json, "test_acc1", l->raw.acc1);
    number(&json, "test_acc5", l->raw.acc5);
    if (l->has_ema) number(&json, "test_ema_acc1", l->ema.acc1);
    vt_json_key(&json, "epoch");
    vt_json_int(&json, l->epoch);
    vt_json_key(&json, "n_parameters");
    vt_json_int(&json, l->n_parameters);
    number(&json, "train_seconds", l->train_seconds);
    number(&json, "data_wait", l->data_wait);
    vt_json_close(&json, '}');
    vt_text_add(&json, "\n");
    if (st == VT_OK) return append(dir, "log.txt", "", &json);
    vt_text_free(&json);
    return st;
}

/* The epoch that a line of summary.csv or log.txt is of; -1: a header. */
static int64_t epoch_of(const char *line)
{
    const char *json = strstr(line, "\"epoch\":");
    if (json) return strtoll(json + 8, NULL, 10);
    return *line >= '0' && *line <= '9' ? strtoll(line, NULL, 10) : -1;
}

static vt_status rewind_file(const char *dir, const char *name, int64_t epoch)
{
    char path[VT_PATH_BYTES];
    vt_file old;
    vt_text kept = {0};
    vt_status st = vt_logs_path(path, dir, name);
    if (st || access(path, F_OK)) return st;
    st = vt_file_read(&old, path);
    if (st) return st;
    for (char *line = (char *)old.data, *end; (end = strchr(line, '\n')); line = end + 1) {
        *end = 0;
        if (epoch_of(line) < epoch) vt_text_printf(&kept, "%s\n", line);
    }
    vt_file_close(&old);
    return write_text(dir, name, &kept);
}

vt_status vt_logs_rewind(const char *dir, int64_t epoch)
{
    vt_status st = rewind_file(dir, "summary.csv", epoch);
    return st ? st : rewind_file(dir, "log.txt", epoch);
}

vt_status vt_logs_bad_images(const char *dir, const vt_dataset *data, const vt_loader *loader)
{
    vt_text text = {0};
    if (!vt_loader_bad_count(loader)) return VT_OK;
    for (uint32_t i = 0; i < vt_dataset_count(data); i++) {
        char path[VT_PATH_BYTES];
        if (vt_loader_is_bad(loader, i)) vt_text_printf(&text, "%s\n", vt_dataset_path(data, i, path, sizeof path));
    }
    return write_text(dir, "bad_images.txt", &text);
}
