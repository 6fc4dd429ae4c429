/* What the files of the engine know of each other. Below sim.h's interface there are four parts:
 *
 *   memory.c            allocations of a device, with a shadow byte a byte: written or not
 *   lex.c parse.c decode*.c     PTX text to an array of decoded instructions
 *   lanes_*.c           arithmetic: one function an operation, over the 32 lanes of a warp, without masks
 *   run.c step_*.c      blocks, warps, barriers, memory accesses, checks and counts
 *
 * A register of a warp is an array of 32 values of its width, so that an operation is a loop the compiler vectorises.
 * An operand is a place in one of four banks: the registers of the kernel, those of the functions it calls, the
 * module's constants and the special registers, which are filled when a block begins. Immediates are constants spread
 * over 32 lanes, so operations know no other operands than arrays.
 */
#ifndef SIMCUDA_ENGINE_H
#define SIMCUDA_ENGINE_H

#include "matrix.h"
#include "race.h"
#include "sim.h"
#include <stdarg.h>

/* ---- operands ---- */

typedef uint32_t sim_operand; /* bank << 30 | byte offset / 4 */
enum { SIM_BANK_KERNEL, SIM_BANK_FUNCTIONS, SIM_BANK_CONSTANTS, SIM_BANK_SPECIALS, SIM_BANKS };
#define SIM_NO_OPERAND UINT32_MAX

static inline sim_operand sim__operand(uint32_t bank, uint32_t offset_bytes) {
    return bank << 30 | offset_bytes / 4;
}
static inline void *sim__place(uint8_t *const *banks, sim_operand operand) {
    return banks[operand >> 30] + ((size_t)(operand & 0x3fffffff) << 2);
}

/* Special registers: SIM_SPECIAL_<name> * 128 bytes into their bank. */
#define SIM_SPECIAL_MAP(X)                                                                                             \
    X(tid_x)                                                                                                           \
    X(tid_y)                                                                                                           \
    X(tid_z)                                                                                                           \
    X(ntid_x)                                                                                                          \
    X(ntid_y)                                                                                                          \
    X(ntid_z)                                                                                                          \
    X(ctaid_x)                                                                                                         \
    X(ctaid_y)                                                                                                         \
    X(ctaid_z)                                                                                                         \
    X(nctaid_x)                                                                                                        \
    X(nctaid_y)                                                                                                        \
    X(nctaid_z)                                                                                                        \
    X(laneid)                                                                                                          \
    X(warpid)                                                                                                          \
    X(nwarpid)                                                                                                         \
    X(smid)                                                                                                            \
    X(nsmid)                                                                                                           \
    X(gridid)                                                                                                          \
    X(lanemask_eq)                                                                                                     \
    X(lanemask_le)                                                                                                     \
    X(lanemask_lt)                                                                                                     \
    X(lanemask_ge)                                                                                                     \
    X(lanemask_gt)                                                                                                     \
    X(dynamic_smem_size)                                                                                               \
    X(total_smem_size)
typedef enum sim_special {
#define SIM_SPECIAL_ENUM(name) SIM_SPECIAL_##name,
    SIM_SPECIAL_MAP(SIM_SPECIAL_ENUM)
#undef SIM_SPECIAL_ENUM
        SIM_SPECIALS
} sim_special;

/* ---- arithmetic ---- */

/* d[lane] = f(a[lane], b[lane], c[lane]) for all 32 lanes. Values of lanes that are not active are computed too and
 * thrown away, so nothing here may trap. d is a source itself or apart from all. */
typedef void sim_lane_fn(void *d, const void *a, const void *b, const void *c);

/* `signature` has a letter an operand, destination first: p predicate (a bit a lane), h 16, w 32, l 64 bits. */
typedef struct sim_lane_op {
    const char *name; /* "fma.f32": without rounding, ftz and sat */
    sim_lane_fn *run;
    const char *signature;
} sim_lane_op;

const sim_lane_op *sim__lane_find(const char *name); /* NULL: no such operation */

/* ---- decoded instructions ---- */

typedef struct sim_exec sim_exec;
typedef struct sim_instr sim_instr;
typedef struct sim_access sim_access;

typedef enum sim_step {
    SIM_STEP_NEXT,  /* go on behind it */
    SIM_STEP_JUMP,  /* the lanes' program counters were set: choose again who runs */
    SIM_STEP_YIELD, /* as JUMP, and another warp's turn */
    SIM_STEP_FAULT,
} sim_step;
typedef sim_step sim_step_fn(sim_exec *x, const sim_instr *in, uint32_t mask);

