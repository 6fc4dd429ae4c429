#include "topology.h"
#include <hwloc.h>
#include <stdio.h>
#include <string.h>

/* hwloc's own GPU components would load the drivers we load ourselves, and cost seconds; its x86 one moves the thread
 * to every core in turn, for details that the kernel's files tell as well. */
static void leave_out_components(hwloc_topology_t topology) {
    static const char *const components[] = {"opencl", "cuda", "nvml", "rsmi", "levelzero", "gl", "x86"};
    for (size_t i = 0; i < sizeof components / sizeof *components; i++)
        (void)hwloc_topology_set_components(topology, HWLOC_TOPOLOGY_COMPONENTS_FLAG_BLACKLIST, components[i]);
}

static bool open_topology(hwloc_topology_t *out, bool with_pci) {
    if (hwloc_topology_init(out) != 0)
        return false;
    leave_out_components(*out);
    if (with_pci)
        hwloc_topology_set_io_types_filter(*out, HWLOC_TYPE_FILTER_KEEP_IMPORTANT);
    if (hwloc_topology_load(*out) == 0)
        return true;
    hwloc_topology_destroy(*out);
    return false;
}

/* The one memory node of a set of cores, or -1. */
static int32_t only_node(hwloc_const_cpuset_t cores, hwloc_topology_t topology) {
    hwloc_nodeset_t nodes = hwloc_bitmap_alloc();
    int32_t node = -1;
    if (nodes) {
        hwloc_cpuset_to_nodeset(topology, cores, nodes);
        if (hwloc_bitmap_weight(nodes) == 1)
            node = hwloc_bitmap_first(nodes);
        hwloc_bitmap_free(nodes);
    }
    return node;
}

static void place(kiln_device *d, hwloc_const_cpuset_t cores, hwloc_topology_t topology) {
    if (!cores || hwloc_bitmap_iszero(cores))
        return;
    d->numa_node = only_node(cores, topology);
    const int n = hwloc_bitmap_list_snprintf(d->near_cores, sizeof d->near_cores, cores);
    if (n < 0 || (size_t)n >= sizeof d->near_cores) /* half a list would be a wrong one */
        d->near_cores[0] = 0;
}

/* Where this process may run. */
static hwloc_cpuset_t own_cores(hwloc_topology_t topology) {
    hwloc_cpuset_t cores = hwloc_bitmap_alloc();
    if (cores && hwloc_get_cpubind(topology, cores, HWLOC_CPUBIND_PROCESS) != 0)
        hwloc_bitmap_copy(cores, hwloc_topology_get_allowed_cpuset(topology));
    if (cores)
        hwloc_bitmap_and(cores, cores, hwloc_topology_get_topology_cpuset(topology));
    return cores;
}

void kiln__topology_fill(kiln_context *context) {
    bool with_pci = false;
    for (size_t i = 0; i < context->n_devices; i++)
        with_pci = with_pci || context->devices[i]->desc.pci;
    hwloc_topology_t topology;
    if (!open_topology(&topology, with_pci))
        return;
    hwloc_cpuset_t cores = own_cores(topology);
    for (size_t i = 0; i < context->n_devices; i++) {
        kiln_device *d = context->devices[i];
        if (d->desc.pci) {
            hwloc_obj_t bus = hwloc_get_pcidev_by_busidstring(topology, d->desc.pci);
            hwloc_obj_t near = bus ? hwloc_get_non_io_ancestor_obj(topology, bus) : NULL;
            if (near)
                place(d, near->cpuset, topology);
        } else if (d->desc.caps.kind == KILN_DEVICE_CPU) {
            place(d, cores, topology);
        }
    }
    hwloc_bitmap_free(cores);
    hwloc_topology_destroy(topology);
}

unsigned kiln__topology_cores(void) {
    hwloc_topology_t topology;
    if (!open_topology(&topology, false))
        return 1;
    hwloc_cpuset_t cores = own_cores(topology);
    int n = 0;
    if (cores) {
        n = hwloc_get_nbobjs_inside_cpuset_by_type(topology, cores, HWLOC_OBJ_CORE);
        if (n <= 0) /* a part of a core's threads, or a machine that does not tell */
            n = hwloc_bitmap_weight(cores);
    }
    hwloc_bitmap_free(cores);
    hwloc_topology_destroy(topology);
    return n > 0 ? (unsigned)n : 1;
}
