/* kiln demo's bad candidates: faults planted in a copy of a kernel's source, tuned like any other on the same device.
 */
#include "demo.h"
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Where faults are planted: under a value of a parameter that the guess does not have. */
typedef struct plant {
    const char *variant, *file, *entry, *parameter;
    int wrong, crash;
    const char *wrong_text, *crash_text; /* in a config */
} plant;

static const plant cpu = {"vec", "gemm/vec.cpu.cl", "KILN_KERNEL(gemm_vec", "KP_UNROLL", 1, 2, "unroll=1", "unroll=2"};
static const plant other = {"tile", "gemm/tile.cl", "KILN_KERNEL(gemm_tile", "KP_TK", 8, 32, "tk=8,", "tk=32,"};

/* A product that adds nothing is wrong, and tempting: it takes no time. A group that reads its number from an address
 * where nothing is crashes. */
static const char faults[] = "#if %s == %d\n"
                             "#undef KILN_FMA\n"
                             "#define KILN_FMA(a, b, c) (c)\n"
                             "#elif %s == %d\n"
                             "#undef KILN_GROUP_X\n"
                             "#define KILN_GROUP_X() (*(volatile KILN_GLOBAL int *)64)\n"
                             "#endif\n";

typedef struct planting {
    const plant *plant;
    planted_report *report;
    char kernels[300], cache[300];
    char device[64];
} planting;

enum { MAX_SOURCE_BYTES = 1 << 20 };

/* ---- tuning ---- */

static kiln_status watch(void *user, const kiln_tune_progress *p) {
    planted_report *r = user;
    if (strcmp(p->state, "wrong") == 0 && !r->wrong[0])
        snprintf(r->wrong, sizeof r->wrong, "%s %s: %.90s", p->variant, p->config, p->reason);
    if (strcmp(p->state, "crashed") == 0 && !r->crashed[0])
        snprintf(r->crashed, sizeof r->crashed, "%s %s: %.120s", p->variant, p->config, p->reason);
    const bool all_seen = r->wrong[0] && r->crashed[0] && p->best_us > 0; /* and a sound one */
    return all_seen ? KILN_E_CANCELLED : KILN_OK;
}

static kiln_status look(kiln_device *device, const kiln_problem *problem, const planting *p) {
    kiln_plan *plan;
    kiln_plan_info info = KILN_PLAN_INFO_INIT;
    kiln_status status = kiln_plan_create(device, problem, NULL, &plan);
    if (status != KILN_OK)
        return status;
    status = kiln_plan_get_info(plan, &info);
    p->report->chosen_is_sound = status == KILN_OK && strcmp(info.source, "record") == 0 &&
                                 !strstr(info.config, p->plant->wrong_text) &&
                                 !strstr(info.config, p->plant->crash_text);
    kiln_plan_destroy(plan);
    return status;
}

static kiln_status tune(kiln_context *context, const planting *p) {
    kiln_device *device;
    kiln_problem problem;
    kiln_tune_options options = KILN_TUNE_OPTIONS_INIT;
    kiln_tune_result result = KILN_TUNE_RESULT_INIT;
    kiln_status status = kiln_device_find(context, p->device, &device);
    if (status == KILN_OK)
        status = kiln_problem_parse(context, "gemm:m=64,n=64,k=64,ep=relu", &problem);
    if (status != KILN_OK)
        return status;
    options.variant = p->plant->variant;
    options.strategy = "random";
    options.budget_seconds = 60; /* on a busy machine; all is seen after a few candidates */
    options.progress = watch;
    options.user = p->report;
    status = kiln_tune_problem(device, &problem, &options, &result);
    p->report->n_measured = (double)result.n_measured;
    if (status != KILN_OK && status != KILN_E_CANCELLED)
        return status;
    return look(device, &problem, p);
}

/* ---- planting ---- */

static char *read_text(const char *path) {
    FILE *f = fopen(path, "rb");
    char *text = f ? calloc(1, MAX_SOURCE_BYTES + 1) : NULL;
    const size_t n = text ? fread(text, 1, MAX_SOURCE_BYTES, f) : 0;
    if (f)
        fclose(f);
    if (n > 0)
        return text;
    free(text);
    return NULL;
}

/* Puts the faults in front of the kernel. */
static int plant_faults(const planting *p) {
    char path[400];
    snprintf(path, sizeof path, "%s/%s", p->kernels, p->plant->file);
    char *text = read_text(path), *body = text ? strstr(text, p->plant->entry) : NULL;
    FILE *f = body ? fopen(path, "wb") : NULL;
    bool ok = f != NULL;
    if (f) {
        ok = fwrite(text, 1, (size_t)(body - text), f) == (size_t)(body - text);
        ok = fprintf(f, faults, p->plant->parameter, p->plant->wrong, p->plant->parameter, p->plant->crash) > 0 && ok;
        ok = fputs(body, f) >= 0 && ok;
        ok = fclose(f) == 0 && ok;
    }
    free(text);
    if (!ok)
        fprintf(stderr, "kiln: cannot change %s\n", path);
    return ok ? 0 : 1;
}

static int in_folder(const char *folder, planting *p) {
    snprintf(p->kernels, sizeof p->kernels, "%s/kernels", folder);
    snprintf(p->cache, sizeof p->cache, "%s/cache", folder);
    if (mkdir(p->kernels, 0700) != 0) {
        fprintf(stderr, "kiln: cannot make %s\n", p->kernels);
        return 1;
    }
    if (kiln_kernels_write(p->kernels) != KILN_OK)
        return cli_fail(NULL);
    if (plant_faults(p))
        return 1;
    kiln_context_options options = KILN_CONTEXT_OPTIONS_INIT;
    kiln_context *context;
    options.cache_dir = p->cache;
    options.kernel_dir = p->kernels;
    options.log_level = KILN_LOG_OFF;
    if (kiln_context_create(&options, &context) != KILN_OK)
        return cli_fail(NULL);
    const int status = tune(context, p) == KILN_OK ? 0 : cli_fail("the planted candidates");
    kiln_context_destroy(context);
    return status;
}

static int remove_entry(const char *path, const struct stat *st, int flag, struct FTW *ftw) {
    (void)st, (void)flag, (void)ftw;
    return remove(path);
}

int demo_planted(const kiln_device_info *on, planted_report *out) {
    char folder[256];
    const char *tmp = getenv("TMPDIR");
    memset(out, 0, sizeof *out);
    planting p = {.plant = on->kind == KILN_DEVICE_CPU ? &cpu : &other, .report = out};
    snprintf(p.device, sizeof p.device, "%s", on->name);
    const int n = snprintf(folder, sizeof folder, "%s/kiln-demo-XXXXXX", tmp && *tmp ? tmp : "/tmp");
    if (n < 0 || (size_t)n >= sizeof folder || !mkdtemp(folder)) {
        fprintf(stderr, "kiln: cannot make a temporary folder in %s\n", tmp && *tmp ? tmp : "/tmp");
        return 1;
    }
    const int status = in_folder(folder, &p);
    nftw(folder, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
    return status;
}
