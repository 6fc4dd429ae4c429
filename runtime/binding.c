#include "binding.h"
#include <string.h>

/* ---- views ---- */

static kiln_status check_view(const kiln_binding *b, const char *name, size_t bytes, size_t align_bytes, kiln_view v) {
    if (!v.buffer)
        return kiln_fail(KILN_E_INVALID, "%s: operand %s has no buffer", b->plan->key, name);
    if (v.buffer->device != b->plan->device)
        return kiln_fail(KILN_E_INVALID, "%s: operand %s is on %s, the plan is for %s", b->plan->key, name,
                         v.buffer->device->name, b->plan->device->name);
    const size_t device_align = b->plan->device->desc.caps.address_align_bytes;
    const size_t align = align_bytes > device_align ? align_bytes : device_align;
    if (v.offset_bytes % (align ? align : 1))
        return kiln_fail(KILN_E_INVALID, "%s: operand %s starts at byte %zu of its buffer; use a multiple of %zu",
                         b->plan->key, name, v.offset_bytes, align);
    if (v.offset_bytes > v.buffer->bytes || v.buffer->bytes - v.offset_bytes < bytes)
        return kiln_fail(KILN_E_INVALID, "%s: operand %s needs %zu bytes, its view has %zu", b->plan->key, name, bytes,
                         v.offset_bytes > v.buffer->bytes ? 0 : v.buffer->bytes - v.offset_bytes);
    return KILN_OK;
}

static kiln_place place_of(kiln_view v) {
    return (kiln_place){v.buffer ? v.buffer->memory : NULL, v.offset_bytes};
}

/* ---- steps -> nodes ---- */

static kiln_place resolve(const kiln_binding *b, const kiln_arg *arg, size_t *bytes) {
    kiln_place place;
    if (arg->kind == KILN_ARG_WORKSPACE) {
        place = place_of(b->workspace);
        *bytes = b->plan->lowering.workspace_bytes - arg->offset_bytes;
    } else {
        place = b->places[arg->operand];
        *bytes = b->plan->lowering.operands[arg->operand].bytes - arg->offset_bytes;
    }
    place.offset_bytes += arg->offset_bytes;
    return place;
}

kiln_arg_value kiln__binding_arg(const kiln_binding *b, const kiln_arg *arg) {
    kiln_arg_value value = {.kind = arg->kind, .bytes = arg->bytes, .tensor_map = arg->tensor_map};
    if (arg->kind == KILN_ARG_I32)
        value.i32 = arg->i32;
    else if (arg->kind == KILN_ARG_F32)
        value.f32 = arg->f32;
    else if (arg->kind != KILN_ARG_LOCAL)
        value.place = resolve(b, arg, &value.bytes);
    return value;
}

static kiln_status make_kernel(kiln_binding *b, const kiln_step *step, kiln_node *node) {
    kiln_device *d = b->plan->device;
    kiln_arg_value values[KILN_MAX_ARGS];
    for (size_t i = 0; i < step->kernel.n_args; i++)
        values[i] = kiln__binding_arg(b, &step->kernel.args[i]);
    node->label = step->kernel.launch.entry;
    return d->backend->kernel_create(d, b->plan->lowering.units[step->kernel.unit].module->handle, &step->kernel.launch,
                                     values, step->kernel.n_args, &node->kernel);
}

static kiln_status make_node(kiln_binding *b, const kiln_step *step, kiln_node *node) {
    size_t bytes;
    node->kind = step->kind;
    switch (step->kind) {
    case KILN_STEP_KERNEL:
        return make_kernel(b, step, node);
    case KILN_STEP_COPY:
        node->label = "copy";
        node->copy.destination = resolve(b, &step->copy.destination, &bytes);
        node->copy.source = resolve(b, &step->copy.source, &bytes);
        node->copy.destination_pitch_bytes = step->copy.destination_pitch_bytes;
        node->copy.source_pitch_bytes = step->copy.source_pitch_bytes;
        node->copy.row_bytes = step->copy.row_bytes;
        node->copy.rows = step->copy.rows;
        return KILN_OK;
    case KILN_STEP_FILL:
        node->label = "fill";
        node->fill.destination = resolve(b, &step->fill.destination, &bytes);
        node->fill.bytes = step->fill.bytes;
        node->fill.pattern = step->fill.pattern;
        return KILN_OK;
    case KILN_STEP_CALL:
        node->label = "call";
        node->call.call = step->call.call;
        node->call.user = step->call.user;
        node->call.operands = b->places;
        return KILN_OK;
    }
    return kiln_fail(KILN_E_INTERNAL, "unknown kind of step %d", (int)step->kind);
}

