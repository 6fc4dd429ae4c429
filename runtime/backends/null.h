/* The scripted test backend: devices that exist only on paper.
 *
 * Memory is host memory, and copies, fills, reads and writes really happen, but only when the queue is finished (or its
 * 256 places for pending work are used up), so that a caller who forgets to wait is found out. Kernels compute nothing
 * unless the script says so: they advance a virtual clock and add a line to the device's trace. What a kernel should
 * have written keeps the bytes 0xcd that fresh memory is filled with.
 *
 * Devices exist only if KILN_NULL_SCRIPT names a file that exists. It is text of at most 64 KiB: one statement a line,
 * `#` starts a comment, words are separated by blanks. A malformed script fails kiln_context_create with KILN_E_PARSE.
 *
 *     device name=null0 kind=gpu units=4 graphs=1
 *         A device, at most 8. All words are optional: name, driver, compiler (texts); kind (gpu, cpu, other); units;
 *         memory, max_alloc, local, align (bytes); max_group (work-items); vector (floats in a register); features
 *         (avx2,fma); pci (0000:41:00.0); clusters, cooperative, tensor_maps, f16, graphs (native graphs), patch (of
 *         native graphs): 0 or 1; launch_us: the part of a launch that a native graph saves.
 *     fail call=alloc nth=3 status=KILN_E_DEVICE_MEMORY
 *         The third call of this slot of backend.h fails, with that text; nth=0 (or none): every call. `kernel=ENTRY`
 *         counts only calls about that entry (kernel_create, module_resources, enqueue), `source=PART` only those about
 *         programs whose name contains the part (compile, module_load), `defines=NAME=VALUE` only those about programs
 *         compiled with -DNAME=VALUE (these three and kernel_create). A queue_finish that fails loses the pending work.
 *     time kernel=conv_vec us=12.5 defines=KP_mr=6
 *         A launch of that entry takes so long (default 10 us); `defines` as above. The last statement that fits holds.
 *     time call=copy us=3
 *         So does each copy, fill, write, read (default 1 us), kernel, or call of a vendor library (default 0).
 *     compute kernel=gemm_tile result=zeros defines=KP_TM=64
 *         A launch of that entry (none: of every entry) writes its last memory argument: zeros, ones, nan; outside
 *         (zeros, and a word before it); past (zeros, and two bytes after it); flaky (zeros and ones in turn); or does
 *         not end well: crash (a signal), hang (for ever); or nothing. The last statement that fits holds.
 *     resources kernel=conv_vec registers=40 spill=8 local=1024 max_group=256
 *         What module_resources tells of that entry.
 *
 * Statements apply to all devices, or with `device=1` to that one. Run eagerly a kernel takes its time; in a native
 * graph it takes launch_us less, and the launch of the graph takes launch_us once. */
#ifndef KILN_RUNTIME_BACKENDS_NULL_H
#define KILN_RUNTIME_BACKENDS_NULL_H

#include "device.h"

/* The slots that count their calls and can be made to fail, by their names in the vtable. */
#define KILN_NULL_CALLS(X)                                                                                             \
    X(open)                                                                                                            \
    X(compile)                                                                                                         \
    X(module_load)                                                                                                     \
    X(module_resources)                                                                                                \
    X(kernel_create)                                                                                                   \
    X(kernel_patch)                                                                                                    \
    X(alloc)                                                                                                           \
    X(memory_adopt)                                                                                                    \
    X(queue_create)                                                                                                    \
    X(queue_adopt)                                                                                                     \
    X(queue_finish)                                                                                                    \
    X(queue_flush)                                                                                                     \
    X(write)                                                                                                           \
    X(read)                                                                                                            \
    X(enqueue)                                                                                                         \
    X(event_create)                                                                                                    \
    X(event_record)                                                                                                    \
    X(event_elapsed_us)                                                                                                \
    X(graph_build)                                                                                                     \
    X(graph_patch)                                                                                                     \
    X(graph_launch)
typedef enum kiln_null_call {
#define KILN_NULL_ENUM(name) KILN_NULL_CALL_##name,
    KILN_NULL_CALLS(KILN_NULL_ENUM)
#undef KILN_NULL_ENUM
        KILN_NULL_N_CALLS
} kiln_null_call;

/* What is made and has to be destroyed. */
typedef enum kiln_null_object {
    KILN_NULL_MEMORY,
    KILN_NULL_MODULE,
    KILN_NULL_KERNEL,
    KILN_NULL_QUEUE,
    KILN_NULL_EVENT,
    KILN_NULL_GRAPH,
    KILN_NULL_N_OBJECTS
} kiln_null_object;

/* ---- for tests: what happened on a device of this backend. Thread-safe but for the trace. ---- */

/* One line for each thing done, in order; "…" at the end if it outgrew 256 KiB:
 *     kernel conv_vec grid=4x1x1 group=8x1x1 args=m1+0,m2+256,7,1.5,local:128      (also cluster=2x1x1, cooperative)
 *     copy m2+0 <- m1+64 row=16 rows=4 · fill m1+0 bytes=64 pattern=0x3f800000 · write m1+0 bytes=64
 *     read m1+0 bytes=64 · call · graph nodes=5 (the lines of its nodes follow)
 * m1 is the first memory allocated on the device, m0 no memory. Valid as long as nothing runs on the device. */
const char *kiln__null_trace(kiln_device *device);
void kiln__null_trace_clear(kiln_device *device);
double kiln__null_clock_us(kiln_device *device);
size_t kiln__null_live(kiln_device *device, kiln_null_object kind);
uint64_t kiln__null_calls(kiln_device *device, kiln_null_call call);
/* Things destroyed while pending work still used them. Memory is not among them: freeing it waits. */
uint64_t kiln__null_misuses(kiln_device *device);

#endif
