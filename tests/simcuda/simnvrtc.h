/* A look-alike of NVRTC that compiles nothing: libsimnvrtc.so answers with PTX that NVRTC emitted before. Kiln loads it
 * by KILN_NVRTC_LIBRARY, so that programs run on the simulated GPU where no NVRTC can be had, and where it can, without
 * compiling the same ones again.
 *
 * A program is known by the hashes of its source and of its options; the record (ptx.zst) has the NVRTC version and the
 * PTX of each. One that is not recorded is compiled by the real NVRTC, if there is one, and noted as missing; else its
 * compilation fails, and the log says what to do.
 *
 *     SIMNVRTC_PTX      the record
 *     SIMNVRTC_REAL     the real NVRTC; unset: where it usually is; empty: none
 *     SIMNVRTC_MISSING  a file that gets a line for every program that was not in the record
 *     SIMNVRTC_RECORD   a folder that gets a file for every program asked for: what record_ptx makes a record of
 *
 * A record is text below zstd: a line "kiln-ptx 1 NVRTC <major>.<minor>", then for each program a line
 * "<source hash> <options hash> <bytes> <name>" and its PTX. */
#ifndef SIMCUDA_SIMNVRTC_H
#define SIMCUDA_SIMNVRTC_H

#include "backends/cuda_abi.h"
#include <stdbool.h>

typedef struct ptx_key {
    uint64_t source, options;
} ptx_key;

ptx_key ptx_key_of(const char *source, int n_options, const char *const *options);

typedef struct ptx_entry {
    ptx_key key;
    const char *name, *ptx;
    size_t name_bytes, ptx_bytes; /* neither ends with a zero */
} ptx_entry;

typedef struct ptx_record {
    char *text;
    ptx_entry *entries;
    size_t n_entries;
    int major, minor; /* of the NVRTC that emitted it */
} ptx_record;

/* false: `why` says what is wrong with the file. */
bool ptx_record_read(ptx_record *r, const char *path, char *why, size_t why_bytes);
void ptx_record_free(ptx_record *r);
const ptx_entry *ptx_record_find(const ptx_record *r, ptx_key key);
/* A program of this name was recorded from another source. */
bool ptx_record_is_stale(const ptx_record *r, const char *name, ptx_key key);

#endif
