/* The keeper's side of the worker. */
#include "worker.h"
#include "clock.h"
#include "device.h"
#include <dlfcn.h>
#include <errno.h>
#include <kiln/cache.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

enum { MAX_ENVIRONMENT = 4096 };
static const double start_seconds = 60; /* loading a driver on a busy machine */

struct kiln_worker {
    kiln_context *context;
    char *path;
    pid_t pid;  /* 0: not running */
    int socket; /* both ways */
    char *buffer;
    size_t length; /* of what was received and not yet taken */
};

/* ---- finding ---- */

static bool beside(const char *file, kiln_strbuf *out) {
    const char *slash = file ? strrchr(file, '/') : NULL;
    kiln__strbuf_clear(out);
    if (!slash)
        return false;
    kiln__strbuf_add_bytes(out, file, (size_t)(slash - file + 1));
    kiln__strbuf_add(out, "kiln-worker");
    return !out->failed && access(out->data, X_OK) == 0;
}

static bool find_program(const char *path, kiln_strbuf *out) {
    const char *named = path ? path : getenv("KILN_WORKER");
    if (named && *named) {
        kiln__strbuf_add(out, named);
        return !out->failed && access(out->data, X_OK) == 0;
    }
    Dl_info library;
    char self[4096];
    const ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);
    self[n > 0 ? n : 0] = 0;
    return beside(self, out) ||
           (dladdr((void *)(uintptr_t)&kiln__worker_find, &library) && beside(library.dli_fname, out));
}

kiln_status kiln__worker_find(kiln_context *context, const char *path, kiln_worker **out) {
    *out = NULL;
    kiln_strbuf program = {0};
    if (!find_program(path, &program)) {
        kiln_fail(KILN_E_NOT_FOUND, "no kiln-worker at %s, and none beside the program or the library; set KILN_WORKER",
                  kiln__strbuf_text(&program));
        kiln__strbuf_free(&program);
        return KILN_E_NOT_FOUND;
    }
    kiln_worker *w = kiln__alloc(context, sizeof *w);
    if (w) {
        w->context = context;
        w->socket = -1;
        w->path = kiln__strdup(context, program.data);
        w->buffer = kiln__alloc(context, KILN_WIRE_MAX_LINE);
    }
    kiln__strbuf_free(&program);
    if (!w || !w->path || !w->buffer) {
        kiln__worker_stop(w);
        return KILN_E_MEMORY;
    }
    *out = w;
    return KILN_OK;
}

/* ---- life of the process ---- */

static void end_process(kiln_worker *w, int *wait_status) {
    *wait_status = 0;
    if (w->socket >= 0)
        close(w->socket);
    w->socket = -1;
    w->length = 0;
    if (w->pid > 0) {
        kill(w->pid, SIGKILL);
        while (waitpid(w->pid, wait_status, 0) < 0 && errno == EINTR)
            continue;
    }
    w->pid = 0;
}

void kiln__worker_stop(kiln_worker *w) {
    if (!w)
        return;
    int ignored;
    end_process(w, &ignored);
    kiln__free(w->context, w->path);
    kiln__free(w->context, w->buffer);
    kiln__free(w->context, w);
}

/* The caller's environment with what this context was told otherwise. POCL_AFFINITY keeps the two threads of PoCL off
 * one core; pinning is wrong where the process may not use every core. */
