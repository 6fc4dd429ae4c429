/* The OpenCL backend on whatever OpenCL device there is. */
#include "backends/opencl.h"
#include "testing.h"
#include <stdint.h>
#include <unistd.h>

static const char source[] =
    "#ifndef KC_scale\n"
    "#define KC_scale 1\n"
    "#endif\n"
    "__kernel __attribute__((reqd_work_group_size(4, 1, 1)))\n"
    "void scale(__global const int *from, __global int *to, int add, float factor, __local int *part) {\n"
    "    const int i = (int)get_global_id(0);\n"
    "    part[get_local_id(0)] = from[i];\n"
    "    barrier(CLK_LOCAL_MEM_FENCE);\n"
    "    to[i] = (int)((part[3 - get_local_id(0)] * KC_scale + add) * factor);\n"
    "}\n"
    "__kernel void count(__global int *to) { to[get_global_id(0) + get_global_size(0) * get_global_id(1)] = 1; }\n"
    "__kernel void large(__global int *to) {\n"
    "    __local int part[64]; part[get_local_id(0)] = 1; barrier(CLK_LOCAL_MEM_FENCE); to[0] = part[0];\n"
    "}\n";

typedef struct {
    kiln_context *context;
    kiln_device *device;
    const kiln_backend *backend;
    kiln_queue *queue;
    void *module;
} world;

static kiln_context *open_context(void) {
    kiln_context_options options = KILN_CONTEXT_OPTIONS_INIT;
    kiln_context *context;
    options.cache_dir = "";
    options.backends = "opencl";
    REQUIRE_OK(kiln_context_create(&options, &context));
    return context;
}

static kiln_status compile(const world *w, const char *text, const char *options, void **binary, size_t *bytes) {
    return w->backend->compile(w->device, text, strlen(text), "test.cl", options, binary, bytes);
}

static void load(const world *w, const char *options, void **module) {
    void *binary;
    size_t bytes;
    REQUIRE_OK(compile(w, source, options, &binary, &bytes));
    REQUIRE_OK(w->backend->module_load(w->device, binary, bytes, module));
    kiln__free(w->context, binary);
}

static kiln_status make_kernel(const world *w, const kiln_launch *launch, const kiln_arg_value *args, size_t n,
                               kiln_node *node) {
    *node = (kiln_node){.kind = KILN_STEP_KERNEL, .label = launch->entry};
    return w->backend->kernel_create(w->device, w->module, launch, args, n, &node->kernel);
}

static kiln_arg_value place(kiln_buffer *buffer, size_t offset_bytes, size_t bytes) {
    return (kiln_arg_value){
        .kind = KILN_ARG_OPERAND, .place = {buffer ? buffer->memory : NULL, offset_bytes}, .bytes = bytes};
}

/* ---- what a device says of itself ---- */

static void test_device(const world *w) {
    kiln_device_info i = KILN_DEVICE_INFO_INIT;
    REQUIRE_OK(kiln_device_get_info(w->device, &i));
    CHECK_STR(i.backend, "opencl");
    CHECK_STR(i.name, "opencl:0");
    CHECK(strlen(i.model) && strlen(i.vendor) && strlen(i.driver) && strlen(i.compiler) && strlen(i.fingerprint));
    CHECK(i.units >= 1 && i.max_group_size >= 1 && i.memory_bytes && i.max_alloc_bytes && i.local_bytes);
    CHECK(!i.has_native_graphs && !i.has_clusters);
    CHECK((i.kind == KILN_DEVICE_CPU) == (i.vector_floats > 0));
    CHECK(w->device->desc.caps.address_align_bytes >= 64);
    CHECK_HAS(kiln_device_report(w->context), i.model);
}

/* ---- kernels ---- */

static const kiln_launch usual = {.entry = "scale", .grid = {2, 1, 1}, .group = {4, 1, 1}};

