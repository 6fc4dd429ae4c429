/* Which of a net's tensors keep their halo, chosen by time.
 *
 * A halo of zeros spares the convolution that reads a tensor all tests for the board's edge; without it the tensor is
 * smaller and every other reader and writer walks it in one run. What is faster depends on the variants that win. The
 * halos of its input and output are part of an op's problem, so each choice has problems, and times, of its own; beyond
 * these a halo costs nothing, since its zeros are written once, when memory is made.
 *
 * An op couples at most two tensors that have a choice, its input and its output: what is added is compact in any case.
 * A tensor has one op that writes it, so the couplings form a forest, and one walk from the last op to the first finds
 * the cheapest choice of all, with any number of readers and across residual sums. */
#ifndef KILN_NETS_HALOS_H
#define KILN_NETS_HALOS_H

#include "device.h"
#include "layout.h"
#include "strbuf.h"

/* The times of two problems are seldom taken at once: an op that changes counts with this times its own. */
#define KILN_HALO_MARGIN 1.03

/* Gives the microseconds of a problem, or 0 where nothing is known. `usual`: the problem that it could replace, or
 * itself. */
typedef kiln_status (*kiln_halo_cost)(void *user, const kiln_problem *problem, const kiln_problem *usual, double *us);

/* That of the fastest sound record of graph replay, on the scale of the usual problem's records if it was compared with
 * it; `user` is the kiln_device. */
kiln_status kiln__halos_recorded_us(void *user, const kiln_problem *problem, const kiln_problem *usual, double *us);

typedef struct kiln_halo_choice {
    size_t n_tensors, n_changed; /* that have a usual halo; of them, that are better off without */
    double usual_us, chosen_us;  /* sums over the ops whose time is known */
} kiln_halo_choice;

/* Chooses on an open layout with the usual halos. A choice needs the time of every op that it changes, and has to
 * promise more than noise: where nothing is known all stays as it is. Says why in `why`. */
kiln_status kiln__halos_choose(kiln_layout *layout, kiln_halo_cost cost, void *user, kiln_halo_choice *out,
                               kiln_strbuf *why);

/* Takes all halos away. */
void kiln__halos_drop(kiln_layout *layout);

/* Visits what each op may become: its problem with other halos than the usual ones, and the usual problem. `likely`:
 * with no halo at all, which is where neighbours that change too lead; else the edge of a region that changes. */
typedef kiln_status (*kiln_halo_visit)(void *user, const kiln_problem *problem, const kiln_problem *usual, bool likely);
kiln_status kiln__halos_alternatives(kiln_layout *layout, kiln_halo_visit visit, void *user);

#endif
