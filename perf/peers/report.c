#include "peers.h"
#include <cJSON.h>
#include <math.h>
#include <sched.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static const char *const peers[] = {"onednn", "onednn-plain", "openblas"};
static const char *const families[] = {"gemm", "conv"};
enum { N_PEERS = sizeof peers / sizeof *peers, N_FAMILIES = sizeof families / sizeof *families };

void peers_say(const char *format, ...) {
    va_list args;
    va_start(args, format);
    fprintf(stderr, "kiln-peers: ");
    vfprintf(stderr, format, args);
    fprintf(stderr, "\n");
    va_end(args);
}

/* ---- numbers: medians over the passes ---- */

static double time_us(const peers_result *r, size_t runner) {
    double values[PEERS_MAX_PASSES];
    for (size_t p = 0; p < r->n_passes; p++)
        values[p] = r->passes[p].us[runner];
    return peers_median(values, r->n_passes);
}

static double others(const peers_result *r) {
    double values[PEERS_MAX_PASSES];
    for (size_t p = 0; p < r->n_passes; p++)
        values[p] = r->passes[p].others;
    return peers_median(values, r->n_passes);
}

/* A peer's fastest way, or 0: it has none. */
static size_t best_runner(const peers_result *r, const char *peer) {
    size_t best = 0;
    for (size_t i = 1; i < r->n_runners; i++)
        if (strcmp(r->runners[i].peer, peer) == 0 && !r->runners[i].absent[0] &&
            (!best || time_us(r, i) < time_us(r, best)))
            best = i;
    return best;
}

/* Times Kiln's, of what is measured together. */
static double ratio(const peers_result *r, size_t runner) {
    double values[PEERS_MAX_PASSES];
    for (size_t p = 0; p < r->n_passes; p++)
        values[p] = r->passes[p].us[runner] / r->passes[p].us[0];
    return peers_median(values, r->n_passes);
}

/* The geometric mean of the ratios of a family, 0 without any; the lowest ratio counts where `peer` is NULL. */
static double geomean(const peers_report *report, const char *family, const char *peer, size_t *count) {
    double sum = 0;
    *count = 0;
    for (size_t i = 0; i < report->n_results; i++) {
        const peers_result *r = &report->results[i];
        double lowest = 0;
        for (size_t p = 0; p < N_PEERS; p++) {
            const size_t best = best_runner(r, peers[p]);
            const double value = best && (!peer || strcmp(peer, peers[p]) == 0) ? ratio(r, best) : 0;
            if (value > 0 && (lowest <= 0 || value < lowest))
                lowest = value;
        }
        if (strcmp(r->family, family) != 0 || lowest <= 0)
            continue;
        sum += log(lowest);
        (*count)++;
    }
    return *count ? exp(sum / (double)*count) : 0;
}

/* ---- facts ---- */

static void cpu_model(char model[PEERS_MAX_TEXT]) {
    char line[512];
    FILE *f = fopen("/proc/cpuinfo", "r");
    snprintf(model, PEERS_MAX_TEXT, "unknown");
    while (f && fgets(line, sizeof line, f)) {
        const char *value = strncmp(line, "model name", 10) == 0 ? strchr(line, ':') : NULL;
        if (!value)
            continue;
        snprintf(model, PEERS_MAX_TEXT, "%.*s", (int)strcspn(value + 2, "\n"), value + 2);
        break;
    }
    if (f)
        fclose(f);
}