/* One buffer, viewed at offsets, and a patch from launch to launch. */
static void test_kernel(const world *w) {
    const size_t align = w->device->desc.caps.address_align_bytes, words = align / 4;
    int *data = calloc(4 * words, sizeof *data);
    kiln_buffer *buffer;
    kiln_node node;
    REQUIRE(data != NULL && words >= 8);
    REQUIRE_OK(kiln_buffer_create(w->device, 4 * align, &buffer));
    for (int i = 0; i < 8; i++)
        data[words + (size_t)i] = i;
    kiln_arg_value args[] = {place(buffer, align, 32),
                             place(buffer, 3 * align, 0), /* to the end */
                             {.kind = KILN_ARG_I32, .i32 = 1},
                             {.kind = KILN_ARG_F32, .f32 = 2},
                             {.kind = KILN_ARG_LOCAL, .bytes = 16}};
    REQUIRE_OK(make_kernel(w, &usual, args, 5, &node));
    CHECK_OK(kiln_buffer_write(w->queue, buffer, 0, data, 4 * align));
    CHECK_OK(kiln__queue_enqueue(w->queue, &node));
    args[0] = place(buffer, 3 * align, 32); /* what the first launch wrote */
    args[1] = place(buffer, 0, 0);
    args[2].i32 = 0;
    CHECK_OK(w->backend->kernel_patch(w->device, node.kernel, 0, &args[0]));
    CHECK_OK(w->backend->kernel_patch(w->device, node.kernel, 1, &args[1]));
    CHECK_OK(w->backend->kernel_patch(w->device, node.kernel, 2, &args[2]));
    CHECK_OK(kiln__queue_enqueue(w->queue, &node));
    CHECK_OK(kiln_buffer_read(w->queue, buffer, 0, data, 4 * align));
    CHECK_OK(kiln__queue_flush(w->queue));
    w->backend->kernel_destroy(w->device, node.kernel); /* under way: the driver keeps it */
    kiln_buffer_destroy(buffer);
    CHECK_OK(kiln_queue_finish(w->queue));
    for (int i = 0; i < 8; i++) { /* each group of four turned round, and back */
        CHECK(data[3 * words + (size_t)i] == (3 * ((i / 4) * 4 + 3 - i % 4) + 1) * 2);
        CHECK(data[i] == (3 * i + 1) * 2 * 3 * 2);
    }
    free(data);
}

static void test_launches(const world *w) {
    kiln_launch l = {.entry = "count", .grid = {KILN_GRID_RESIDENT, 2, 1}, .group = {1, 1, 1}};
    const size_t units = w->device->desc.caps.units;
    kiln_buffer *buffer;
    kiln_node node;
    int *data = calloc(2 * units + 1, sizeof *data);
    REQUIRE(data != NULL);
    REQUIRE_OK(kiln_buffer_create(w->device, (2 * units + 1) * sizeof *data, &buffer));
    const kiln_arg_value arg = place(buffer, 0, 0);
    REQUIRE_OK(make_kernel(w, &l, &arg, 1, &node));
    CHECK_OK(kiln_buffer_fill(w->queue, buffer, 0, (2 * units + 1) * sizeof *data, 0));
    CHECK_OK(kiln__queue_enqueue(w->queue, &node));
    CHECK_OK(kiln_buffer_read(w->queue, buffer, 0, data, (2 * units + 1) * sizeof *data));
    CHECK_OK(kiln_queue_finish(w->queue));
    for (size_t i = 0; i < 2 * units; i++)
        CHECK(data[i] == 1);
    CHECK(data[2 * units] == 0);
    w->backend->kernel_destroy(w->device, node.kernel);
    kiln_buffer_destroy(buffer);
    free(data);
}

static void refuse(const world *w, const kiln_launch *l, const kiln_arg_value *args, size_t n, kiln_status status,
                   const char *part) {
    kiln_node node;
    CHECK_STATUS(make_kernel(w, l, args, n, &node), status);
    CHECK_HAS(kiln_last_error(), part);
    CHECK_HAS(kiln_last_error(), "opencl:0");
}

