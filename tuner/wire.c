/* Requests and replies between the keeper and its worker. */
#include "worker.h"
#include <cjson/cJSON.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- requests ---- */

static bool add_candidate(cJSON *to, const kiln_candidate *c) {
    char config[KILN_MAX_CONFIG_TEXT];
    kiln__config_print(c->variant, &c->config, config, sizeof config);
    return cJSON_AddStringToObject(to, "variant", c->variant->name) && cJSON_AddStringToObject(to, "config", config);
}

char *kiln__wire_request(const kiln_worker_request *r) {
    char key[KILN_MAX_KEY], seed[24];
    kiln_problem_key(r->problem, key, sizeof key);
    snprintf(seed, sizeof seed, "%llu", (unsigned long long)r->options.seed); /* a double would lose bits */
    cJSON *json = cJSON_CreateObject();
    bool ok = cJSON_AddStringToObject(json, "problem", key) &&
              cJSON_AddStringToObject(json, "device", r->device->name) && add_candidate(json, r->candidate) &&
              cJSON_AddStringToObject(json, "seed", seed) &&
              cJSON_AddNumberToObject(json, "min_seconds", r->options.min_seconds) &&
              cJSON_AddNumberToObject(json, "drop_ratio", r->options.drop_ratio) &&
              cJSON_AddBoolToObject(json, "eager", r->options.serving[KILN_SERVING_EAGER]) &&
              cJSON_AddBoolToObject(json, "graph", r->options.serving[KILN_SERVING_GRAPH]);
    if (ok && r->champion) {
        cJSON *champion = cJSON_AddObjectToObject(json, "champion");
        kiln_problem_key(r->rival ? r->rival : r->problem, key, sizeof key);
        ok = champion && cJSON_AddStringToObject(champion, "problem", key) && add_candidate(champion, r->champion);
    }
    char *text = ok ? cJSON_PrintUnformatted(json) : NULL;
    cJSON_Delete(json);
    return text;
}

static const char *text_of(const cJSON *json, const char *name) {
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(json, name);
    return cJSON_IsString(item) ? item->valuestring : "";
}

static double number_of(const cJSON *json, const char *name) {
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(json, name);
    return cJSON_IsNumber(item) ? item->valuedouble : 0;
}

static kiln_status read_candidate(const cJSON *json, kiln_device *device, kiln_wire_candidate *out) {
    const char *name = text_of(json, "variant");
    KILN_TRY(kiln_problem_parse(device->context, text_of(json, "problem"), &out->problem));
    out->candidate.variant = kiln__family_variant(kiln__problem_family(&out->problem), name);
    if (!out->candidate.variant)
        return kiln_fail(KILN_E_NOT_FOUND, "no variant \"%.40s\"", name);
    kiln__variant_guess(out->candidate.variant, &out->problem, kiln__device_caps(device), &out->candidate.config);
    out->given = true;
    return kiln__config_parse(out->candidate.variant, text_of(json, "config"), &out->candidate.config);
}

static kiln_status read_request(kiln_context *context, const cJSON *json, kiln_device **device,
                                kiln_wire_candidate *candidate, kiln_wire_candidate *champion,
                                kiln_measure_options *options) {
    KILN_TRY(kiln_device_find(context, text_of(json, "device"), device));
    *options = (kiln_measure_options){
        .seed = strtoull(text_of(json, "seed"), NULL, 10),
        .min_seconds = number_of(json, "min_seconds"),
        .drop_ratio = number_of(json, "drop_ratio"),
        .serving = {cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(json, "eager")),
                    cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(json, "graph"))},
    };
    memset(candidate, 0, sizeof *candidate);
    memset(champion, 0, sizeof *champion);
    KILN_TRY(read_candidate(json, *device, candidate));
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(json, "champion");
    return item ? read_candidate(item, *device, champion) : KILN_OK;
}

