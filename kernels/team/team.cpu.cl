/* A graph in one kernel, for CPUs (graphs/team.h): every work-group walks through the steps and takes its share of
 * each.
 *
 *     table  step 0 [kind gx gy total chunk 0 0 0 | arguments]     sync  step 0 [next ...][done ...]
 *            step 1 [...                                 ]               step 1 [...     ][...     ]
 *                                                                        run 0  [left ...]
 *
 * A step's tiles are handed out by `next`; the step has ended when `done` has reached its total. Nobody waits for a
 * group that has not begun: those that run do all the work, one that comes late finds the steps done. So the kernel
 * ends whatever number of groups the device runs at once. The last to leave resets the counters for the next launch.
 * A launch takes a run of steps; each run counts who left in a line of its own.
 *
 * Grid: x = members. What comes before this text defines KILN_TEAM_CASES, one `case` for each kernel of the team. */
#include "dialect.h"

#ifndef KILN_TEAM_CASES
#define KILN_TEAM_CASES
#endif

/* graphs/team.c writes the table by the same numbers. */
enum { KIND, GRID_X, GRID_Y, TOTAL, CHUNK, FIRST_ARG = 8, STEP_WORDS = 32 };
enum { COPY_ROWS, FILL, FIRST_KERNEL };
enum { LINE = 16 /* ints of a cache line */ };

#define ARG_POINTER(i) ((KILN_GLOBAL float *)step[FIRST_ARG + (i)])
#define ARG_I32(i)     ((int)step[FIRST_ARG + (i)])
#define ARG_F32(i)     as_float((int)step[FIRST_ARG + (i)])

#if defined(__x86_64__) || defined(__i386__)
#define RELAX() __asm__ volatile("pause")
#else
#define RELAX()
#endif

KILN_INLINE void copy_row(KILN_GLOBAL uchar *to, KILN_GLOBAL const uchar *from, long bytes) {
    if ((((long)to | (long)from | bytes) & 3) == 0) {
        for (long i = 0; i < bytes / 4; i++)
            ((KILN_GLOBAL uint *)to)[i] = ((KILN_GLOBAL const uint *)from)[i];
    } else {
        for (long i = 0; i < bytes; i++)
            to[i] = from[i];
    }
}

/* Row x of a strided copy; the last row has a length of its own. */
KILN_INLINE void copy_rows(KILN_GLOBAL const long *step, int x) {
    const long to = step[FIRST_ARG], to_pitch = step[FIRST_ARG + 1], from = step[FIRST_ARG + 2];
    const long from_pitch = step[FIRST_ARG + 3], row_bytes = step[FIRST_ARG + 4], last_bytes = step[FIRST_ARG + 5];
    copy_row((KILN_GLOBAL uchar *)(to + x * to_pitch), (KILN_GLOBAL const uchar *)(from + x * from_pitch),
             x == step[TOTAL] - 1 ? last_bytes : row_bytes);
}

KILN_INLINE void fill(KILN_GLOBAL const long *step, int x) {
    const long words = step[FIRST_ARG + 1], piece = step[FIRST_ARG + 2];
    KILN_GLOBAL uint *to = (KILN_GLOBAL uint *)step[FIRST_ARG] + x * piece;
    const long n = words - x * piece < piece ? words - x * piece : piece;
    for (long i = 0; i < n; i++)
        to[i] = (uint)step[FIRST_ARG + 3];
}

KILN_INLINE void tile(KILN_GLOBAL const long *step, int t, KILN_LOCAL float *scratch) {
    const int gx = (int)step[GRID_X], gy = (int)step[GRID_Y];
    const int x = t % gx, y = t / gx % gy, z = t / gx / gy;
    switch (step[KIND]) {
    case COPY_ROWS:
        copy_rows(step, x);
        break;
    case FILL:
        fill(step, x);
        break;
        KILN_TEAM_CASES
    }
}

KILN_KERNEL(kiln_team, 1, 1, 1)
(KILN_GLOBAL const long *table, KILN_GLOBAL volatile int *sync, int first_step, int n_steps,
 int left_line KILN_DYNAMIC_LOCAL_ARG(float, scratch)) {
    for (int s = first_step; s < first_step + n_steps; s++) {
        KILN_GLOBAL const long *step = table + s * STEP_WORDS;
        KILN_GLOBAL volatile int *next = sync + 2 * LINE * s, *done = next + LINE;
        const int total = (int)step[TOTAL], chunk = (int)step[CHUNK];
        int mine = 0;
        for (int first; (first = atomic_add(next, chunk)) < total;) {
            const int end = first + chunk < total ? first + chunk : total;
            for (int t = first; t < end; t++)
                tile(step, t, scratch);
            mine += end - first;
        }
        mem_fence(CLK_GLOBAL_MEM_FENCE);
        if (mine)
            atomic_add(done, mine);
        while (*done < total)
            RELAX();
        mem_fence(CLK_GLOBAL_MEM_FENCE);
    }
    KILN_GLOBAL volatile int *left = sync + LINE * left_line;
    if (atomic_inc(left) == (int)get_num_groups(0) - 1) {
        for (int i = 2 * first_step; i < 2 * (first_step + n_steps); i++)
            sync[LINE * i] = 0;
        *left = 0;
    }
}
