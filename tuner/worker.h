/* The worker: a separate long-lived process that compiles and measures candidates, so that a crash costs a candidate.
 *
 * The keeper (this side) sends one request a line and gets replies, JSON both, over pipes:
 *
 *     keeper: {"problem":…,"device":…,"variant":…,"config":…,"champion":{…},…}
 *     worker: {"ready":true}                       data, ref and champion are there: the candidate's time begins
 *     worker: {"state":"ok","timing":[…],…}        or {"status":8,"error":…}: nothing more can be measured
 *
 * A worker that dies, loses its device or does not answer in time is killed and started again at the next request; the
 * trial is CRASHED or HUNG. Both ends are of the same release: the keeper checks the version that the worker says
 * first. */
#ifndef KILN_TUNER_WORKER_H
#define KILN_TUNER_WORKER_H

#include "measure.h"

typedef struct kiln_worker kiln_worker;

typedef struct kiln_worker_request {
    kiln_device *device;
    const kiln_problem *problem;
    const kiln_candidate *candidate;
    const kiln_candidate *champion; /* NULL: none */
    const kiln_problem *rival;      /* that the champion is of; NULL: of `problem` */
    kiln_measure_options options;
    double limit_seconds; /* for the candidate; making data and the reference may take ten times as long */
} kiln_worker_request;

/* Finds the program: `path`, else KILN_WORKER, else kiln-worker beside the library or the running program. Starts
 * nothing yet. KILN_E_NOT_FOUND: there is none; the text says where it was looked for. */
kiln_status kiln__worker_find(kiln_context *context, const char *path, kiln_worker **out);
/* Ends the process. NULL is ignored. */
void kiln__worker_stop(kiln_worker *worker);

/* Measures one candidate in the worker, starting it if it is not there. KILN_E_IO: it cannot be started at all. */
kiln_status kiln__worker_measure(kiln_worker *worker, const kiln_worker_request *request, kiln_trial *out);

/* ---- the wire, shared by both ends; texts are lines without the newline, owned by the caller through free() ---- */

enum { KILN_WIRE_MAX_LINE = 1 << 16 };

char *kiln__wire_request(const kiln_worker_request *request);
/* A candidate in a request, looked up in the context. */
typedef struct kiln_wire_candidate {
    kiln_problem problem;
    kiln_candidate candidate;
    bool given;
} kiln_wire_candidate;
kiln_status kiln__wire_read_request(kiln_context *context, const char *line, kiln_device **device,
                                    kiln_wire_candidate *candidate, kiln_wire_candidate *champion,
                                    kiln_measure_options *options);
char *kiln__wire_reply(kiln_status status, const kiln_trial *trial);
/* KILN_E_CORRUPT: not a reply. Else the status the worker gave. */
kiln_status kiln__wire_read_reply(const char *line, kiln_trial *out);

#endif