static void test_refusals(const world *w) {
    const kiln_caps *caps = kiln__device_caps(w->device);
    kiln_buffer *buffer;
    REQUIRE_OK(kiln_buffer_create(w->device, 4096, &buffer));
    kiln_arg_value args[] = {place(buffer, 0, 0),
                             place(buffer, 0, 0),
                             {.kind = KILN_ARG_I32},
                             {.kind = KILN_ARG_F32},
                             {.kind = KILN_ARG_LOCAL, .bytes = 16}};
    kiln_launch l = usual;
    l.cluster[0] = 2;
    refuse(w, &l, args, 5, KILN_E_UNSUPPORTED, "OpenCL has no clusters");
    l = usual;
    l.cooperative = true;
    refuse(w, &l, args, 5, KILN_E_UNSUPPORTED, "OpenCL has no cooperative launch");
    l = usual;
    l.entry = "nosuch";
    refuse(w, &l, args, 5, KILN_E_NOT_FOUND, "no kernel nosuch");
    l = usual;
    l.group[0] = 8;
    refuse(w, &l, args, 5, KILN_E_INVALID, "compiled for groups of 4 x 1 x 1");
    l.group[0] = 0;
    refuse(w, &l, args, 5, KILN_E_INVALID, "0 work-items along dimension 0");
    l = usual;
    l.grid[1] = 0;
    refuse(w, &l, args, 5, KILN_E_INVALID, "a grid of 2 x 0 x 1");
    refuse(w, &usual, args, 4, KILN_E_INVALID, "takes 5 arguments, 4 given");
    args[4].bytes = (size_t)caps->local_bytes + 1;
    refuse(w, &usual, args, 5, KILN_E_UNSUPPORTED, "bytes of local memory");
    args[4] = (kiln_arg_value){.kind = KILN_ARG_TENSOR_MAP};
    refuse(w, &usual, args, 5, KILN_E_UNSUPPORTED, "tensor map");
    args[4] = (kiln_arg_value){.kind = KILN_ARG_LOCAL, .bytes = 16};
    args[0] = place(buffer, 4, 0);
    refuse(w, &usual, args, 5, KILN_E_INVALID, "starts at byte 4");
    args[0] = place(buffer, 4096, 0);
    refuse(w, &usual, args, 5, KILN_E_INVALID, "leave a buffer of 4096 bytes");
    args[0] = place(buffer, caps->address_align_bytes, 4096);
    refuse(w, &usual, args, 5, KILN_E_INVALID, "leave a buffer of 4096 bytes");
    l = (kiln_launch){.entry = "count", .grid = {1, 1, 1}, .group = {caps->max_group[0], caps->max_group[1], 1}};
    args[0] = place(buffer, 0, 0);
    if ((uint64_t)caps->max_group[0] * caps->max_group[1] > caps->max_group_size)
        refuse(w, &l, args, 1, KILN_E_UNSUPPORTED, "the compiled kernel allows");
    l.group[0] = caps->max_group[0] + 1;
    refuse(w, &l, args, 1, KILN_E_INVALID, "along dimension 0");
    kiln_buffer_destroy(buffer);
}

/* ---- copies ---- */

static void copy_rows(const world *w, size_t to_offset, size_t to_pitch, size_t from_offset, size_t from_pitch,
                      size_t row, size_t rows) {
    enum { BYTES = 1024 };
    unsigned char from[BYTES], to[BYTES], expected[BYTES];
    kiln_buffer *a, *b;
    REQUIRE_OK(kiln_buffer_create(w->device, BYTES, &a));
    REQUIRE_OK(kiln_buffer_create(w->device, BYTES, &b));
    for (size_t i = 0; i < BYTES; i++)
        from[i] = (unsigned char)(i * 7 + i / 256);
    memset(to, 0xee, BYTES);
    memset(expected, 0xee, BYTES);
    for (size_t i = 0; i < rows; i++)
        memcpy(expected + to_offset + i * to_pitch, from + from_offset + i * from_pitch, row);
    CHECK_OK(kiln_buffer_write(w->queue, a, 0, from, BYTES));
    CHECK_OK(kiln_buffer_write(w->queue, b, 0, to, BYTES));
    const kiln_node copy = {.kind = KILN_STEP_COPY,
                            .label = "copy",
                            .copy = {.destination = {b->memory, to_offset},
                                     .source = {a->memory, from_offset},
                                     .destination_pitch_bytes = to_pitch,
                                     .source_pitch_bytes = from_pitch,
                                     .row_bytes = row,
                                     .rows = rows}};
    CHECK_OK(kiln__queue_enqueue(w->queue, &copy));
    CHECK_OK(kiln_buffer_read(w->queue, b, 0, to, BYTES));
    CHECK_OK(kiln_queue_finish(w->queue));
    if (memcmp(to, expected, BYTES) != 0) {
        fprintf(stderr, "copy to %zu pitch %zu from %zu pitch %zu: %zu rows of %zu are wrong\n", to_offset, to_pitch,
                from_offset, from_pitch, rows, row);
        test_failures++;
    }
    kiln_buffer_destroy(a);
    kiln_buffer_destroy(b);
}

