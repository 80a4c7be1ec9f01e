/* vitc: finds the subcommand, parses its flags, and turns a status into a line on stderr and an exit status. */
#include "command.h"

#include <signal.h>
#include <string.h>

#include "base/alloc.h"

static const vt_command *const commands[] = {
#define VT_COMMAND(name) &vt_command_##name,
#include "commands.def"
#undef VT_COMMAND
};
enum { COMMANDS = sizeof commands / sizeof *commands };

vt_status vt_print(vt_text *text)
{
    vt_status st = vt_text_status(text);
    if (st == VT_OK && (fputs(vt_text_str(text), stdout) < 0 || fflush(stdout)))
        st = vt_fail(VT_FAILED, "stdout cannot be written");
    vt_text_free(text);
    return st;
}

static void list_commands(FILE *to)
{
    fprintf(to, "vitc trains Vision Transformers.\n\nusage: vitc COMMAND [flags]\n\n");
    for (int i = 0; i < COMMANDS; i++) fprintf(to, "  %-11s %s\n", commands[i]->name, commands[i]->summary);
    fprintf(to, "\n`vitc COMMAND --help` lists a command's flags.\n");
}

static int report(vt_status st)
{
    if (st != VT_OK) fprintf(stderr, "vitc: error: %s\n", vt_error());
    return st == VT_OK ? 0 : st == VT_INVALID ? 2 : 1;
}

static vt_status run(const vt_command *c, int argc, const char *const *argv)
{
    vt_options options;
    void *settings = vt_alloc(c->settings_bytes);
    if (!settings) return vt_fail_memory("settings");
    vt_status st = vt_options_init(&options, c->table, settings);
    if (st == VT_OK) st = vt_options_parse(&options, argc, argv);
    if (st == VT_OK && options.help) {
        vt_text text = {0};
        vt_options_help(&options, &text, c->usage, c->example);
        st = vt_print(&text);
    } else if (st == VT_OK) {
        st = c->run(&options, settings);
    }
    vt_options_free(&options);
    vt_free(settings);
    return st;
}

int main(int argc, char **argv)
{
    const char *names[COMMANDS], *name = argc > 1 ? argv[1] : NULL;
    signal(SIGXFSZ, SIG_IGN); /* a file over `ulimit -f` is a failed write with a message */
    if (!name || strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0 || strcmp(name, "help") == 0) {
        list_commands(name ? stdout : stderr);
        return name ? 0 : 2;
    }
    if (strcmp(name, "--version") == 0) {
        puts("vitc " VT_VERSION);
        return 0;
    }
    for (int i = 0; i < COMMANDS; i++) {
        names[i] = commands[i]->name;
        if (strcmp(name, names[i]) == 0) return report(run(commands[i], argc - 2, (const char *const *)argv + 2));
    }
    const char *near = vt_suggest(name, names, COMMANDS);
    return report(vt_fail(VT_INVALID, "unknown command %s%s%s; `vitc --help` lists them", name,
                          near ? ": did you mean " : "", near ? near : ""));
}
