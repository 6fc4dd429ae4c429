/* Teams: on a CPU, what a graph has recorded runs as one kernel (kernels/team/team.cpu.cl).
 *
 * Starting a kernel on a CPU wakes threads, which takes longer than many kernels run. A team is woken once a launch:
 * each of its members, one for each core, walks through the steps and takes its share of each; between two steps they
 * wait for each other without sleeping. Steps join a team if their work-groups have one work-item, as those of all
 * `.cpu.cl` kernels have, or if they copy or fill; the others are enqueued by themselves, between teams. */
#ifndef KILN_GRAPHS_TEAM_H
#define KILN_GRAPHS_TEAM_H

#include "graph.h"

/* Makes the teams of a graph that has ended. KILN_E_UNSUPPORTED: no steps to merge, or the device cannot; with the
 * reason. The program is compiled, or loaded from the store like any other. */
kiln_status kiln__team_build(const kiln_graph *graph, kiln_team **out);
void kiln__team_destroy(kiln_team *team);

/* Node `index` of the graph uses other memory. */
kiln_status kiln__team_patch(kiln_team *team, size_t index);

/* Enqueues a whole replay. Allocates nothing and takes no lock. */
kiln_status kiln__team_launch(const kiln_team *team);

/* Commands that a replay enqueues. */
size_t kiln__team_commands(const kiln_team *team);

#endif