static void test_copies(const world *w) {
    copy_rows(w, 0, 16, 0, 16, 16, 64);     /* close together, the whole buffers */
    copy_rows(w, 100, 999, 200, 7, 300, 1); /* one row: the pitch does not matter */
    copy_rows(w, 0, 32, 0, 64, 32, 16);     /* gathered */
    copy_rows(w, 8, 64, 4, 32, 12, 10);     /* a column of each row */
    copy_rows(w, 64, 64, 96, 48, 16, 15);   /* from a later row on */
    copy_rows(w, 60, 64, 0, 32, 32, 15);    /* rows that straddle the pitch */
    copy_rows(w, 1, 17, 3, 19, 17, 52);     /* odd, up to near the end */
    copy_rows(w, 1024 - 16, 16, 0, 48, 16, 1);
}

static void test_fill(const world *w) {
    uint32_t words[64];
    kiln_buffer *buffer;
    REQUIRE_OK(kiln_buffer_create(w->device, sizeof words, &buffer));
    CHECK_OK(kiln_buffer_fill(w->queue, buffer, 0, sizeof words, 0x7fc00001));
    CHECK_OK(kiln_buffer_fill(w->queue, buffer, 4, 12, 0x01020304));
    CHECK_OK(kiln_buffer_read(w->queue, buffer, 0, words, sizeof words));
    CHECK_OK(kiln_queue_finish(w->queue));
    for (size_t i = 0; i < 64; i++)
        CHECK(words[i] == (i >= 1 && i <= 3 ? 0x01020304u : 0x7fc00001u));
    kiln_buffer_destroy(buffer);
}

static kiln_status vendor(void *user, void *native_queue, const kiln_place *operands) {
    const opencl_library *cl = user;
    const uint32_t pattern = 0x55aa55aa;
    return cl->clEnqueueFillBuffer(native_queue, operands[0].memory, &pattern, sizeof pattern, 0, 16, 0, NULL, NULL) ==
                   CL_SUCCESS
               ? KILN_OK
               : KILN_E_DEVICE;
}

/* A vendor library gets the cl_command_queue and the cl_mem. */
static void test_call(const world *w) {
    uint32_t words[4] = {0};
    kiln_buffer *buffer;
    REQUIRE_OK(kiln_buffer_create(w->device, sizeof words, &buffer));
    const kiln_place operands[] = {{buffer->memory, 0}};
    const kiln_node call = {.kind = KILN_STEP_CALL,
                            .label = "call",
                            .call = {.call = vendor, .user = w->device->library, .operands = operands}};
    CHECK_OK(kiln__queue_enqueue(w->queue, &call));
    CHECK_OK(kiln_buffer_read(w->queue, buffer, 0, words, sizeof words));
    CHECK_OK(kiln_queue_finish(w->queue));
    CHECK(words[0] == 0x55aa55aa && words[3] == 0x55aa55aa);
    kiln_buffer_destroy(buffer);
}

/* ---- programs ---- */

static void test_programs(const world *w) {
    void *binary = NULL, *module;
    size_t bytes = 0;
    CHECK_STATUS(compile(w, "__kernel void broken(void) { undeclared_thing = 1; }", "", &binary, &bytes),
                 KILN_E_COMPILE);
    CHECK_HAS(kiln_last_error(), "test.cl does not compile");
    CHECK_HAS(kiln_last_error(), "undeclared_thing");
    CHECK_STATUS(
        compile(w, "#ifndef KILN_LANGUAGE_OPENCL\n#error no_language\n#endif\n#error wanted\n", "", &binary, &bytes),
        KILN_E_COMPILE);
    CHECK_HAS(kiln_last_error(), "wanted");
    CHECK(strstr(kiln_last_error(), "no_language") == NULL);
    CHECK(binary == NULL);

    unsigned char junk[4096];
    for (size_t i = 0; i < sizeof junk; i++)
        junk[i] = (unsigned char)(i * 31 + 7);
    CHECK_STATUS(w->backend->module_load(w->device, junk, sizeof junk, &module), KILN_E_CORRUPT);
    CHECK_STATUS(w->backend->module_load(w->device, junk, 1, &module), KILN_E_CORRUPT);
    CHECK_STATUS(w->backend->module_load(w->device, junk, 0, &module), KILN_E_CORRUPT);

    kiln_resources r;
    CHECK_OK(w->backend->module_resources(w->device, w->module, "scale", &r));
    CHECK(r.max_group_size >= 1);
    CHECK_OK(w->backend->module_resources(w->device, w->module, "large", &r));
    CHECK(r.local_bytes >= 256);
    CHECK_STATUS(w->backend->module_resources(w->device, w->module, "nosuch", &r), KILN_E_NOT_FOUND);
}

/* ---- memory ---- */