static kiln_status make_environment(const kiln_worker *w, kiln_strbuf *text, char **out) {
    extern char **environ;
    static const char *const ours[] = {"KILN_CACHE_DIR=", "KILN_KERNEL_DIR=", "POCL_AFFINITY="};
    size_t n = 0, offsets[3] = {0}, n_added = 0;
    offsets[n_added++] = text->length;
    kiln__strbuf_addf(text, "%s%s%c", ours[0], kiln_cache_dir(w->context), 0);
    if (w->context->kernel_dir) {
        offsets[n_added++] = text->length;
        kiln__strbuf_addf(text, "%s%s%c", ours[1], w->context->kernel_dir, 0);
    }
    cpu_set_t cores;
    if (!getenv("POCL_AFFINITY") && sched_getaffinity(0, sizeof cores, &cores) == 0 &&
        CPU_COUNT(&cores) == sysconf(_SC_NPROCESSORS_ONLN)) {
        offsets[n_added++] = text->length;
        kiln__strbuf_addf(text, "%s1%c", ours[2], 0);
    }
    KILN_TRY(kiln__strbuf_status(text));
    for (size_t i = 0; i < n_added; i++)
        out[n++] = text->data + offsets[i];
    for (char **e = environ; *e && n < MAX_ENVIRONMENT - 1; e++) {
        bool replaced = false;
        for (size_t i = 0; i < n_added; i++)
            replaced |= strncmp(*e, out[i], strcspn(out[i], "=") + 1) == 0;
        if (!replaced)
            out[n++] = *e;
    }
    out[n] = NULL;
    return KILN_OK;
}

static kiln_status spawn(kiln_worker *w, int child_end) {
    kiln_strbuf text = {0};
    char **environment = kiln__alloc(w->context, MAX_ENVIRONMENT * sizeof *environment);
    char *arguments[] = {w->path, (char[]){"--measure"}, NULL};
    kiln_status status = environment ? make_environment(w, &text, environment) : KILN_E_MEMORY;
    posix_spawn_file_actions_t actions;
    if (status == KILN_OK && posix_spawn_file_actions_init(&actions) != 0)
        status = kiln_fail(KILN_E_MEMORY, "out of memory starting the worker");
    if (status == KILN_OK) {
        posix_spawn_file_actions_adddup2(&actions, child_end, STDIN_FILENO);
        posix_spawn_file_actions_adddup2(&actions, child_end, STDOUT_FILENO);
        const int error = posix_spawn(&w->pid, w->path, &actions, NULL, arguments, environment);
        posix_spawn_file_actions_destroy(&actions);
        if (error != 0) {
            w->pid = 0;
            status = kiln_fail(KILN_E_IO, "cannot start %s: %s", w->path, strerror(error));
        }
    }
    kiln__strbuf_free(&text);
    kiln__free(w->context, environment);
    return status;
}

/* ---- talking ---- */

static kiln_status send_line(kiln_worker *w, const char *line) {
    struct iovec {
        const char *data;
        size_t bytes;
    } parts[2] = {{line, strlen(line)}, {"\n", 1}};
    for (int i = 0; i < 2; i++)
        while (parts[i].bytes > 0) {
            const ssize_t n = send(w->socket, parts[i].data, parts[i].bytes, MSG_NOSIGNAL);
            if (n < 0 && errno == EINTR)
                continue;
            if (n <= 0)
                return kiln_fail(KILN_E_IO, "the worker does not listen: %s", strerror(errno));
            parts[i].data += n;
            parts[i].bytes -= (size_t)n;
        }
    return KILN_OK;
}

/* The next line, in w->buffer; the one before is dropped. KILN_E_TIMEOUT, or KILN_E_IO when the worker is gone. */
static kiln_status receive_line(kiln_worker *w, double seconds) {
    const double end_us = kiln__now_us() + 1e6 * seconds;
    const char *newline = memchr(w->buffer, '\n', w->length);
    while (!newline) {
        struct pollfd p = {.fd = w->socket, .events = POLLIN};
        const double left_us = end_us - kiln__now_us();
        if (w->length == KILN_WIRE_MAX_LINE)
            return kiln_fail(KILN_E_IO, "the worker's reply is too long");
        const int ready = left_us > 0 ? poll(&p, 1, (int)(left_us / 1e3) + 1) : 0;
        if (ready < 0 && errno == EINTR)
            continue;
        if (ready == 0)
            return kiln_fail(KILN_E_TIMEOUT, "no answer within %.0f seconds", seconds);
        const ssize_t n = recv(w->socket, w->buffer + w->length, KILN_WIRE_MAX_LINE - w->length, 0);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return kiln_fail(KILN_E_IO, "the worker ended");
        newline = memchr(w->buffer + w->length, '\n', (size_t)n);
        w->length += (size_t)n;
    }
    w->buffer[newline - w->buffer] = 0;
    return KILN_OK;
}

