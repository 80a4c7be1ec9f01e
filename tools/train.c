#include <signal.h>
#include <stdio.h>
#include <unistd.h>

#include "command.h"
#include "train/run.h"

/* A signal handler can reach nothing else. The second signal ends the process at once. */
static volatile sig_atomic_t stop;

static void on_signal(int number)
{
    stop = 1;
    signal(number, SIG_DFL);
}

static vt_status run(vt_options *options, void *settings)
{
    struct sigaction action = {.sa_handler = on_signal};
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    vt_console console = {stdout, isatty(STDOUT_FILENO) == 1, stderr};
    return vt_train_run(options, settings, console, &stop);
}

const vt_command vt_command_train = {
    .name = "train", .summary = "trains a model", .usage = "vitc train --model M --data-path D --output_dir R [flags]",
    .example = "vitc train --model deit_micro --data-path /usr/share/datasets/fashion-mnist --in-chans 1 --epochs 5 "
               "--batch-size 128 --lr 2e-3 --unscale-lr --output_dir runs/fashion",
    .table = vt_settings_table, .settings_bytes = sizeof(vt_settings), .run = run};
