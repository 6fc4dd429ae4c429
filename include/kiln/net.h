/* Nets: weights and the problems they need, compiled into graphs, one for each batch bucket.
 *
 * A net is opened from a KataGo network file (.bin.gz, .bin, .txt.gz, .txt), from a safetensors file that describes its
 * net (docs/NETS.md), or from a seeded text, for measuring without a file:
 *
 *     tower:blocks=9,channels=256,inputs=46,board=9,seed=1
 *     tower:blocks=9,channels=256,se=scale,ratio=4
 *
 * What a file is, is told by its content, not by its name.
 *
 * A net is immutable and shared by threads. A session is a net on one queue: it owns activations and graphs and
 * belongs to one thread at a time. Sessions of one device share the weights. */
#ifndef KILN_NET_H
#define KILN_NET_H

#include <kiln/graph.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct kiln_net kiln_net;
typedef struct kiln_session kiln_session;

/* Reads a net. KILN_E_IO: the file cannot be read. KILN_E_PARSE: it is not a net, or cut short; the text names the
 * layer and the position. KILN_E_INVALID: shapes that contradict each other, NaN or infinite weights.
 * KILN_E_UNSUPPORTED: a block or activation this release does not know, by name. KILN_E_MEMORY. */
KILN_API kiln_status kiln_net_open(kiln_context *context, const char *path, kiln_net **out);

/* Sessions must have been destroyed before. NULL is ignored. */
KILN_API void kiln_net_destroy(kiln_net *net);

typedef struct kiln_net_info {
    uint32_t struct_size;
    const char *name;     /* as the file calls it */
    const char *format;   /* "katago", "safetensors" or "seeded" */
    int64_t n_parameters; /* weights, biases and norms */
    size_t n_blocks;
    int64_t channels;      /* of the trunk */
    int64_t default_board; /* edge of the board that the net is described for, e.g. 19 */
    size_t n_inputs, n_outputs;
} kiln_net_info;

#define KILN_NET_INFO_INIT                                                                                             \
    { .struct_size = sizeof(kiln_net_info) }

KILN_API kiln_status kiln_net_get_info(const kiln_net *net, kiln_net_info *out);

/* One input or output, float32, row-major, without the batch dimension: [h,w,c], [h,w] or [c]. Dimensions of the
 * board are given as -1: they are chosen for each session. */
typedef struct kiln_tensor_info {
    const char *name; /* "spatial", "global", "policy_logits", … */
    uint32_t rank;
    int64_t shape[KILN_MAX_RANK];
} kiln_tensor_info;

/* NULL past the end. Lives as long as the net. */
KILN_API const kiln_tensor_info *kiln_net_input(const kiln_net *net, size_t index);
KILN_API const kiln_tensor_info *kiln_net_output(const kiln_net *net, size_t index);

/* Which activations keep a halo of zeros for the convolution that reads them. Results differ by rounding alone. */
typedef enum kiln_session_halos {
    KILN_HALOS_FASTEST = 0, /* what tuning found to be faster; the usual ones where it says nothing */
    KILN_HALOS_USUAL = 1,   /* wherever a convolution finds one useful */
    KILN_HALOS_NONE = 2
} kiln_session_halos;

typedef struct kiln_session_options {
    uint32_t struct_size;
    int32_t board_h, board_w; /* 0: the net's default */
    int32_t max_batch;        /* largest bucket; larger batches are split. 0: 64 */
    const int32_t *buckets;   /* ascending batch sizes that get a graph; NULL: 1, 2, 4, 8, 16, 32, … max_batch */
    size_t n_buckets;
    uint32_t eager;      /* 1: enqueue each binding instead of replaying a graph */
    const char *variant; /* NULL, or force one variant where it applies (for measuring) */
    kiln_effort effort;
    kiln_session_halos halos; /* a forced variant and the effort UNTUNED take FASTEST for USUAL */
    /* What activations and weight matrices are stored in: F32, F16 or BF16. Sums are F32, and so are values for each
     * channel and what kiln_session_run takes and gives. Weights are converted when they are uploaded. */
    kiln_type type;
} kiln_session_options;

#define KILN_SESSION_OPTIONS_INIT                                                                                      \
    { .struct_size = sizeof(kiln_session_options) }

/* Puts a net on a queue: uploads the weights if this device does not have them in the session's type yet. A bucket's
 * graph is made at its first use, or by kiln_session_warm. */
KILN_API kiln_status kiln_session_create(kiln_net *net, kiln_queue *queue, const kiln_session_options *options,
                                         kiln_session **out);
KILN_API void kiln_session_destroy(kiln_session *session);

/* Makes the graph of the bucket that serves `batch`, so that the first run does not pay for it. */
KILN_API kiln_status kiln_session_warm(kiln_session *session, int32_t batch);

/* Evaluates `batch` positions. inputs[i] and outputs[i] are host arrays [batch][shape of tensor i] in the net's
 * order; an output that is NULL is not read back. Returns when the outputs are there. The smallest bucket that
 * holds the batch runs, padded; a batch over the largest is split. */
