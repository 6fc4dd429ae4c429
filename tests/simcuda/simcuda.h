/* What libsimcuda.so exports beside the driver's functions, for tests that look it up with dlsym. */
#ifndef SIMCUDA_SIMCUDA_H
#define SIMCUDA_SIMCUDA_H

#include "sim.h"

/* Forgets everything (contexts, memory, counts) and reads the environment again: a test may run many cases in one
 * process. First it writes what is otherwise written at exit. */
void simcuda_reset(void);

/* How many things were not released; `text` (may be NULL) has a line for each. */
size_t simcuda_ledger(char *text, size_t bytes);

/* What the launches of a device cost so far. */
void simcuda_meter(int device, sim_meter *out);

#endif