static void drop_line(kiln_worker *w) {
    const size_t n = strlen(w->buffer) + 1;
    memmove(w->buffer, w->buffer + n, w->length - n);
    w->length -= n;
}

static kiln_status start(kiln_worker *w) {
    int ends[2], ignored;
    char hello[128];
    if (w->pid > 0)
        return KILN_OK;
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0)
        return kiln_fail(KILN_E_IO, "cannot make a socket for the worker: %s", strerror(errno));
    w->socket = ends[0];
    kiln_status status = spawn(w, ends[1]);
    close(ends[1]);
    if (status == KILN_OK)
        status = receive_line(w, start_seconds);
    snprintf(hello, sizeof hello, "{\"version\":\"%s\"}", kiln_version());
    if (status == KILN_OK && strcmp(w->buffer, hello) != 0)
        status = kiln_fail(KILN_E_MISMATCH, "it is not of this release (%s): %.80s", kiln_version(), w->buffer);
    if (status != KILN_OK) {
        end_process(w, &ignored);
        return kiln_fail_in(status == KILN_E_MISMATCH ? status : KILN_E_IO, "worker %s", w->path);
    }
    drop_line(w);
    return KILN_OK;
}

/* ---- measuring ---- */

/* The candidate took the worker with it, or the device, which a new process opens anew. */
static void bury(kiln_worker *w, kiln_status how, double seconds, kiln_trial *out) {
    int wait_status;
    memset(out, 0, sizeof *out);
    out->state = how == KILN_E_TIMEOUT ? KILN_TRIAL_HUNG : KILN_TRIAL_CRASHED;
    if (how == KILN_E_DEVICE_LOST)
        snprintf(out->reason, sizeof out->reason, "%s", kiln_last_error());
    else if (how != KILN_E_TIMEOUT)
        usleep(20000); /* the signal that ended it comes before ours */
    end_process(w, &wait_status);
    if (how == KILN_E_DEVICE_LOST)
        return;
    if (how == KILN_E_TIMEOUT)
        snprintf(out->reason, sizeof out->reason, "no result within %.0f seconds", seconds);
    else if (WIFSIGNALED(wait_status) && WTERMSIG(wait_status) != SIGKILL)
        snprintf(out->reason, sizeof out->reason, "the worker died of signal %d (%s)", WTERMSIG(wait_status),
                 strsignal(WTERMSIG(wait_status)));
    else
        snprintf(out->reason, sizeof out->reason, "the worker died");
}

static kiln_status exchange(kiln_worker *w, const kiln_worker_request *r, bool *ready, kiln_trial *out) {
    KILN_TRY(receive_line(w, 10 * r->limit_seconds));
    *ready = strcmp(w->buffer, "{\"ready\":true}") == 0;
    if (*ready) {
        drop_line(w);
        KILN_TRY(receive_line(w, r->limit_seconds));
    }
    const kiln_status status = kiln__wire_read_reply(w->buffer, out);
    drop_line(w);
    return status;
}

kiln_status kiln__worker_measure(kiln_worker *w, const kiln_worker_request *request, kiln_trial *out) {
    char *line = kiln__wire_request(request);
    if (!line)
        return kiln_fail(KILN_E_MEMORY, "out of host memory making a request");
    bool ready = false;
    kiln_status status = start(w);
    if (status == KILN_OK)
        status = send_line(w, line);
    if (status == KILN_OK)
        status = exchange(w, request, &ready, out);
    free(line);
    const bool is_gone = status == KILN_E_IO || status == KILN_E_TIMEOUT || status == KILN_E_CORRUPT;
    if (w->pid > 0 && (is_gone || (ready && status == KILN_E_DEVICE_LOST))) {
        bury(w, status, request->limit_seconds, out);
        return ready ? KILN_OK /* the candidate did it */
                     : kiln_fail(KILN_E_DEVICE,
                                 "the worker failed before the candidate's turn, in the reference or the "
                                 "champion: %s",
                                 out->reason);
    }
    return status;
}