KILN_API kiln_status kiln_session_run(kiln_session *session, int32_t batch, const float *const *inputs,
                                      float *const *outputs);

/* The device part of a run alone: enqueues the graph of `batch`'s bucket on whatever its inputs hold (for
 * measuring, and for engines that fill the inputs themselves). See kiln_queue_finish. */
KILN_API kiln_status kiln_session_enqueue(kiln_session *session, int32_t batch);

/* Device memory of an input or output of the bucket that serves `batch`: [bucket][shape], in the session's type. */
KILN_API kiln_status kiln_session_input(kiln_session *session, int32_t batch, size_t index, kiln_view *out);
KILN_API kiln_status kiln_session_output(kiln_session *session, int32_t batch, size_t index, kiln_view *out);

typedef struct kiln_session_info {
    uint32_t struct_size;
    int32_t bucket;                                     /* that serves the batch asked for */
    size_t n_steps;                                     /* run steps of that bucket */
    size_t activation_bytes, activation_unshared_bytes; /* with, and without, sharing memory by liveness */
    size_t weight_bytes;                                /* on this device, packed ones included */
    uint32_t is_native_graph;
} kiln_session_info;

#define KILN_SESSION_INFO_INIT                                                                                         \
    { .struct_size = sizeof(kiln_session_info) }

KILN_API kiln_status kiln_session_get_info(kiln_session *session, int32_t batch, kiln_session_info *out);

/* The plan of each operation of the bucket that serves `batch`, in running order; NULL past the end. Lives as
 * long as the session. */
KILN_API const kiln_plan *kiln_session_plan(kiln_session *session, int32_t batch, size_t index);

/* Why the activations of the bucket that serves `batch` lie as they do: a line for the choice and, where it is not the
 * usual one, for each tensor and layer. NULL: the bucket cannot be made. Lives as long as the session. */
KILN_API const char *kiln_session_why(kiln_session *session, int32_t batch);

/* Calls `visit` with each distinct problem of the net, and how many times it occurs, for a batch, a board size
 * (0: default) and what a session stores, with the usual halos. A visit that returns anything but KILN_OK ends the
 * walk, which returns it. */
typedef kiln_status (*kiln_problem_visit)(void *user, const kiln_problem *problem, size_t count);
KILN_API kiln_status kiln_net_problems(kiln_net *net, int32_t batch, int32_t board_h, int32_t board_w, kiln_type type,
                                       kiln_problem_visit visit, void *user);

/* ---- golden files: a safetensors file of inputs and expected outputs by the net's tensor names ---- */

typedef struct kiln_golden_row {
    const char *output;
    double max_diff;    /* largest |output - golden| */
    double max_abs;     /* largest |golden| */
    int64_t worst_item; /* position of max_diff in the batch */
} kiln_golden_row;

typedef struct kiln_golden_report {
    uint32_t struct_size;
    int64_t n_items;
    int32_t board_h, board_w;
    size_t n_rows;
    kiln_golden_row rows[16];
} kiln_golden_report;

#define KILN_GOLDEN_REPORT_INIT                                                                                        \
    { .struct_size = sizeof(kiln_golden_report) }

/* Runs every item of a golden file in batches of `batch` and compares. KILN_OK: every output within `tolerance`;
 * KILN_E_MISMATCH: not so (the report is filled), or the file is of another net (the report is empty).
 * KILN_E_IO, KILN_E_PARSE, KILN_E_INVALID: the file. `options` may be NULL; its board size is taken from the file. */
KILN_API kiln_status kiln_net_check(kiln_net *net, kiln_queue *queue, const kiln_session_options *options,
                                    const char *golden_path, int32_t batch, double tolerance, kiln_golden_report *out);

/* ---- labelled data: how often a net that classifies is right ---- */

typedef struct kiln_classify_report {
    uint32_t struct_size;
    int64_t n_items;      /* that were run */
    int64_t n_right;      /* of them, whose largest value is at their label; the first of equal ones counts */
    int64_t n_classes;    /* length of the net's first output */
    double accuracy;      /* n_right / n_items */
    uint64_t predictions; /* hash of every item's class in order: alike where all decisions are alike */
} kiln_classify_report;

#define KILN_CLASSIFY_REPORT_INIT                                                                                      \
    { .struct_size = sizeof(kiln_classify_report) }

/* Runs a safetensors file of labelled items: for each input of the net a tensor of its name, [items][shape], of U8, I8
 * or F32; "labels", U8 [items]; and, if only some items shall be run, "held_out", U8 [items], 0 for those left out. The
 * net's first output must be a vector of at least two values. Batches are as large as the largest bucket of `options`,
 * which may be NULL; its board size is taken from the file. KILN_E_MISMATCH: the file is of another net. KILN_E_IO,
 * KILN_E_PARSE, KILN_E_INVALID: the file. */
KILN_API kiln_status kiln_net_classify(kiln_net *net, kiln_queue *queue, const kiln_session_options *options,
                                       const char *data_path, kiln_classify_report *out);

#ifdef __cplusplus
}
#endif
#endif