enum { SIM_FLAG_FTZ = 1, SIM_FLAG_SAT = 2 };
typedef enum sim_round {
    SIM_ROUND_DEFAULT,
    SIM_ROUND_RN,
    SIM_ROUND_RZ,
    SIM_ROUND_RM,
    SIM_ROUND_RP,
    SIM_ROUND_RNA
} sim_round;

struct sim_instr {
    sim_lane_fn *lanes; /* with `step` NULL: all there is to do */
    sim_step_fn *step;
    sim_operand d, a, b, c;
    sim_operand guard; /* SIM_NO_OPERAND: none */
    uint8_t negated;   /* 1: the guard, 2: a source that is a predicate */
    uint8_t width;     /* bytes of a lane of d; 0: a predicate */
    uint8_t kind;      /* index of the sim_meter field it counts for; 0: only as an instruction */
    uint8_t flags, round;
    uint8_t sub; /* which of a step's forms */
    uint16_t file;
    uint32_t line, ptx_line;
    uint32_t target;    /* branches and calls */
    const void *more;   /* what else a step needs, owned by the module */
    sim_access *access; /* loads: the same, while the function is parsed */
};

typedef enum sim_space {
    SIM_SPACE_GENERIC,
    SIM_SPACE_GLOBAL, /* and const */
    SIM_SPACE_SHARED,
    SIM_SPACE_LOCAL, /* and parameters of functions */
    SIM_SPACE_PARAM, /* of kernels */
} sim_space;

/* ld, st, atom, red, ldmatrix: `more` */
struct sim_access {
    sim_operand address; /* SIM_NO_OPERAND: `offset` alone */
    int64_t offset;
    uint8_t address_bytes; /* 4 or 8 */
    uint8_t space, size, vector, register_bytes;
    bool is_signed;
    bool has_holes;     /* a vector of which not all is wanted */
    char type[8];       /* "f32" */
    sim_operand reg[4]; /* loaded, stored; atom: d, b, c */
};

/* A list of operands with their widths in bytes (0: predicate): packing moves, calls, mma. */
typedef struct sim_list {
    uint32_t n;
    sim_operand operand[24];
    uint8_t width[24];
} sim_list;

/* setp with two results or a third source, lop3 with a predicate: `more` */
typedef struct sim_setp {
    sim_operand second, source; /* second: SIM_NO_OPERAND, or where the other predicate goes */
    char combine;               /* 'a'nd, 'o'r, 'x'or, 0: alone */
    bool negated;               /* the source */
    bool pair;                  /* of two 16-bit values: the first result is of the low ones */
} sim_setp;

/* A type of number: kind 's', 'u', 'f' or 'b'float. */
typedef struct sim_number {
    char kind;
    uint8_t bytes;
} sim_number;

/* cvt: `more` */
typedef struct sim_conversion {
    sim_number to, from;
    sim_round integral, round; /* to an integer (DEFAULT: not), to the result */
    bool ftz, sat, satfinite, relu;
    uint8_t d_width, a_width; /* of the registers */
} sim_conversion;

/* What `sub` is of ... */
#define SIM_ATOMIC_MAP(X)                                                                                              \
    X(add)                                                                                                             \
    X(min)                                                                                                             \
    X(max)                                                                                                             \
    X(inc)                                                                                                             \
    X(dec)                                                                                                             \
    X(and)                                                                                                             \
    X(or)                                                                                                              \
    X(xor)                                                                                                             \
    X(exch)                                                                                                            \
    X(cas)
