#include "peers.h"
#include <math.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Differences of rounding; larger ones are errors. Winograd's are the largest. */
static const double max_error = 1e-4;

enum { NO_DEVICE = 77, MAX_PROBLEMS = 256, MAX_LINE = 512 };

typedef struct options {
    double seconds, tune_seconds;
    size_t n_passes;
    const char *device, *json;
    char problems[MAX_PROBLEMS][MAX_LINE];
    size_t n_problems;
} options;

static const char usage_text[] =
    "usage: kiln-peers [OPTION]... SUITE|PROBLEM...\n"
    "\n"
    "Measures Kiln's plans, oneDNN and OpenBLAS in turns on the same problems (gemm, "
    "conv) and prints the ratios. A suite\n"
    "is a file with one problem a line.\n"
    "\n"
    "  --seconds S    measure each problem for about S seconds a pass (default 2)\n"
    "  --passes N     go through all problems N times, take medians (1 to 9, default 1)\n"
    "  --tune S       before that, let Kiln tune each problem for up to S seconds\n"
    "  --device NAME  Kiln's device (default the first CPU)\n"
    "  --json FILE    also write all results to FILE\n"
    "\n"
    "Exit status: 0 measured, 1 something failed or the libraries disagree, 2 usage, 77 Kiln has no device here.\n";

/* ---- options ---- */

static bool add_problem(options *o, const char *text) {
    if (o->n_problems == MAX_PROBLEMS || strlen(text) >= MAX_LINE) {
        peers_say("at most %d problems of %d characters", MAX_PROBLEMS, MAX_LINE - 1);
        return false;
    }
    strcpy(o->problems[o->n_problems++], text);
    return true;
}

static bool add_suite(options *o, const char *path) {
    char line[MAX_LINE];
    FILE *f = fopen(path, "r");
    bool ok = f != NULL;
    if (!f)
        peers_say("%s: neither a problem nor a suite that can be read", path);
    while (ok && fgets(line, sizeof line, f)) {
        line[strcspn(line, "\r\n")] = 0;
        if (line[0] && line[0] != '#')
            ok = add_problem(o, line);
    }
    if (f)
        fclose(f);
    return ok;
}

static bool read_number(const char *name, const char *text, double lowest, double highest, double *out) {
    char *end = NULL;
    *out = text ? strtod(text, &end) : 0;
    if (text && end != text && *end == 0 && *out >= lowest && *out <= highest)
        return true;
    peers_say("%s wants a number from %g to %g", name, lowest, highest);
    return false;
}

static bool read_options(int argc, char **argv, options *o) {
    for (int i = 1; i < argc; i++) {
        const char *name = argv[i], *value = i + 1 < argc ? argv[i + 1] : NULL;
        double passes = 1;
        bool ok = true;
        if (name[0] != '-') {
            if (!(strchr(name, ':') ? add_problem(o, name) : add_suite(o, name)))
                return false;
            continue;
        }
        if (strcmp(name, "--seconds") == 0)
            ok = read_number(name, value, 0.01, 3600, &o->seconds);
        else if (strcmp(name, "--tune") == 0)
            ok = read_number(name, value, 0.1, 86400, &o->tune_seconds);
        else if (strcmp(name, "--passes") == 0) {
            ok = read_number(name, value, 1, PEERS_MAX_PASSES, &passes);
            o->n_passes = (size_t)passes;
        } else if (strcmp(name, "--device") == 0 && value)
            o->device = value;
        else if (strcmp(name, "--json") == 0 && value)
            o->json = value;
        else {
            peers_say("%s: unknown option, or its value is missing", name);
            ok = false;
        }
        if (!ok)
            return false;
        i++;
    }
    if (o->n_problems == 0)
        peers_say("no problem to measure");
    return o->n_problems > 0;
}

/* ---- one problem ---- */

static void close_runners(peers_runner *runners, size_t n) {
    for (size_t i = 0; i < n; i++)
        if (runners[i].close)
            runners[i].close(runners[i].state);
}

/* Largest difference relative to the largest value of Kiln's output. */
static double difference(const float *expected, const float *got, size_t n) {
    double largest = 0, scale = 1e-30;
    for (size_t i = 0; i < n; i++) {
        const double d = fabs((double)got[i] - (double)expected[i]), v = fabs((double)expected[i]);
        largest = d <= largest ? largest : d; /* also true for a NaN, which then stays */
        scale = v > scale ? v : scale;
    }
    return largest / scale;
}

static bool check_runners(const peers_case *c, peers_result *r) {
    float *expected = malloc(c->n_output * sizeof(float)), *got = malloc(c->n_output * sizeof(float));
    bool ok = expected && got && r->runners[0].run(r->runners[0].state, 1) &&
              r->runners[0].read(r->runners[0].state, expected);
    for (size_t i = 1; ok && i < r->n_runners; i++) {
        const peers_runner *runner = &r->runners[i];
        if (runner->absent[0])
            continue;
        for (size_t e = 0; e < c->n_output; e++)
            got[e] = NAN;
        ok = runner->run(runner->state, 1) && runner->read(runner->state, got);
        if (!ok)
            break;
        r->error[i] = difference(expected, got, c->n_output);
        if (!(r->error[i] <= max_error)) {
            peers_say("%s: %s, %s and Kiln's %s differ by %.2g of the largest value", c->key, runner->peer, runner->how,
                      r->runners[0].how, r->error[i]);
            ok = false;
        }
    }
    free(expected);
    free(got);
    return ok;
}

