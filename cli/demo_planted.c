/* kiln demo's bad candidates: planted in a scripted device, so that they are bad on every machine. */
#include "demo.h"
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char script[] = "device name=planted kind=gpu units=4 graphs=1 patch=1\n"
                             "compute result=zeros\n"
                             "time call=kernel us=100\n"
                             "time kernel=gemm_tile us=80 defines=KP_WN=2\n"
                             "compute kernel=gemm_tile result=ones defines=KP_TM=16\n" /* wrong, and tempting */
                             "time kernel=gemm_tile us=1 defines=KP_TM=16\n"
                             "compute kernel=gemm_tile result=crash defines=KP_TK=8\n";

static kiln_status watch(void *user, const kiln_tune_progress *p) {
    planted_report *r = user;
    if (strcmp(p->state, "wrong") == 0 && !r->wrong[0])
        snprintf(r->wrong, sizeof r->wrong, "%s %s: %.90s", p->variant, p->config, p->reason);
    if (strcmp(p->state, "crashed") == 0 && !r->crashed[0])
        snprintf(r->crashed, sizeof r->crashed, "%s %s: %.120s", p->variant, p->config, p->reason);
    const bool seen = r->wrong[0] && r->crashed[0] && p->n_measured >= 8;
    return seen ? KILN_E_CANCELLED : KILN_OK;
}

static kiln_status look(kiln_device *device, const kiln_problem *problem, planted_report *r) {
    kiln_plan *plan;
    kiln_plan_info info = KILN_PLAN_INFO_INIT;
    kiln_status status = kiln_plan_create(device, problem, NULL, &plan);
    if (status != KILN_OK)
        return status;
    status = kiln_plan_get_info(plan, &info);
    r->chosen_is_sound = status == KILN_OK && !strstr(info.config, "tm=16,") && !strstr(info.config, "tk=8,");
    kiln_plan_destroy(plan);
    return status;
}

static kiln_status tune(kiln_context *context, planted_report *r) {
    kiln_device *device;
    kiln_problem problem;
    kiln_tune_options options = KILN_TUNE_OPTIONS_INIT;
    kiln_tune_result result = KILN_TUNE_RESULT_INIT;
    kiln_status status = kiln_device_find(context, "null", &device);
    if (status == KILN_OK)
        status = kiln_problem_parse(context, "gemm:m=64,n=64,k=64,ep=relu", &problem);
    if (status != KILN_OK)
        return status;
    options.variant = "tile";
    options.strategy = "random";
    options.budget_seconds = 10;
    options.progress = watch;
    options.user = r;
    status = kiln_tune_problem(device, &problem, &options, &result);
    r->n_measured = (double)result.n_measured;
    if (status != KILN_OK && status != KILN_E_CANCELLED)
        return status;
    return look(device, &problem, r);
}

static int in_folder(const char *folder, planted_report *out) {
    char path[300], cache[300];
    snprintf(path, sizeof path, "%s/script", folder);
    snprintf(cache, sizeof cache, "%s/cache", folder);
    FILE *f = fopen(path, "w");
    if (!f || fputs(script, f) < 0 || fclose(f) != 0) {
        fprintf(stderr, "kiln: cannot write %s\n", path);
        return 1;
    }
    setenv("KILN_NULL_SCRIPT", path, 1);
    kiln_context_options options = KILN_CONTEXT_OPTIONS_INIT;
    kiln_context *context;
    options.backends = "null";
    options.cache_dir = cache;
    options.log_level = KILN_LOG_OFF;
    int status = kiln_context_create(&options, &context) == KILN_OK ? 0 : cli_fail(NULL);
    if (!status) {
        status = tune(context, out) == KILN_OK ? 0 : cli_fail("the scripted device");
        kiln_context_destroy(context);
    }
    unsetenv("KILN_NULL_SCRIPT");
    return status;
}

static int remove_entry(const char *path, const struct stat *st, int flag, struct FTW *ftw) {
    (void)st, (void)flag, (void)ftw;
    return remove(path);
}

int demo_planted(planted_report *out) {
    char folder[256];
    const char *tmp = getenv("TMPDIR");
    memset(out, 0, sizeof *out);
    const int n = snprintf(folder, sizeof folder, "%s/kiln-demo-XXXXXX", tmp && *tmp ? tmp : "/tmp");
    if (n < 0 || (size_t)n >= sizeof folder || !mkdtemp(folder)) {
        fprintf(stderr, "kiln: cannot make a temporary folder in %s\n", tmp && *tmp ? tmp : "/tmp");
        return 1;
    }
    const int status = in_folder(folder, out);
    nftw(folder, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
    return status;
}
