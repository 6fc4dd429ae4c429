/* What candidates and searches are made of, as hashes: a record of other code is a lead, no result. */
#include "chain.h"
#include <string.h>

/* What the planner would try first. */
static kiln_status choose(kiln_device *device, const kiln_problem *problem, kiln_candidate *out) {
    const kiln_caps *caps = kiln__device_caps(device);
    kiln_ranking ranking;
    KILN_TRY(kiln__rank_records(device, problem, &ranking));
    const kiln_ranked *best = ranking.n_sound + ranking.n_stale ? &ranking.rows[0] : NULL;
    out->variant = NULL;
    if (best)
        *out = (kiln_candidate){best->variant, best->config};
    for (const kiln_variant *v = kiln__problem_family(problem)->variants; v->name && !out->variant; v++) {
        if (kiln__variant_reject(v, problem, caps))
            continue;
        kiln__variant_guess(v, problem, caps, &out->config);
        if (!v[1].name || !kiln__ranking_quarantine(&ranking, v, &out->config))
            out->variant = v;
    }
    kiln__ranking_free(device->context, &ranking);
    return out->variant ? KILN_OK : kiln_fail(KILN_E_UNSUPPORTED, "no variant of %s applies", problem->schema->name);
}

static kiln_status add_part(kiln_device *device, const kiln_part *part, kiln_strbuf *s) {
    kiln_problem problem;
    kiln_candidate c;
    char config[KILN_MAX_CONFIG_TEXT], content[33];
    KILN_TRY(kiln_problem_parse(device->context, part->problem, &problem));
    if (part->variant) {
        c.variant = kiln__family_variant(kiln__problem_family(&problem), part->variant);
        kiln__variant_guess(c.variant, &problem, kiln__device_caps(device), &c.config);
    } else {
        KILN_TRY(choose(device, &problem, &c));
    }
    KILN_TRY(kiln__candidate_content(device, &problem, &c, content));
    kiln__config_print(c.variant, &c.config, config, sizeof config);
    kiln__strbuf_addf(s, "%s %s %s %s\n", part->problem, c.variant->name, config, content);
    return KILN_OK;
}

kiln_status kiln__candidate_content(kiln_device *device, const kiln_problem *problem, const kiln_candidate *candidate,
                                    char out[33]) {
    kiln_lowering *l;
    kiln_strbuf s = {0};
    kiln__jit_source_hash(device->context, candidate->variant->source, out);
    KILN_TRY(kiln__chain_parts(device, problem, candidate, &l));
    if (!l)
        return KILN_OK;
    kiln_status status = KILN_OK;
    for (size_t i = 0; i < l->n_parts && status == KILN_OK; i++)
        status = add_part(device, &l->parts[i], &s);
    kiln__free(device->context, l);
    if (status == KILN_OK)
        status = kiln__strbuf_status(&s);
    if (status == KILN_OK)
        kiln__hash_hex(s.data, s.length, out);
    kiln__strbuf_free(&s);
    return status;
}

static kiln_status add_variant(kiln_device *device, const kiln_problem *problem, const kiln_variant *v,
                               kiln_strbuf *s) {
    kiln_candidate guess = {.variant = v};
    char content[33];
    if (!kiln__variant_reject(v, problem, kiln__device_caps(device)))
        kiln__variant_guess(v, problem, kiln__device_caps(device), &guess.config);
    KILN_TRY(kiln__candidate_content(device, problem, &guess, content));
    kiln__strbuf_addf(s, "%s %s", v->name, content);
    for (size_t p = 0; p < kiln__variant_n_params(v); p++) {
        kiln__strbuf_addf(s, " %s", v->params[p].name);
        for (size_t i = 0; i < v->params[p].n_values; i++)
            kiln__strbuf_addf(s, ",%d", v->params[p].values[i]);
    }
    kiln__strbuf_add(s, "\n");
    return KILN_OK;
}

kiln_status kiln__search_content(kiln_device *device, const kiln_problem *problem, char out[33]) {
    kiln_strbuf s = {0};
    kiln_status status = KILN_OK;
    for (const kiln_variant *v = kiln__problem_family(problem)->variants; v->name && status == KILN_OK; v++)
        status = add_variant(device, problem, v, &s);
    if (status == KILN_OK)
        status = kiln__strbuf_status(&s);
    if (status == KILN_OK)
        kiln__hash_hex(s.data, s.length, out);
    kiln__strbuf_free(&s);
    return status;
}
