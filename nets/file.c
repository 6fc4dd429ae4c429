#include "file.h"
#include "status.h"
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static kiln_status read_all(int fd, unsigned char *to, size_t n, size_t *got) {
    *got = 0;
    while (*got < n) {
        const ssize_t some = read(fd, to + *got, n - *got);
        if (some < 0 && errno == EINTR)
            continue;
        if (some < 0)
            return kiln_fail(KILN_E_IO, "reading failed: %s", strerror(errno));
        if (some == 0)
            break; /* shrank since it was asked for its size */
        *got += (size_t)some;
    }
    return KILN_OK;
}

static kiln_status read_open(kiln_context *context, int fd, size_t max_bytes, void **data, size_t *bytes) {
    struct stat st;
    if (fstat(fd, &st) != 0)
        return kiln_fail(KILN_E_IO, "%s", strerror(errno));
    if (!S_ISREG(st.st_mode))
        return kiln_fail(KILN_E_IO, "not a regular file");
    if ((uint64_t)st.st_size > max_bytes)
        return kiln_fail(KILN_E_IO, "%lld bytes; at most %zu are read", (long long)st.st_size, max_bytes);
    void *memory = kiln__realloc(context, NULL, (size_t)st.st_size + 1);
    if (!memory)
        return kiln_fail(KILN_E_MEMORY, "out of host memory for %lld bytes", (long long)st.st_size);
    const kiln_status status = read_all(fd, memory, (size_t)st.st_size, bytes);
    if (status != KILN_OK) {
        kiln__free(context, memory);
        return status;
    }
    *data = memory;
    return KILN_OK;
}

kiln_status kiln__file_read(kiln_context *context, const char *path, size_t max_bytes, void **data, size_t *bytes) {
    const int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* a FIFO must not block */
    if (fd < 0)
        return kiln_fail(KILN_E_IO, "cannot be opened: %s", strerror(errno));
    const kiln_status status = read_open(context, fd, max_bytes, data, bytes);
    close(fd);
    return status;
}
