#include "train/progress.h"

#include <sys/resource.h>
#include <time.h>

double vt_seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* Linux's ru_maxrss begins with what the parent took before exec; VmHWM is this program's own. */
size_t vt_peak_bytes(void)
{
    struct rusage usage;
    unsigned long long kilobytes = 0;
    char line[256];
    FILE *status = fopen("/proc/self/status", "r");
    while (status && !kilobytes && fgets(line, sizeof line, status)) sscanf(line, "VmHWM: %llu", &kilobytes);
    if (status) fclose(status);
    if (!kilobytes && getrusage(RUSAGE_SELF, &usage) == 0) kilobytes = (unsigned long long)usage.ru_maxrss;
    return (size_t)kilobytes * 1024;
}

void vt_meter_add(vt_meter *m, double value)
{
    m->window[m->count++ % VT_PROGRESS_WINDOW] = value;
    m->sum += value;
}

double vt_meter_median(const vt_meter *m)
{
    double sorted[VT_PROGRESS_WINDOW];
    int n = m->count < VT_PROGRESS_WINDOW ? (int)m->count : VT_PROGRESS_WINDOW;
    for (int i = 0; i < n; i++) {
        int j = i;
        for (; j > 0 && sorted[j - 1] > m->window[i]; j--) sorted[j] = sorted[j - 1];
        sorted[j] = m->window[i];
    }
    return n ? sorted[(n - 1) / 2] : 0;
}

double vt_meter_mean(const vt_meter *m)
{
    return m->count ? m->sum / (double)m->count : 0;
}

void vt_progress_step(vt_progress_line *p, int64_t step, double lr, double loss, double seconds, double waited)
{
    vt_meter_add(&p->loss, loss);
    vt_meter_add(&p->time, seconds);
    vt_meter_add(&p->data, waited);
    double now = vt_seconds();
    bool last = step + 1 == p->steps;
    if (!p->console.out || (!last && now - p->shown < (p->console.live ? 0.1 : 1.0))) return;
    p->shown = now;
    long eta = (long)((double)(p->steps - step - 1) * vt_meter_mean(&p->time));
    int width = 1;
    for (int64_t n = p->steps; n >= 10; n /= 10) width++;
    fprintf(p->console.out,
            "%sEpoch: [%lld]  [%*lld/%lld]  eta: %ld:%02ld:%02ld  lr: %.6f  loss: %.4f (%.4f)  time: %.4f  data: %.4f  "
            "max mem: %.0f%s",
            p->console.live ? "\r" : "", (long long)p->epoch, width, (long long)step, (long long)p->steps, eta / 3600,
            eta / 60 % 60, eta % 60, lr, vt_meter_median(&p->loss), vt_meter_mean(&p->loss), vt_meter_median(&p->time),
            vt_meter_median(&p->data), (double)vt_peak_bytes() / 1048576, p->console.live ? "\033[K" : "\n");
    fflush(p->console.out);
}

void vt_progress_end(vt_progress_line *p)
{
    if (p->console.out && p->console.live && p->time.count) fputc('\n', p->console.out);
}
