#include "plan.h"
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* ---- types ---- */

size_t kiln_type_bytes(kiln_type type) {
    switch (type) {
    case KILN_TYPE_F32:
    case KILN_TYPE_S32:
        return 4;
    case KILN_TYPE_F16:
    case KILN_TYPE_BF16:
        return 2;
    case KILN_TYPE_S8:
    case KILN_TYPE_U8:
        return 1;
    }
    return 0;
}

const char *kiln_type_name(kiln_type type) {
    static const char *const names[] = {"f32", "f16", "bf16", "s32", "s8", "u8"};
    return (unsigned)type < sizeof names / sizeof *names ? names[type] : "?";
}

/* ---- life ---- */

static void release_units(kiln_device *device, kiln_lowering *l) {
    for (size_t i = 0; i < l->n_units; i++)
        if (l->units[i].module)
            kiln__jit_release(device, l->units[i].module);
}

/* What the compiled kernels need must fit the device: told here, before anything is launched. */
static kiln_status check_resources(kiln_device *device, const kiln_lowering *l, const kiln_step *steps, size_t n) {
    const kiln_backend *b = device->backend;
    for (size_t i = 0; i < n; i++) {
        if (steps[i].kind != KILN_STEP_KERNEL)
            continue;
        const kiln_launch *launch = &steps[i].kernel.launch;
        const uint64_t items = (uint64_t)launch->group[0] * launch->group[1] * launch->group[2];
        uint64_t local = 0;
        for (size_t a = 0; a < steps[i].kernel.n_args; a++)
            if (steps[i].kernel.args[a].kind == KILN_ARG_LOCAL)
                local += steps[i].kernel.args[a].bytes;
        kiln_resources r = {0};
        if (b->module_resources)
            KILN_TRY(b->module_resources(device, l->units[steps[i].kernel.unit].module->handle, launch->entry, &r));
        const uint64_t most_items = r.max_group_size ? r.max_group_size : device->desc.caps.max_group_size;
        if (items > most_items)
            return kiln_fail(KILN_E_UNSUPPORTED, "kernel %s: %" PRIu64 " work-items a group, %s takes %" PRIu64,
                             launch->entry, items, device->name, most_items);
        if (local + r.local_bytes > device->desc.caps.local_bytes)
            return kiln_fail(KILN_E_UNSUPPORTED,
                             "kernel %s: %" PRIu64 " bytes of local memory a group, %s has %" PRIu64, launch->entry,
                             local + r.local_bytes, device->name, device->desc.caps.local_bytes);
    }
    return KILN_OK;
}

static kiln_status compile_units(kiln_device *device, kiln_lowering *l) {
    for (size_t i = 0; i < l->n_units; i++)
        KILN_TRY(kiln__jit_get(device, l->units[i].source, l->units[i].defines, &l->units[i].module));
    KILN_TRY(check_resources(device, l, l->prepare, l->n_prepare));
    return check_resources(device, l, l->run, l->n_run);
}

kiln_status kiln__plan_build(kiln_device *device, const kiln_plan_spec *spec, const kiln_lowering *lowering,
                             kiln_plan **out) {
    *out = NULL;
    KILN_TRY(kiln__device_open(device));
    kiln_plan *p = kiln__alloc(device->context, sizeof *p);
    if (!p)
        return KILN_E_MEMORY;
    p->references = 1;
    p->device = device;
    p->problem = *spec->problem;
    kiln_problem_key(&p->problem, p->key, sizeof p->key);
    p->variant = spec->variant;
    p->source = spec->source;
    snprintf(p->config, sizeof p->config, "%s", spec->config);
    p->flops = spec->flops;
    p->bytes = spec->bytes;
    p->lowering = *lowering;
    const kiln_status status = compile_units(device, &p->lowering);
    if (status != KILN_OK) {
        release_units(device, &p->lowering);
        kiln__free(device->context, p);
        return status;
    }
    atomic_fetch_add(&device->context->live_objects, 1);
    *out = p;
    return KILN_OK;
}

void kiln__plan_retain(kiln_plan *plan) {
    atomic_fetch_add(&plan->references, 1);
}

void kiln_plan_destroy(kiln_plan *plan) {
    if (!plan || atomic_fetch_sub(&plan->references, 1) != 1)
        return;
    kiln_context *context = plan->device->context;
    release_units(plan->device, &plan->lowering);
    kiln__strbuf_free(&plan->why);
    kiln__free(context, plan);
    atomic_fetch_sub(&context->live_objects, 1);
}

/* ---- looking at a plan ---- */

kiln_status kiln_plan_get_info(const kiln_plan *plan, kiln_plan_info *out) {
    if (!plan)
        return kiln_fail(KILN_E_INVALID, "kiln_plan_get_info: plan is NULL");
    KILN_CHECK_STRUCT(out, kiln_plan_info);
    const kiln_plan_info all = {.struct_size = out->struct_size,
                                .problem = plan->key,
                                .variant = plan->variant,
                                .config = plan->config,
                                .source = plan->source,
                                .n_operands = plan->lowering.n_operands,
                                .workspace_bytes = plan->lowering.workspace_bytes,
                                .n_prepare_steps = plan->lowering.n_prepare,
                                .n_run_steps = plan->lowering.n_run,
                                .flops = plan->flops,
                                .bytes = plan->bytes};
    memcpy(out, &all, out->struct_size);
    return KILN_OK;
}

const kiln_operand *kiln_plan_operand(const kiln_plan *plan, size_t index) {
    return plan && index < plan->lowering.n_operands ? &plan->lowering.operands[index] : NULL;
}

int kiln_plan_operand_index(const kiln_plan *plan, const char *name) {
    return plan && name ? kiln__lower_find(&plan->lowering, name) : -1;
}

const char *kiln_plan_why(const kiln_plan *plan) {
    return plan ? kiln__strbuf_text(&plan->why) : "";
}

/* Everything that decides what the prepare steps write: programs, launches, arguments, and the operands' sizes. */
void kiln__plan_pack_key(const kiln_plan *plan, char out[33]) {
    kiln_strbuf s = {0};
    const kiln_lowering *l = &plan->lowering;
    for (size_t i = 0; i < l->n_prepare; i++) {
        const kiln_step *step = &l->prepare[i];
        if (step->kind != KILN_STEP_KERNEL) {
            kiln__strbuf_addf(&s, "%d %s;", (int)step->kind, plan->key); /* not shared beyond the problem */
            continue;
        }
        const kiln_launch *g = &step->kernel.launch;
        kiln__strbuf_addf(&s, "%s %s %u %u %u %u %u %u;", l->units[step->kernel.unit].module->key, g->entry, g->grid[0],
                          g->grid[1], g->grid[2], g->group[0], g->group[1], g->group[2]);
        for (size_t a = 0; a < step->kernel.n_args; a++) {
            const kiln_arg *arg = &step->kernel.args[a];
            kiln__strbuf_addf(&s, "%d %zu %zu", (int)arg->kind, arg->offset_bytes, arg->bytes);
            if (arg->kind == KILN_ARG_OPERAND)
                kiln__strbuf_addf(&s, " %s %zu;", l->operands[arg->operand].name, l->operands[arg->operand].bytes);
            else if (arg->kind == KILN_ARG_I32)
                kiln__strbuf_addf(&s, " %d;", arg->i32);
            else if (arg->kind == KILN_ARG_F32)
                kiln__strbuf_addf(&s, " %a;", (double)arg->f32);
        }
    }
    kiln__hash_hex(kiln__strbuf_text(&s), s.length, out);
    kiln__strbuf_free(&s);
}