static void test_memory(const world *w) {
    kiln_buffer *buffer = NULL;
    const uint64_t max = kiln__device_caps(w->device)->max_alloc_bytes;
    CHECK_STATUS(kiln_buffer_create(w->device, (size_t)max + 1, &buffer), KILN_E_DEVICE_MEMORY);
    CHECK_STATUS(kiln_buffer_create(w->device, SIZE_MAX, &buffer), KILN_E_DEVICE_MEMORY);
    CHECK_HAS(kiln_last_error(), "larger than the device's limit");
    void *memory;
    CHECK_STATUS(w->backend->alloc(w->device, SIZE_MAX / 2, &memory), KILN_E_DEVICE_MEMORY);
    CHECK(buffer == NULL);
}

/* ---- timing ---- */

static void test_events(const world *w) {
    void *from, *to, *never;
    double us = -1;
    kiln_buffer *buffer;
    REQUIRE_OK(kiln_buffer_create(w->device, 1 << 20, &buffer));
    REQUIRE_OK(w->backend->event_create(w->device, &from));
    REQUIRE_OK(w->backend->event_create(w->device, &to));
    REQUIRE_OK(w->backend->event_create(w->device, &never));
    for (int i = 0; i < 2; i++) { /* an event can be recorded again */
        CHECK_OK(w->backend->event_record(w->device, w->queue->handle, from));
        CHECK_OK(kiln_buffer_fill(w->queue, buffer, 0, 1 << 20, 1));
        CHECK_OK(w->backend->event_record(w->device, w->queue->handle, to));
        CHECK_OK(kiln_queue_finish(w->queue));
        CHECK_OK(w->backend->event_elapsed_us(w->device, from, to, &us));
        CHECK(us > 0 && us < 60e6);
    }
    CHECK_STATUS(w->backend->event_elapsed_us(w->device, from, never, &us), KILN_E_INVALID);
    w->backend->event_destroy(w->device, from);
    w->backend->event_destroy(w->device, to);
    w->backend->event_destroy(w->device, never);
    kiln_buffer_destroy(buffer);
}

/* ---- an engine's own OpenCL ---- */

/* The engine's side: the same library, opened by itself. */
typedef struct {
    const opencl_library *cl;
    cl_context context;
    cl_command_queue queue, disorderly;
    cl_mem memory, part;
} engine;

static engine open_engine(const world *w, const opencl_library *cl, cl_device_id device) {
    engine e = {.cl = cl};
    cl_int error;
    e.context = cl->clCreateContext(NULL, 1, &device, NULL, NULL, &error);
    REQUIRE(error == CL_SUCCESS);
    e.queue = cl->clCreateCommandQueue(e.context, device, 0, &error);
    REQUIRE(error == CL_SUCCESS);
    e.disorderly = cl->clCreateCommandQueue(e.context, device, CL_QUEUE_OUT_OF_ORDER_EXEC_MODE_ENABLE, &error);
    if (error != CL_SUCCESS)
        e.disorderly = NULL;
    const size_t align = w->device->desc.caps.address_align_bytes;
    e.memory = cl->clCreateBuffer(e.context, CL_MEM_READ_WRITE, 4 * align, NULL, &error);
    REQUIRE(error == CL_SUCCESS);
    const cl_buffer_region region = {align, 2 * align};
    e.part = cl->clCreateSubBuffer(e.memory, CL_MEM_READ_WRITE, CL_BUFFER_CREATE_TYPE_REGION, &region, &error);
    REQUIRE(error == CL_SUCCESS);
    return e;
}

static cl_uint references(const engine *e, bool of_context) {
    cl_uint n = 0;
    const cl_int error = of_context
                             ? e->cl->clGetContextInfo(e->context, CL_CONTEXT_REFERENCE_COUNT, sizeof n, &n, NULL)
                             : e->cl->clGetMemObjectInfo(e->part, CL_MEM_REFERENCE_COUNT, sizeof n, &n, NULL);
    return error == CL_SUCCESS ? n : 0;
}

/* Only the engine's reference is left. A driver's threads may let go of finished commands a little later than clFinish
 * returns, so this asks again for up to ten seconds; what Kiln forgot to release would stay. */
static bool is_engines_alone(const engine *e, bool of_context) {
    for (int i = 0; i < 10000 && references(e, of_context) != 1; i++)
        usleep(1000);
    return references(e, of_context) == 1;
}