static void destroy_nodes(kiln_binding *b, kiln_node *nodes, size_t n) {
    kiln_device *d = b->plan->device;
    for (size_t i = 0; i < n; i++)
        if (nodes[i].kind == KILN_STEP_KERNEL && nodes[i].kernel)
            d->backend->kernel_destroy(d, nodes[i].kernel);
}

/* ---- life ---- */

static kiln_status own_buffer(kiln_binding *b, size_t bytes, kiln_view *out) {
    kiln_buffer *buffer;
    KILN_TRY(kiln_buffer_create(b->plan->device, bytes, &buffer));
    b->owned[b->n_owned++] = buffer;
    *out = (kiln_view){buffer, 0};
    return KILN_OK;
}

static kiln_status bind_operands(kiln_binding *b, const kiln_view *operands, bool *must_prepare) {
    const kiln_lowering *l = &b->plan->lowering;
    *must_prepare = false;
    for (size_t i = 0; i < l->n_operands; i++) {
        const kiln_operand *o = &l->operands[i];
        b->views[i] = operands[i];
        if (!operands[i].buffer && o->role == KILN_ROLE_PACKED) {
            KILN_TRY(own_buffer(b, o->bytes, &b->views[i]));
            *must_prepare = true;
        }
        KILN_TRY(check_view(b, o->name, o->bytes, o->align_bytes, b->views[i]));
        b->places[i] = place_of(b->views[i]);
    }
    return KILN_OK;
}

static kiln_status open_binding(kiln_binding *b, const kiln_view *operands, kiln_view workspace) {
    const kiln_lowering *l = &b->plan->lowering;
    bool must_prepare;
    KILN_TRY(bind_operands(b, operands, &must_prepare));
    b->workspace = workspace;
    if (l->workspace_bytes) {
        if (!workspace.buffer)
            KILN_TRY(own_buffer(b, l->workspace_bytes, &b->workspace));
        KILN_TRY(check_view(b, "workspace", l->workspace_bytes, 1, b->workspace));
    }
    for (size_t i = 0; i < l->n_run; i++)
        KILN_TRY(make_node(b, &l->run[i], &b->run[i]));
    if (!must_prepare)
        return KILN_OK;
    KILN_TRY(kiln_binding_prepare(b));
    return kiln_queue_finish(b->queue);
}

kiln_status kiln_binding_create(kiln_plan *plan, kiln_queue *queue, const kiln_view *operands, size_t n_operands,
                                kiln_view workspace, kiln_binding **out) {
    if (!plan || !queue || !operands || !out)
        return kiln_fail(KILN_E_INVALID, "kiln_binding_create: NULL argument");
    *out = NULL;
    if (n_operands != plan->lowering.n_operands)
        return kiln_fail(KILN_E_INVALID, "%s: %zu views given for %zu operands of variant %s", plan->key, n_operands,
                         plan->lowering.n_operands, plan->variant);
    if (queue->device != plan->device)
        return kiln_fail(KILN_E_INVALID, "%s: the queue is of %s, the plan for %s", plan->key, queue->device->name,
                         plan->device->name);
    kiln_context *context = plan->device->context;
    kiln_binding *b = kiln__alloc(context, sizeof *b);
    if (!b)
        return KILN_E_MEMORY;
    kiln__plan_retain(plan);
    b->plan = plan;
    b->queue = queue;
    atomic_fetch_add(&context->live_objects, 1);
    const kiln_status status = open_binding(b, operands, workspace);
    if (status != KILN_OK) {
        kiln_binding_destroy(b);
        return status;
    }
    *out = b;
    return KILN_OK;
}

void kiln_binding_destroy(kiln_binding *binding) {
    if (!binding)
        return;
    kiln_context *context = binding->plan->device->context;
    destroy_nodes(binding, binding->prepare, binding->plan->lowering.n_prepare);
    destroy_nodes(binding, binding->run, binding->plan->lowering.n_run);
    for (size_t i = 0; i < binding->n_owned; i++)
        kiln_buffer_destroy(binding->owned[i]);
    kiln_plan_destroy(binding->plan);
    kiln__free(context, binding);
    atomic_fetch_sub(&context->live_objects, 1);
}