kiln_status kiln__wire_read_request(kiln_context *context, const char *line, kiln_device **device,
                                    kiln_wire_candidate *candidate, kiln_wire_candidate *champion,
                                    kiln_measure_options *options) {
    cJSON *json = cJSON_Parse(line);
    const kiln_status status = cJSON_IsObject(json) ? read_request(context, json, device, candidate, champion, options)
                                                    : kiln_fail(KILN_E_PARSE, "a request that is not a JSON object");
    cJSON_Delete(json);
    return status;
}

/* ---- replies ---- */

static bool add_timing(cJSON *json, const kiln_trial *t) {
    cJSON *list = cJSON_AddArrayToObject(json, "timing");
    for (int i = 0; list && i < 2; i++) {
        cJSON *one = cJSON_CreateObject();
        if (!one || !cJSON_AddItemToArray(list, one) ||
            !cJSON_AddNumberToObject(one, "median_us", t->timing[i].median_us) ||
            !cJSON_AddNumberToObject(one, "min_us", t->timing[i].min_us) ||
            !cJSON_AddNumberToObject(one, "spread_us", t->timing[i].spread_us) ||
            !cJSON_AddNumberToObject(one, "n", t->timing[i].n_runs) ||
            !cJSON_AddNumberToObject(one, "ratio", t->ratio[i]))
            return false;
    }
    return list != NULL;
}

char *kiln__wire_reply(kiln_status status, const kiln_trial *t) {
    cJSON *json = cJSON_CreateObject();
    bool ok = cJSON_AddNumberToObject(json, "status", status) != NULL;
    if (status != KILN_OK)
        ok = ok && cJSON_AddStringToObject(json, "error", kiln_last_error());
    else
        ok = ok && cJSON_AddNumberToObject(json, "state", t->state) &&
             cJSON_AddStringToObject(json, "reason", t->reason) &&
             cJSON_AddNumberToObject(json, "compile_ms", t->compile_ms) &&
             cJSON_AddNumberToObject(json, "max_error", t->max_error < 1e30 ? t->max_error : 1e30) &&
             cJSON_AddBoolToObject(json, "dropped", t->dropped) && add_timing(json, t);
    char *text = ok ? cJSON_PrintUnformatted(json) : NULL;
    cJSON_Delete(json);
    return text;
}

static kiln_status read_trial(const cJSON *json, kiln_trial *out) {
    const double state = number_of(json, "state");
    const cJSON *timing = cJSON_GetObjectItemCaseSensitive(json, "timing");
    if (state < 0 || state > KILN_TRIAL_WRONG || cJSON_GetArraySize(timing) != 2)
        return kiln_fail(KILN_E_CORRUPT, "the worker's reply is damaged");
    out->state = (kiln_trial_state)state;
    snprintf(out->reason, sizeof out->reason, "%s", text_of(json, "reason"));
    out->compile_ms = number_of(json, "compile_ms");
    out->max_error = number_of(json, "max_error");
    out->dropped = cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(json, "dropped"));
    for (int i = 0; i < 2; i++) {
        const cJSON *one = cJSON_GetArrayItem(timing, i);
        out->timing[i] = (kiln_timing){number_of(one, "median_us"), number_of(one, "min_us"),
                                       number_of(one, "spread_us"), (uint32_t)number_of(one, "n")};
        out->ratio[i] = number_of(one, "ratio");
    }
    return KILN_OK;
}

kiln_status kiln__wire_read_reply(const char *line, kiln_trial *out) {
    memset(out, 0, sizeof *out);
    cJSON *json = cJSON_Parse(line);
    kiln_status status;
    const int code = (int)number_of(json, "status");
    if (!cJSON_IsObject(json) || !cJSON_IsNumber(cJSON_GetObjectItemCaseSensitive(json, "status")) || code < 0 ||
        code > KILN_E_INTERNAL)
        status = kiln_fail(KILN_E_CORRUPT, "the worker's reply is damaged: %.80s", line);
    else if (code != KILN_OK)
        status = kiln_fail((kiln_status)code, "worker: %s", text_of(json, "error"));
    else
        status = read_trial(json, out);
    cJSON_Delete(json);
    return status;
}