typedef enum sim_atomic {
#define SIM_ATOMIC_ENUM(name) SIM_ATOMIC_##name,
    SIM_ATOMIC_MAP(SIM_ATOMIC_ENUM)
#undef SIM_ATOMIC_ENUM
        SIM_ATOMICS
} sim_atomic;
enum { SIM_BAR_SYNC, SIM_BAR_ARRIVE, SIM_BAR_POPC, SIM_BAR_AND, SIM_BAR_OR };
enum { SIM_COPY_ALL, SIM_COPY_BYTES, SIM_COPY_IGNORE };
enum { SIM_WAIT_GROUP, SIM_WAIT_ALL };
enum {
    SIM_CARRY_IN = 1,
    SIM_CARRY_OUT = 2,
    SIM_CARRY_SUB = 4,
    SIM_CARRY_LOW = 8,
    SIM_CARRY_HIGH = 16
}; /* LOW, HIGH: of mad */
enum { SIM_SHUFFLE_UP, SIM_SHUFFLE_DOWN, SIM_SHUFFLE_BFLY, SIM_SHUFFLE_IDX };
enum { SIM_VOTE_BALLOT, SIM_VOTE_ALL, SIM_VOTE_ANY, SIM_VOTE_UNI };
enum { SIM_REDUCE_ADD, SIM_REDUCE_MIN, SIM_REDUCE_MAX, SIM_REDUCE_AND, SIM_REDUCE_OR, SIM_REDUCE_XOR };

/* mma: `more` */
typedef struct sim_mma_operands {
    sim_mma mma;
    sim_mma_registers count;
    sim_operand d[4], a[4], b[4], c[4];
} sim_mma_operands;

/* ---- modules ---- */

/* A place in a thread's local memory, of a function's parameter or result. */
typedef struct sim_formal {
    uint32_t offset, bytes;
} sim_formal;
enum { SIM_FORMALS = 64 };

typedef struct sim_function {
    char name[128];
    bool defined;
    uint32_t pc;
    uint32_t n_params, n_results;
    sim_formal params[SIM_FORMALS], results[4];
} sim_function;

/* The arguments of one call. */
typedef struct sim_call {
    uint32_t function; /* index */
    uint32_t n_params, n_results;
    sim_formal params[SIM_FORMALS], results[4];
} sim_call;

/* A variable in shared memory. They lie apart by SIM_SHARED_GAP bytes more than in a real device, a multiple of all
 * banks, so that an index beyond one is seen and bank conflicts stay what they are. What the launch adds begins at
 * SIM_SHARED_DYNAMIC. */
enum { SIM_SHARED_GAP = 128, SIM_SHARED_DYNAMIC = 1 << 16 };
typedef struct sim_shared_variable {
    char name[64];
    uint32_t offset, bytes;
} sim_shared_variable;

struct sim_kernel {
    sim_module *module;
    char name[128];
    uint32_t pc;
    uint32_t n_params, param_bytes;
    sim_formal *params;
    uint32_t register_bytes; /* of the bank of a warp */
    uint32_t registers32;
    uint32_t shared_bytes; /* as a real device counts it */
    bool has_dynamic;
    sim_shared_variable *shared;
    uint32_t n_shared;
    uint32_t local_bytes;
    uint32_t maxntid[3], reqntid[3];
};

typedef struct sim_global {
    char name[128];
    uint64_t address;
    size_t bytes;
} sim_global;

struct sim_module {
    sim_device *device;
    sim_instr *code;
    uint32_t n_code, max_code;
    uint8_t *constants;
    size_t constant_bytes, max_constants;
    sim_kernel **kernels;
    uint32_t n_kernels;
    sim_function **functions;
    uint32_t n_functions;
    uint32_t function_register_bytes, function_local_bytes;
    sim_global *globals;
    uint32_t n_globals;
    char **files; /* by their number in .file; NULL: not named */
    uint32_t n_files;
    void **owned; /* everything `more` points to */
    size_t n_owned;
};

/* ---- memory ---- */

/* Generic addresses: device d's memory lies at (d + 1) << 40; these windows hold the other spaces. */
#define SIM_WINDOW_BYTES  (UINT64_C(1) << 32)
#define SIM_WINDOW_SHARED (UINT64_C(1) << 46)
#define SIM_WINDOW_LOCAL  (SIM_WINDOW_SHARED + SIM_WINDOW_BYTES)
#define SIM_WINDOW_PARAM  (SIM_WINDOW_LOCAL + SIM_WINDOW_BYTES)

/* Functions' parts of local memory begin here, whatever the kernel has. */
enum { SIM_LOCAL_FUNCTIONS = 1 << 24 };

enum { SIM_SHADOW_NONE = 0x00, SIM_SHADOW_WRITTEN = 0xff, SIM_SHADOW_GAP = 0x7f };

typedef struct sim_allocation {
    uint64_t begin;
    size_t bytes;
    uint8_t *host, *shadow;
} sim_allocation;