/* ---- running ---- */

kiln_status kiln_binding_prepare(kiln_binding *binding) {
    if (!binding)
        return kiln_fail(KILN_E_INVALID, "kiln_binding_prepare: binding is NULL");
    const kiln_lowering *l = &binding->plan->lowering;
    if (!binding->prepare_ready) {
        for (size_t i = 0; i < l->n_prepare; i++)
            if (binding->prepare[i].kind != KILN_STEP_KERNEL || !binding->prepare[i].kernel)
                KILN_TRY(make_node(binding, &l->prepare[i], &binding->prepare[i]));
        binding->prepare_ready = true;
    }
    for (size_t i = 0; i < l->n_prepare; i++)
        KILN_TRY(kiln__queue_enqueue(binding->queue, &binding->prepare[i]));
    return KILN_OK;
}

kiln_status kiln_binding_run(kiln_binding *binding) {
    if (!binding)
        return kiln_fail(KILN_E_INVALID, "kiln_binding_run: binding is NULL");
    for (size_t i = 0; i < binding->plan->lowering.n_run; i++)
        KILN_TRY(kiln__queue_enqueue(binding->queue, &binding->run[i]));
    return KILN_OK;
}

/* ---- patching ---- */

static kiln_status patch_kernel(kiln_binding *b, const kiln_step *step, kiln_node *node, size_t operand, bool *used) {
    kiln_device *d = b->plan->device;
    for (size_t i = 0; i < step->kernel.n_args; i++) {
        const kiln_arg *arg = &step->kernel.args[i];
        if ((arg->kind != KILN_ARG_OPERAND && arg->kind != KILN_ARG_TENSOR_MAP) || arg->operand != operand)
            continue;
        const kiln_arg_value value = kiln__binding_arg(b, arg);
        KILN_TRY(d->backend->kernel_patch(d, node->kernel, i, &value));
        *used = true;
    }
    return KILN_OK;
}

static bool arg_uses(const kiln_arg *arg, size_t operand) {
    return arg->kind == KILN_ARG_OPERAND && arg->operand == operand;
}

static kiln_status patch_node(kiln_binding *b, const kiln_step *step, kiln_node *node, size_t operand, bool *used) {
    *used = false;
    switch (step->kind) {
    case KILN_STEP_KERNEL:
        return node->kernel ? patch_kernel(b, step, node, operand, used) : KILN_OK;
    case KILN_STEP_COPY:
        *used = arg_uses(&step->copy.destination, operand) || arg_uses(&step->copy.source, operand);
        return make_node(b, step, node);
    case KILN_STEP_FILL:
        *used = arg_uses(&step->fill.destination, operand);
        return make_node(b, step, node);
    case KILN_STEP_CALL:
        *used = true;
        return KILN_OK;
    }
    return KILN_OK;
}

kiln_status kiln__binding_patch(kiln_binding *binding, size_t operand, kiln_view view,
                                kiln_status (*changed)(void *user, size_t node), void *user) {
    if (!binding)
        return kiln_fail(KILN_E_INVALID, "kiln_binding_patch: binding is NULL");
    const kiln_lowering *l = &binding->plan->lowering;
    if (operand >= l->n_operands)
        return kiln_fail(KILN_E_INVALID, "%s: operand %zu of %zu", binding->plan->key, operand, l->n_operands);
    const kiln_operand *o = &l->operands[operand];
    KILN_TRY(check_view(binding, o->name, o->bytes, o->align_bytes, view));
    binding->views[operand] = view;
    binding->places[operand] = place_of(view);
    bool used;
    for (size_t i = 0; i < l->n_prepare && binding->prepare_ready; i++)
        KILN_TRY(patch_node(binding, &l->prepare[i], &binding->prepare[i], operand, &used));
    for (size_t i = 0; i < l->n_run; i++) {
        KILN_TRY(patch_node(binding, &l->run[i], &binding->run[i], operand, &used));
        if (used && changed)
            KILN_TRY(changed(user, i));
    }
    return KILN_OK;
}

kiln_status kiln_binding_patch(kiln_binding *binding, size_t operand, kiln_view view) {
    return kiln__binding_patch(binding, operand, view, NULL, NULL);
}
