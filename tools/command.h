/* tools/command.h - a subcommand: its flags' table, its help, and a function that calls the library and prints. */
#ifndef VT_TOOLS_COMMAND_H
#define VT_TOOLS_COMMAND_H

#include <stddef.h>
#include <stdio.h>

#include "base/options.h"

typedef struct vt_command {
    const char *name, *summary;
    const char *usage, *example;
    const vt_option *table;
    size_t settings_bytes;
    vt_status (*run)(vt_options *options, void *settings);
} vt_command;

#define VT_COMMAND(name) extern const vt_command vt_command_##name;
#include "commands.def"
#undef VT_COMMAND

/* Prints text to stdout, flushed; frees it. */
vt_status vt_print(vt_text *text);

#endif