const sim_allocation *sim__allocation_find(const sim_device *device, uint64_t address); /* NULL: none holds it */
/* For reports: "inside the 4096 bytes at 0x...", "16 bytes behind the ...". */
void sim__allocation_describe(const sim_device *device, uint64_t address, char *text, size_t bytes);

/* ---- execution ---- */

/* The fields of sim_meter, by number. */
enum {
#define SIM_COUNT_ENUM(name, text) SIM_COUNT_##name,
    SIM_METER_MAP(SIM_COUNT_ENUM)
#undef SIM_COUNT_ENUM
        SIM_COUNTS
};

enum { SIM_MULTIPROCESSORS = 8 }; /* as the driver says */
enum { SIM_CALL_DEPTH = 16, SIM_BARRIERS = 16, SIM_MAX_WARPS = 32 };

/* One warp's cp.async until its wait. */
typedef struct sim_pending_copy {
    uint32_t mask;
    uint32_t pc;
    uint8_t bytes;
    uint32_t address[SIM_WARP], group[SIM_WARP];
    uint8_t data[SIM_WARP][16], shadow[SIM_WARP][16];
} sim_pending_copy;

typedef struct sim_warp_state {
    uint8_t *banks[SIM_BANKS];
    uint8_t *local; /* 32 * local bytes of the kernel */
    uint32_t index;
    uint32_t all, live; /* lanes it began with, lanes that have not left */
    uint32_t carry;     /* of add.cc and the like, a bit a lane */
    uint32_t parked;    /* lanes that wait at a warp's barrier for others of it */
    uint32_t pc, mask;  /* who runs now */
    uint32_t limit;     /* the lowest program counter of other live lanes; UINT32_MAX: none */
    uint32_t lane_pc[SIM_WARP];
    bool divided;  /* other live lanes are elsewhere */
    uint32_t turn; /* instructions since then; after many a favoured lane of the others runs for as long */
    bool favour;
    int favoured;
    bool waiting; /* at `barrier` */
    uint32_t barrier;
    const sim_instr *waits_at;
    uint8_t depth[SIM_WARP];
    uint32_t returns[SIM_CALL_DEPTH][SIM_WARP]; /* the pc of the call */
    sim_pending_copy *copies;
    uint32_t n_copies, max_copies;
    uint32_t committed[SIM_WARP]; /* groups a lane has committed */
} sim_warp_state;

typedef struct sim_barrier_state {
    uint32_t expected, arrived;   /* threads, a warp that is not full counts as if it were */
    uint32_t threads, true_lanes; /* who really came; of bar.red: whose predicate held */
    uint32_t warps;
} sim_barrier_state;

typedef struct sim_block_state {
    uint32_t index[3];
    uint32_t threads, n_warps;
    bool done;
    sim_warp_state *warps;
    uint8_t *shared, *shared_shadow;
    sim_race *race;
    sim_barrier_state barriers[SIM_BARRIERS];
} sim_block_state;

struct sim_exec {
    sim_device *device;
    const sim_launch *launch;
    const sim_kernel *kernel;
    const sim_module *module;
    sim_block_state *block;
    sim_warp_state *warp;
    uint32_t shared_bytes;      /* with gaps and the dynamic part */
    const sim_allocation *last; /* what global memory was last found in */
    struct sim_shape **shapes;  /* of each instruction; NULL: none yet */
    uint64_t left;              /* warp instructions until it is called endless */
    uint64_t instructions;
    uint64_t counts[SIM_COUNTS]; /* counts[0] is of nobody: what has no kind of its own */
    sim_fault *fault;
};

/* Fills the fault: the first lane of `lanes` is named. Always returns SIM_STEP_FAULT. */
sim_step sim__fault(sim_exec *x, const sim_instr *in, sim_fault_kind kind, uint32_t lanes, const char *format, ...)
    __attribute__((format(printf, 5, 6)));
/* "thread (1,0,0)" of a number warp * 32 + lane; "file.cu:12" of an instruction. */
void sim__thread_name(const sim_exec *x, uint32_t thread, char *text, size_t bytes);
void sim__line_name(const sim_module *module, const sim_instr *in, char *text, size_t bytes);

static inline void *sim__at(const sim_exec *x, sim_operand operand) {
    return sim__place(x->warp->banks, operand);
}
/* Copies the active lanes of a result; width 0 is a predicate. */
void sim__blend(void *d, const void *result, uint32_t mask, unsigned width);

#endif
