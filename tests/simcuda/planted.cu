// Kernels with an error each when AWRY is 1, and without when it is 0 (test_planted.c). A comment "at: NAME" marks the
// line that the report has to name. 64 threads; out and in have 64 floats each, in is written, out is not.
#define KERNEL(name) extern "C" __global__ void __launch_bounds__(64) name(float *out, const float *in)

KERNEL(out_of_bounds) {
    out[threadIdx.x + AWRY] = in[threadIdx.x]; // at: out_of_bounds
}

KERNEL(out_of_shared) {
    __shared__ float x[64];
    x[threadIdx.x] = in[threadIdx.x];
    __syncthreads();
    out[threadIdx.x] = x[threadIdx.x + 8 * AWRY * threadIdx.x]; // at: out_of_shared
}

KERNEL(misaligned) {
    const char *at = (const char *)in + 16 * (threadIdx.x / 4) + 2 * AWRY;
    out[threadIdx.x] = *(const float *)at; // at: misaligned
}

KERNEL(uninitialised) {
    __shared__ float x[64];
    if (threadIdx.x != 40 || !AWRY)
        x[threadIdx.x] = in[threadIdx.x];
    __syncthreads();
    out[threadIdx.x] = x[63 - threadIdx.x]; // at: uninitialised
}

KERNEL(uninitialised_global) {
    if (AWRY)
        out[threadIdx.x] += in[threadIdx.x]; // at: uninitialised_global
    else
        out[threadIdx.x] = in[threadIdx.x];
}

KERNEL(race) {
    __shared__ float x[64];
    x[threadIdx.x] = 0.0f;
    __syncthreads();
    x[threadIdx.x] = in[threadIdx.x]; // at: race
    if (!AWRY)
        __syncthreads();
    out[threadIdx.x] = x[63 - threadIdx.x]; // other: race
}

// Inside a warp: lockstep is no order.
KERNEL(race_in_warp) {
    __shared__ float x[64];
    x[threadIdx.x] = in[threadIdx.x]; // other: race_in_warp
    if (!AWRY)
        __syncwarp();
    out[threadIdx.x] = x[threadIdx.x ^ 1]; // at: race_in_warp
}

// One warp overwrites in its second turn of the loop what the other still reads in its first.
KERNEL(race_in_loop) {
    __shared__ float x[64];
    float sum = 0.0f;
#pragma unroll 1
    for (int i = 0; i < 2; i++) {
        x[threadIdx.x] = in[threadIdx.x ^ i]; // other: race_in_loop
        __syncthreads();
        sum += x[63 - threadIdx.x]; // at: race_in_loop
        if (!AWRY)
            __syncthreads();
    }
    out[threadIdx.x] = sum;
}

KERNEL(one_place) {
    __shared__ float x[64];
    x[AWRY ? threadIdx.x / 2 : threadIdx.x] = in[threadIdx.x]; // at: one_place
    __syncthreads();
    out[threadIdx.x] = x[threadIdx.x / 2];
}

KERNEL(no_wait) {
    __shared__ float x[64];
    const unsigned to = (unsigned)__cvta_generic_to_shared(x + threadIdx.x);
    asm volatile("cp.async.ca.shared.global [%0], [%1], 4;" ::"r"(to), "l"(in + threadIdx.x) : "memory"); // other: no_wait
    asm volatile("cp.async.commit_group;" ::: "memory");
    if (!AWRY)
        asm volatile("cp.async.wait_group 0;" ::: "memory");
    __syncthreads();
    out[threadIdx.x] = x[63 - threadIdx.x]; // at: no_wait
}

// Each thread waited for its own copies alone.
KERNEL(no_barrier) {
    __shared__ float x[64];
    x[threadIdx.x] = 0.0f;
    __syncthreads();
    const unsigned to = (unsigned)__cvta_generic_to_shared(x + threadIdx.x);
    asm volatile("cp.async.ca.shared.global [%0], [%1], 4;" ::"r"(to), "l"(in + threadIdx.x) : "memory"); // at: no_barrier
    asm volatile("cp.async.wait_all;" ::: "memory");
    if (!AWRY)
        __syncthreads();
    out[threadIdx.x] = x[63 - threadIdx.x]; // other: no_barrier
}

KERNEL(barrier) {
    __shared__ float x[64];
    x[threadIdx.x] = in[threadIdx.x];
    if (!AWRY || threadIdx.x < 48) {
        __syncthreads(); // at: barrier
        out[threadIdx.x] = x[47 - threadIdx.x % 48];
    }
}

KERNEL(endless) {
    volatile int turns = 3;
    while (turns != 0)
        turns -= AWRY ? 0 : 1; // at: endless
    out[threadIdx.x] = in[threadIdx.x];
}
