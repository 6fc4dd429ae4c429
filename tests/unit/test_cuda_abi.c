/* cuda_abi.h against the vendor's cuda.h and nvrtc.h, where a toolkit was there to configure with. */
#include "backends/cuda_abi.h"
#include "cuda_abi_numbers.h"
#include "testing.h"

/* What the lists claim, whether or not there is anything to compare with. */
static void check_lists(void) {
#define CLAIM(name, value)   CHECK((name) == (value));
#define CLAIM_ALL(type, map) map(CLAIM)
    CUDA_ABI_ENUMS(CLAIM_ALL)
    CUDA_ABI_FLAGS(CLAIM)
}

int main(void) {
    check_lists();
#ifdef KILN_TEST_CUDA_HEADERS
    static const cuda_abi_number ours[] = CUDA_ABI_NUMBERS;
    size_t n = 0;
    for (; ours[n].name && cuda_abi_real[n].name; n++) {
        CHECK_STR(ours[n].name, cuda_abi_real[n].name);
        if (ours[n].value != cuda_abi_real[n].value)
            fprintf(stderr, "%s: %lld here, %lld in the toolkit\n", ours[n].name, ours[n].value,
                    cuda_abi_real[n].value);
        CHECK(ours[n].value == cuda_abi_real[n].value);
    }
    CHECK(!ours[n].name && !cuda_abi_real[n].name);
    printf("%zu numbers\n", n);
    return test_end();
#else
    if (test_failures)
        return test_end();
    SKIP("no cuda.h and nvrtc.h when this was configured: set CUDA_PATH to a toolkit and configure again");
#endif
}
