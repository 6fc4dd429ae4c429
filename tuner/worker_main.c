/* kiln-worker: measures candidates for a keeper. Requests come on standard input, replies leave on what was standard
 * output; whatever a driver prints goes to standard error. It ends with its input. */
#include "worker.h"
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef struct {
    kiln_context *context;
    FILE *replies;
    kiln_measurer *measurer; /* of the last problem */
    kiln_device *device;
    kiln_problem problem;
    kiln_measure_options options;
    kiln_wire_candidate champion;
} worker;

static bool send_line(worker *w, char *line) {
    const bool ok = line && fprintf(w->replies, "%s\n", line) > 0 && fflush(w->replies) == 0;
    free(line);
    return ok;
}

static bool same_candidate(const kiln_wire_candidate *a, const kiln_wire_candidate *b) {
    return a->given == b->given &&
           (!a->given ||
            (a->candidate.variant == b->candidate.variant && kiln__problem_equal(&a->problem, &b->problem) &&
             memcmp(&a->candidate.config, &b->candidate.config, sizeof a->candidate.config) == 0));
}

static bool same_options(const kiln_measure_options *a, const kiln_measure_options *b) {
    return a->seed == b->seed && a->min_seconds == b->min_seconds && a->drop_ratio == b->drop_ratio &&
           a->serving[0] == b->serving[0] && a->serving[1] == b->serving[1];
}

/* Data, reference and champion: kept from one request to the next of the same problem. */
static kiln_status get_ready(worker *w, kiln_device *device, const kiln_problem *problem,
                             const kiln_measure_options *options, const kiln_wire_candidate *champion) {
    if (!w->measurer || w->device != device || !same_options(&w->options, options) ||
        !kiln__problem_equal(&w->problem, problem)) {
        kiln__measurer_destroy(w->measurer);
        w->measurer = NULL;
        w->champion.given = false;
        KILN_TRY(kiln__measurer_create(device, problem, options, &w->measurer));
        w->device = device;
        w->problem = *problem;
        w->options = *options;
    }
    if (same_candidate(&w->champion, champion))
        return KILN_OK;
    w->champion.given = false;
    KILN_TRY(kiln__measurer_champion(w->measurer, &champion->problem, champion->given ? &champion->candidate : NULL));
    w->champion = *champion;
    return KILN_OK;
}

static kiln_status serve(worker *w, const char *line, kiln_trial *trial) {
    kiln_device *device;
    kiln_measure_options options;
    kiln_wire_candidate candidate, champion;
    KILN_TRY(kiln__wire_read_request(w->context, line, &device, &candidate, &champion, &options));
    KILN_TRY(get_ready(w, device, &candidate.problem, &options, &champion));
    if (!send_line(w, strdup("{\"ready\":true}")))
        return kiln_fail(KILN_E_IO, "the keeper is gone");
    return kiln__measure(w->measurer, &candidate.candidate, trial);
}

static int run(worker *w) {
    char *line = malloc(KILN_WIRE_MAX_LINE);
    int result = line ? 0 : 1;
    if (fprintf(w->replies, "{\"version\":\"%s\"}\n", kiln_version()) < 0 || fflush(w->replies) != 0)
        result = 1;
    while (result == 0 && fgets(line, KILN_WIRE_MAX_LINE, stdin)) {
        kiln_trial trial;
        memset(&trial, 0, sizeof trial);
        const kiln_status status = serve(w, line, &trial);
        result = send_line(w, kiln__wire_reply(status, &trial)) ? 0 : 1;
    }
    free(line);
    return result;
}

/* A candidate may never come back; when the keeper is gone, nobody is left to end it. */
static void *watch_keeper(void *unused) {
    struct pollfd input = {.fd = STDIN_FILENO}; /* no events: waits for the other end to close */
    (void)unused;
    while (poll(&input, 1, -1) < 0 && errno == EINTR)
        continue;
    sleep(1); /* an orderly end takes less */
    _exit(0);
}

int main(int argc, char **argv) {
    if (argc != 2 || strcmp(argv[1], "--measure") != 0) {
        fprintf(stderr, "kiln-worker %s: started by Kiln to measure candidates; not for use by hand\n", kiln_version());
        return 2;
    }
    const int replies = dup(STDOUT_FILENO);
    worker w = {.replies = replies >= 0 ? fdopen(replies, "w") : NULL};
    if (!w.replies || dup2(STDERR_FILENO, STDOUT_FILENO) < 0) {
        perror("kiln-worker");
        return 1;
    }
    pthread_t watcher;
    if (pthread_create(&watcher, NULL, watch_keeper, NULL) == 0)
        pthread_detach(watcher);
    kiln_context_options options = KILN_CONTEXT_OPTIONS_INIT;
    options.mode = KILN_MODE_DEFAULT;   /* what is to be measured is in the request */
    options.log_level = KILN_LOG_ERROR; /* what becomes of a candidate is in the reply */
    if (kiln_context_create(&options, &w.context) != KILN_OK) {
        fprintf(stderr, "kiln-worker: %s\n", kiln_last_error());
        return 1;
    }
    const int result = run(&w);
    kiln__measurer_destroy(w.measurer);
    kiln_context_destroy(w.context);
    return result;
}