static void today(char text[32]) {
    const time_t now = time(NULL);
    struct tm t;
    strftime(text, 32, "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&now, &t));
}

/* ---- the table ---- */

static void print_heading(const peers_report *report) {
    char model[PEERS_MAX_TEXT], date[32];
    cpu_model(model);
    today(date);
    printf("date     %s\ncpu      %s, %u cores, %s\nkiln     %s on %s, %s\n", date, model, report->cores,
           report->kiln->info.features, kiln_version(), report->kiln->info.driver, report->kiln->info.compiler);
    for (size_t i = 0; peers_libraries[i]; i++)
        printf("%-8s %s\n", peers_libraries[i]->name, report->versions[i]);
    printf("\nmicroseconds of one run, and that time / Kiln's: above 1 Kiln is faster; others: cores used by other "
           "processes\n%-67s %10s %8s %-9s",
           "problem", "kiln", "GFLOP/s", "variant");
    for (size_t p = 0; p < N_PEERS; p++)
        printf(" %11s %6s", peers[p], "ratio");
    printf(" %7s\n", "others");
}

bool peers_report_table(const peers_report *report) {
    size_t n;
    print_heading(report);
    for (size_t i = 0; i < report->n_results; i++) {
        const peers_result *r = &report->results[i];
        printf("%-67s %10.1f %8.1f %-9s", r->problem, time_us(r, 0), r->flops / time_us(r, 0) * 1e-3, r->variant);
        for (size_t p = 0; p < N_PEERS; p++) {
            const size_t best = best_runner(r, peers[p]);
            if (best)
                printf(" %11.1f %6.2f", time_us(r, best), ratio(r, best));
            else
                printf(" %11s %6s", "-", "-");
        }
        printf(" %6.1f%%\n", others(r) * 100);
    }
    printf("\ngeometric means of the ratios\n");
    for (size_t f = 0; f < N_FAMILIES; f++) {
        for (size_t p = 0; p < N_PEERS; p++) {
            const double mean = geomean(report, families[f], peers[p], &n);
            if (n)
                printf("%-5s %-14s %6.2f  (%zu problems)\n", families[f], peers[p], mean, n);
        }
        const double mean = geomean(report, families[f], NULL, &n);
        if (n)
            printf("%-5s %-14s %6.2f  (%zu problems)\n", families[f], "fastest peer", mean, n);
    }
    return fflush(stdout) == 0 && !ferror(stdout);
}

/* ---- JSON ---- */

static void add_rounded(cJSON *to, const char *key, double value) {
    char text[32];
    snprintf(text, sizeof text, "%.5g", value);
    cJSON_AddRawToObject(to, key, text);
}

static void add_text(cJSON *to, const char *key, const char *value) {
    cJSON_AddStringToObject(to, key, value);
}

static void add_passes(cJSON *to, const peers_result *r, size_t runner) {
    cJSON *list = cJSON_AddArrayToObject(to, "us_of_passes");
    for (size_t p = 0; p < r->n_passes; p++) {
        char text[32];
        snprintf(text, sizeof text, "%.5g", r->passes[p].us[runner]);
        cJSON_AddItemToArray(list, cJSON_CreateRaw(text));
    }
}

static cJSON *result_json(const peers_result *r) {
    cJSON *row = cJSON_CreateObject(), *ways;
    size_t n_rounds = 0;
    for (size_t p = 0; p < r->n_passes; p++)
        n_rounds += r->passes[p].n_rounds;
    add_text(row, "problem", r->problem);
    add_text(row, "variant", r->variant);
    add_text(row, "config", r->config);
    add_text(row, "source", r->source);
    add_rounded(row, "kiln_us", time_us(r, 0));
    add_rounded(row, "kiln_gflops", r->flops / time_us(r, 0) * 1e-3);
    add_passes(row, r, 0);
    add_rounded(row, "rounds", (double)n_rounds);
    add_rounded(row, "others_share", others(r));
    ways = cJSON_AddArrayToObject(row, "peers");
    for (size_t i = 1; i < r->n_runners; i++) {
        cJSON *way = cJSON_CreateObject();
        cJSON_AddItemToArray(ways, way);
        add_text(way, "peer", r->runners[i].peer);
        add_text(way, "how", r->runners[i].how);
        if (r->runners[i].absent[0]) {
            add_text(way, "absent", r->runners[i].absent);
            continue;
        }
        add_rounded(way, "us", time_us(r, i));
        add_rounded(way, "ratio", ratio(r, i));
        cJSON_AddBoolToObject(way, "is_best", best_runner(r, r->runners[i].peer) == i);
        add_rounded(way, "relative_error", r->error[i]);
        add_passes(way, r, i);
    }
    return row;
}

static void add_facts(cJSON *root, const peers_report *report) {
    char model[PEERS_MAX_TEXT], date[32];
    cpu_model(model);
    today(date);
    add_text(root, "command", report->command);
    add_text(root, "date", date);
    add_text(root, "cpu", model);
    add_rounded(root, "cores", report->cores);
    add_text(root, "features", report->kiln->info.features);
    add_text(root, "device", report->kiln->info.model);
    add_text(root, "driver", report->kiln->info.driver);
    add_text(root, "compiler", report->kiln->info.compiler);
    add_rounded(root, "load_at_start", report->load);
    add_text(root, "scheduling", sched_getscheduler(0) == SCHED_OTHER ? "normal" : "real-time");
    add_text(root, "kiln", kiln_version());
    for (size_t i = 0; peers_libraries[i]; i++)
        add_text(root, peers_libraries[i]->name, report->versions[i]);
    add_text(root, "ratio", "time of the peer / time of Kiln, medians of samples taken in turns");
}

static void add_geomeans(cJSON *root, const peers_report *report) {
    cJSON *list = cJSON_AddArrayToObject(root, "geomeans");
    for (size_t f = 0; f < N_FAMILIES; f++)
        for (size_t p = 0; p <= N_PEERS; p++) {
            size_t n;
            const double mean = geomean(report, families[f], p < N_PEERS ? peers[p] : NULL, &n);
            if (!n)
                continue;
            cJSON *row = cJSON_CreateObject();
            cJSON_AddItemToArray(list, row);
            add_text(row, "family", families[f]);
            add_text(row, "peer", p < N_PEERS ? peers[p] : "fastest");
            add_rounded(row, "ratio", mean);
            add_rounded(row, "problems", (double)n);
        }
}

bool peers_report_json(const peers_report *report, const char *path) {
    cJSON *root = cJSON_CreateObject();
    add_facts(root, report);
    add_geomeans(root, report);
    cJSON *results = cJSON_AddArrayToObject(root, "results");
    for (size_t i = 0; i < report->n_results; i++)
        cJSON_AddItemToArray(results, result_json(&report->results[i]));
    char *text = cJSON_Print(root);
    cJSON_Delete(root);
    FILE *f = text ? fopen(path, "w") : NULL;
    bool ok = f && fprintf(f, "%s\n", text) > 0;
    if (f && fclose(f) != 0)
        ok = false;
    free(text);
    if (!ok)
        peers_say("cannot write %s", path);
    return ok;
}
