/* What `compile` and `warm` share: architectures that are not here. */
#ifndef KILN_CLI_ARCH_H
#define KILN_CLI_ARCH_H

#include "cli.h"

enum { MAX_ARCHS = 32 };

typedef struct arch_list {
    char names[MAX_ARCHS][16];
    size_t n;
} arch_list;

/* "sm_80,sm_90a". False: empty, too many, or a name that is none. */
bool arch_list_parse(const char *text, arch_list *out);

/* Problems that between them use every family, type and kind of epilogue that matters to a compiler. Ended by NULL. */
extern const char *const compile_problems[];

#endif
