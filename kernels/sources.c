#include "embedded.h"
#include "status.h"
#include <errno.h>
#include <kiln/context.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

/* A source's name is "family/file". */
static kiln_status write_source(const char *folder, const kiln_embed *source) {
    char path[4096];
    const int family = (int)strcspn(source->name, "/");
    const int n = snprintf(path, sizeof path, "%s/%.*s", folder, family, source->name);
    if (n < 0 || strlen(folder) + strlen(source->name) + 2 > sizeof path)
        return kiln_fail(KILN_E_INVALID, "a path of a folder for kernel sources is too long: %.100s", folder);
    if (mkdir(path, 0777) != 0 && errno != EEXIST)
        return kiln_fail(KILN_E_IO, "cannot make %s: %s", path, strerror(errno));
    snprintf(path, sizeof path, "%s/%s", folder, source->name);
    FILE *f = fopen(path, "wb");
    const bool written = f && fwrite(source->text, 1, source->bytes, f) == source->bytes;
    if (!f || fclose(f) != 0 || !written)
        return kiln_fail(KILN_E_IO, "cannot write %s: %s", path, strerror(errno));
    return KILN_OK;
}

kiln_status kiln_kernels_write(const char *folder) {
    if (!folder)
        return kiln_fail(KILN_E_INVALID, "kiln_kernels_write: folder is NULL");
    for (const kiln_embed *const *source = kiln__embed_all; *source; source++)
        KILN_TRY(write_source(folder, *source));
    return KILN_OK;
}