static void close_engine(engine *e) {
    CHECK(e->cl->clFinish(e->queue) == CL_SUCCESS); /* still usable; PoCL's own commands hold references to a queue */
    CHECK(is_engines_alone(e, false));
    e->cl->clReleaseMemObject(e->part);
    e->cl->clReleaseMemObject(e->memory);
    e->cl->clReleaseCommandQueue(e->queue);
    if (e->disorderly)
        e->cl->clReleaseCommandQueue(e->disorderly);
    CHECK(is_engines_alone(e, true));
    e->cl->clReleaseContext(e->context);
}

/* A kernel of ours over a part of the engine's memory, at an offset, on the engine's queue. */
static void use_engine(world *w, engine *e) {
    const size_t align = w->device->desc.caps.address_align_bytes;
    kiln_buffer *buffer;
    kiln_node node, fill;
    kiln_launch l = {.entry = "count", .grid = {4, 1, 1}, .group = {1, 1, 1}};
    uint32_t *words = calloc(4, align);
    REQUIRE(words != NULL);
    REQUIRE_OK(kiln_queue_adopt(w->device, e->queue, &w->queue));
    CHECK_STATUS(kiln_buffer_adopt(w->device, e->part, 2 * align + 1, &buffer), KILN_E_INVALID);
    REQUIRE_OK(kiln_buffer_adopt(w->device, e->part, 2 * align, &buffer));
    load(w, "", &w->module);
    const kiln_arg_value arg = place(buffer, align, 16);
    REQUIRE_OK(make_kernel(w, &l, &arg, 1, &node));
    fill = (kiln_node){.kind = KILN_STEP_FILL, .label = "fill", .fill = {{e->memory, 0}, 4 * align, 0}};
    CHECK_OK(kiln__queue_enqueue(w->queue, &fill));
    CHECK_OK(kiln__queue_enqueue(w->queue, &node));
    CHECK_OK(kiln_queue_finish(w->queue));
    CHECK(e->cl->clEnqueueReadBuffer(e->queue, e->memory, CL_TRUE, 0, 4 * align, words, 0, NULL, NULL) == CL_SUCCESS);
    for (size_t i = 0; i < align; i++)
        CHECK(words[i] == (i >= align / 2 && i < align / 2 + 4 ? 1u : 0u)); /* byte 2 * align on */
    w->backend->kernel_destroy(w->device, node.kernel);
    w->backend->module_unload(w->device, w->module);
    kiln_buffer_destroy(buffer);
    kiln_queue_destroy(w->queue);
    free(words);
}

static void test_adoption(const world *first) {
    world w = {.context = open_context()};
    w.device = kiln_device_at(w.context, 0);
    w.backend = w.device->backend;
    engine own = open_engine(first, opencl_of(first->device), opencl_device(w.device));
    engine foreign = open_engine(first, opencl_of(first->device), opencl_device(w.device));
    kiln_queue *queue = NULL;
    kiln_buffer *buffer = NULL;
    REQUIRE_OK(kiln_device_adopt(w.device, own.context));
    CHECK_STATUS(kiln_device_adopt(w.device, own.context), KILN_E_INVALID);
    CHECK_STATUS(kiln_queue_adopt(w.device, foreign.queue, &queue), KILN_E_INVALID);
    CHECK_HAS(kiln_last_error(), "another cl_context");
    CHECK_STATUS(kiln_buffer_adopt(w.device, foreign.memory, 4, &buffer), KILN_E_INVALID);
    CHECK_HAS(kiln_last_error(), "another cl_context");
    if (own.disorderly) {
        CHECK_STATUS(kiln_queue_adopt(w.device, own.disorderly, &queue), KILN_E_INVALID);
        CHECK_HAS(kiln_last_error(), "out of order");
    }
    use_engine(&w, &own);
    kiln_context_destroy(w.context);
    close_engine(&own);
    close_engine(&foreign);
}

int main(void) {
    world w = {.context = open_context()};
    w.device = kiln_device_at(w.context, 0);
    if (!w.device)
        SKIP("no OpenCL device: %s", kiln_device_report(w.context));
    w.backend = w.device->backend;
    REQUIRE_OK(kiln_queue_create(w.device, &w.queue));
    load(&w, "-DKC_scale=3", &w.module);
    test_device(&w);
    test_kernel(&w);
    test_launches(&w);
    test_refusals(&w);
    test_copies(&w);
    test_fill(&w);
    test_call(&w);
    test_programs(&w);
    test_memory(&w);
    test_events(&w);
    test_adoption(&w);
    w.backend->module_unload(w.device, w.module);
    kiln_queue_destroy(w.queue);
    kiln_context_destroy(w.context);
    return test_end();
}
