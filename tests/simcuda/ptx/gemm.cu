// C = A B with square matrices of n rows, n a multiple of 64: a work-group of 256 threads makes a 64 x 64 tile, 4 x 4 a thread.
extern "C" __global__ void __launch_bounds__(256) gemm(const float *a, const float *b, float *c, int n) {
    __shared__ float sa[16][64 + 4], sb[16][64];
    const int t = threadIdx.x, tx = t % 16, ty = t / 16;
    const int row = blockIdx.y * 64, col = blockIdx.x * 64;
    float acc[4][4] = {};
    for (int k0 = 0; k0 < n; k0 += 16) {
        for (int i = 0; i < 4; i++) sa[t % 16][t / 16 + 16 * i] = a[(row + t / 16 + 16 * i) * n + k0 + t % 16];
        for (int i = 0; i < 4; i++) sb[t / 64 + 4 * i][t % 64] = b[(k0 + t / 64 + 4 * i) * n + col + t % 64];
        __syncthreads();
        for (int k = 0; k < 16; k++) {
            float x[4], y[4];
            for (int i = 0; i < 4; i++) { x[i] = sa[k][ty * 4 + i]; y[i] = sb[k][tx * 4 + i]; }
            for (int i = 0; i < 4; i++) for (int j = 0; j < 4; j++) acc[i][j] = fmaf(x[i], y[j], acc[i][j]);
        }
        __syncthreads();
    }
    for (int i = 0; i < 4; i++) for (int j = 0; j < 4; j++) c[(row + ty * 4 + i) * n + col + tx * 4 + j] = acc[i][j];
}