static bool measure_case(const peers_report *report, const peers_case *c, void *const *libraries, double seconds,
                         peers_result *r) {
    kiln_plan_info info;
    if (!peers_kiln_open(report->kiln, c, &r->runners[0], &info))
        return false;
    snprintf(r->problem, sizeof r->problem, "%s", c->key);
    snprintf(r->family, sizeof r->family, "%.*s", (int)strcspn(c->key, ":"), c->key);
    snprintf(r->variant, sizeof r->variant, "%s", info.variant);
    snprintf(r->config, sizeof r->config, "%s", info.config);
    snprintf(r->source, sizeof r->source, "%s", info.source);
    r->flops = info.flops;
    r->n_runners = 1;
    for (size_t i = 0; peers_libraries[i]; i++)
        r->n_runners +=
            peers_libraries[i]->open(libraries[i], c, r->runners + r->n_runners, PEERS_MAX_RUNNERS - r->n_runners);
    const bool ok =
        check_runners(c, r) && peers_measure(r->runners, r->n_runners, report->cores, seconds, &r->passes[r->n_passes]);
    close_runners(r->runners, r->n_runners);
    r->n_passes += ok;
    return ok;
}

/* ---- all of them ---- */

static bool tune_all(const peers_kiln *kiln, const options *o) {
    bool ok = true;
    for (size_t i = 0; i < o->n_problems && o->tune_seconds > 0; i++) {
        peers_case c;
        const bool is_open = peers_case_open(kiln, o->problems[i], &c);
        fprintf(stderr, "tuning %zu of %zu: %s\n", i + 1, o->n_problems, o->problems[i]);
        ok = is_open && peers_kiln_tune(kiln, &c, o->tune_seconds) && ok;
        if (is_open)
            peers_case_close(&c);
    }
    return ok;
}

/* A problem that fails is left out of the report; the exit status tells. */
static bool measure_all(peers_report *report, const options *o, void *const *libraries, peers_result *results) {
    bool ok = true;
    for (size_t pass = 0; pass < o->n_passes; pass++)
        for (size_t i = 0; i < o->n_problems; i++) {
            peers_case c;
            if (results[i].n_passes < pass)
                continue;
            fprintf(stderr, "pass %zu of %zu, %zu of %zu: %s\n", pass + 1, o->n_passes, i + 1, o->n_problems,
                    o->problems[i]);
            const bool is_open = peers_case_open(report->kiln, o->problems[i], &c);
            ok = is_open && measure_case(report, &c, libraries, o->seconds, &results[i]) && ok;
            if (is_open)
                peers_case_close(&c);
        }
    for (size_t i = 0; i < o->n_problems; i++)
        if (results[i].n_passes == o->n_passes)
            results[report->n_results++] = results[i];
    report->results = results;
    return ok;
}

/* Exit status. */
static int compare(peers_report *report, const options *o) {
    void *libraries[8] = {0};
    bool ok = true;
    peers_result *results = calloc(o->n_problems, sizeof *results);
    for (size_t i = 0; results && ok && peers_libraries[i]; i++) {
        libraries[i] = peers_libraries[i]->start(report->cores, report->versions[i]);
        ok = libraries[i] != NULL;
    }
    if (results && ok) {
        ok = tune_all(report->kiln, o);
        ok = measure_all(report, o, libraries, results) && ok;
        if (report->n_results > 0) {
            ok = peers_report_table(report) && ok;
            ok = (!o->json || peers_report_json(report, o->json)) && ok;
        }
    }
    for (size_t i = 0; peers_libraries[i]; i++)
        if (libraries[i])
            peers_libraries[i]->stop(libraries[i]);
    free(results);
    return results && ok ? 0 : 1;
}

/* As the command does: without this PoCL's workers may share a core, and with it they need every core. Returns the
 * number of cores that all libraries may use. */
static unsigned bind_cpu_workers(void) {
    cpu_set_t set;
    const long all = sysconf(_SC_NPROCESSORS_ONLN);
    if (sched_getaffinity(0, sizeof set, &set) != 0)
        return all > 0 ? (unsigned)all : 1;
    if (CPU_COUNT(&set) >= all)
        setenv("POCL_AFFINITY", "1", 0);
    else
        peers_say("this process may not use every core: Kiln's threads are not bound to cores of their own");
    return (unsigned)CPU_COUNT(&set);
}

int main(int argc, char **argv) {
    static options o = {.seconds = 2, .n_passes = 1};
    static char command[4096];
    if (argc < 2 || strcmp(argv[1], "--help") == 0) {
        fputs(usage_text, argc < 2 ? stderr : stdout);
        return argc < 2 ? 2 : 0;
    }
    if (!read_options(argc, argv, &o))
        return 2;
    for (int i = 0; i < argc && strlen(command) + strlen(argv[i]) + 2 < sizeof command; i++)
        strcat(strcat(command, i ? " " : ""), i ? argv[i] : "kiln-peers");
    const unsigned cores = bind_cpu_workers();
    peers_kiln kiln;
    peers_report report = {.command = command, .kiln = &kiln, .cores = cores};
    if (getloadavg(&report.load, 1) != 1)
        report.load = 0;
    if (!peers_kiln_start(&kiln, o.device))
        return NO_DEVICE;
    const int status = compare(&report, &o);
    peers_kiln_stop(&kiln);
    return status;
}
