/* Plans and bindings: from a problem to kernels that run.
 *
 *   kiln_problem_parse -> kiln_plan_create -> kiln_binding_create -> kiln_binding_run
 *
 * A plan is a candidate (variant + config) made ready for one device: compiled kernels, steps, an operand list.
 * It is immutable and shared by threads. A binding is a plan with buffers for one queue; it owns what is not
 * thread-safe, so every thread makes its own. Running a binding allocates nothing and takes no lock.
 *
 * The ladder of fallback: winner -> next best record -> guess -> simpler variant -> `ref`. Each step down carries
 * a reason, kept in the plan (kiln_plan_why) and counted (kiln_counters). */
#ifndef KILN_PLAN_H
#define KILN_PLAN_H

#include <kiln/device.h>
#include <kiln/problem.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct kiln_plan kiln_plan;
typedef struct kiln_binding kiln_binding;

typedef enum kiln_type {
    KILN_TYPE_F32 = 0,
    KILN_TYPE_F16 = 1,
    KILN_TYPE_BF16 = 2,
    KILN_TYPE_S32 = 3,
    KILN_TYPE_S8 = 4,
    KILN_TYPE_U8 = 5
} kiln_type;

KILN_API size_t kiln_type_bytes(kiln_type type);
KILN_API const char *kiln_type_name(kiln_type type);

/* How much work choosing may cost. Nothing tunes by surprise. */
typedef enum kiln_effort {
    KILN_PLAN_GUESS = 0,       /* a record if there is one, else the guess; the miss is recorded */
    KILN_PLAN_CACHED_ONLY = 1, /* KILN_E_NOT_FOUND without a record */
    KILN_PLAN_MEASURE = 2,     /* kiln_tune_problem with its defaults first, unless that is on record: up to a minute */
    KILN_PLAN_EXHAUST = 3,     /* likewise with every candidate: up to hours */
    KILN_PLAN_UNTUNED = 4      /* the guess, whatever is on record: to see what tuning brought */
} kiln_effort;

typedef struct kiln_plan_options {
    uint32_t struct_size;
    kiln_effort effort;
    const char *variant; /* NULL: the planner chooses; else only this variant, e.g. "ref" */
    const char *config;  /* NULL: the planner chooses; else "tm=128,tn=64"; parameters left out are guessed */
} kiln_plan_options;

#define KILN_PLAN_OPTIONS_INIT                                                                                         \
    { .struct_size = sizeof(kiln_plan_options) }

/* Makes a plan. `options` may be NULL. Compiles kernels or loads their binaries from the store. Thread-safe.
 * Destroy with kiln_plan_destroy; bindings keep their plan alive.
 * KILN_E_NOT_FOUND: strict mode or CACHED_ONLY without a record; an unknown variant. KILN_E_UNSUPPORTED: the
 * asked-for variant does not apply; the text says why. KILN_E_PARSE, KILN_E_INVALID: a bad config.
 * KILN_E_COMPILE, KILN_E_DEVICE: even `ref` failed. */
KILN_API kiln_status kiln_plan_create(kiln_device *device, const kiln_problem *problem,
                                      const kiln_plan_options *options, kiln_plan **out);
KILN_API void kiln_plan_destroy(kiln_plan *plan);

typedef enum kiln_role {
    KILN_ROLE_INPUT = 0,
    KILN_ROLE_WEIGHT = 1, /* an input that does not change between runs */
    KILN_ROLE_PACKED = 2, /* made from weights by the prepare steps; the layout is the plan's own affair */
    KILN_ROLE_OUTPUT = 3
} kiln_role;

enum { KILN_MAX_RANK = 5, KILN_MAX_OPERANDS = 16 };

/* One operand of a plan, row-major: the last dimension is contiguous. */
typedef struct kiln_operand {
    const char *name; /* "input", "weights", "bias", "output", … */
    kiln_role role;
    kiln_type type;
    uint32_t rank;
    int64_t shape[KILN_MAX_RANK]; /* halo included */
    int64_t halo;                 /* rows and columns around the board that must be, and stay, zero */
    const char *axes;             /* names of the dimensions, e.g. "n,h,w,c" */
    size_t align_bytes;           /* of the address the operand starts at */
    size_t bytes;
} kiln_operand;

typedef struct kiln_plan_info {
    uint32_t struct_size;
    const char *problem; /* canonical text */
    const char *variant;
    const char *config; /* "mr=6,nv=2"; "" without parameters */
    const char *source; /* "record", "guess", "fallback", "reference" or "request": which rung of the ladder */
    size_t n_operands;
    size_t workspace_bytes;
    size_t n_prepare_steps, n_run_steps;
    double flops, bytes; /* of one run: arithmetic, and each operand moved once */
} kiln_plan_info;

#define KILN_PLAN_INFO_INIT                                                                                            \
    { .struct_size = sizeof(kiln_plan_info) }

/* Strings live as long as the plan. */
KILN_API kiln_status kiln_plan_get_info(const kiln_plan *plan, kiln_plan_info *out);

/* The operand at `index`, or NULL past the end. Lives as long as the plan. */
KILN_API const kiln_operand *kiln_plan_operand(const kiln_plan *plan, size_t index);

/* The index of an operand by name, or -1. */
KILN_API int kiln_plan_operand_index(const kiln_plan *plan, const char *name);

/* How this plan was chosen: one line for each rung tried, with the reason it was left. Lives as long as the
 * plan. */
KILN_API const char *kiln_plan_why(const kiln_plan *plan);

/* A place in a buffer. */
typedef struct kiln_view {
    kiln_buffer *buffer;
    size_t offset_bytes;
} kiln_view;

/* Binds a plan to buffers for one queue. `operands` has one view for each operand of the plan, in its order. A view
 * without a buffer is allowed for PACKED operands only: the binding then allocates it and prepares it at once
 * from the weights. A PACKED operand that is given is taken as prepared already (kiln_binding_prepare fills it). The
 * buffers must outlive the binding. `workspace` may be {NULL, 0}: the binding allocates its own.
 * KILN_E_INVALID: a missing, too small, or misaligned view. KILN_E_DEVICE_MEMORY. */
KILN_API kiln_status kiln_binding_create(kiln_plan *plan, kiln_queue *queue, const kiln_view *operands,
                                         size_t n_operands, kiln_view workspace, kiln_binding **out);

/* Waits for nothing: the queue must have finished what it ran of this binding. NULL is ignored. */
KILN_API void kiln_binding_destroy(kiln_binding *binding);

/* Enqueues the prepare steps: fills the PACKED operands from the weights. */
KILN_API kiln_status kiln_binding_prepare(kiln_binding *binding);

/* Enqueues the run steps. Returns before they have run; see kiln_queue_finish. One thread at a time. */
KILN_API kiln_status kiln_binding_run(kiln_binding *binding);

/* Replaces the view of one operand from the next run on. PACKED operands are not made anew. */
KILN_API kiln_status kiln_binding_patch(kiln_binding *binding, size_t operand, kiln_view view);

#ifdef __cplusplus
}
#endif
#endif
