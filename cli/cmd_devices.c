/* kiln devices: what there is to run on, and why there is not more. */
#include "cli.h"
#include <stdio.h>

static const char *const kinds[] = {"-", "CPU", "GPU", "other"};

static const output_column columns[] = {
    {"name", "device", NULL},       {"kind", "kind", NULL},        {"model", "model", NULL},
    {"units", "units", NULL},       {"memory_gib", "GiB", "%.1f"}, {"near_cores", "cores", NULL},
    {"features", "features", NULL},
};

static void add_device(output *out, const kiln_device_info *d) {
    output_row(out);
    output_cell_text(out, "name", d->name);
    output_cell_text(out, "backend", d->backend);
    output_cell_text(out, "kind", kinds[d->kind <= KILN_DEVICE_OTHER ? d->kind : 0]);
    output_cell_text(out, "model", d->model);
    output_cell_text(out, "vendor", d->vendor);
    output_cell_text(out, "driver", d->driver);
    output_cell_text(out, "compiler", d->compiler);
    output_cell_text(out, "fingerprint", d->fingerprint);
    output_cell_number(out, "units", d->units);
    output_cell_number(out, "vector_floats", d->vector_floats);
    output_cell_number(out, "max_group_size", d->max_group_size);
    output_cell_number(out, "memory_gib", (double)d->memory_bytes / (1 << 30));
    output_cell_number(out, "memory_bytes", (double)d->memory_bytes);
    output_cell_number(out, "max_alloc_bytes", (double)d->max_alloc_bytes);
    output_cell_number(out, "local_bytes", (double)d->local_bytes);
    output_cell_bool(out, "has_native_graphs", d->has_native_graphs);
    output_cell_bool(out, "has_clusters", d->has_clusters);
    output_cell_bool(out, "has_f16", d->has_f16);
    output_cell_number(out, "numa_node", d->numa_node);
    output_cell_text(out, "near_cores", d->near_cores);
    output_cell_text(out, "features", d->features);
    output_cell_text(out, "arch", d->arch);
    output_cell_number(out, "compute_capability", d->compute_capability);
}

static int run(cli_state *cli, int argc, char **argv) {
    const option options[] = {{0}};
    int status = cli_options(cli, argc, argv, options, NULL, 0, 0);
    if (status || (status = cli_open(cli)))
        return status;
    const size_t n = kiln_device_count(cli->context);
    output out;
    output_begin(&out, cli->json);
    output_table(&out, "devices", columns, sizeof columns / sizeof columns[0]);
    for (size_t i = 0; i < n; i++) {
        kiln_device_info info = KILN_DEVICE_INFO_INIT;
        if (kiln_device_get_info(kiln_device_at(cli->context, i), &info) == KILN_OK)
            add_device(&out, &info);
    }
    output_table_end(&out);
    if (cli->json)
        output_text(&out, "report", NULL, kiln_device_report(cli->context));
    else
        printf("%s%s", n ? "\n" : "", kiln_device_report(cli->context));
    status = output_end(&out);
    if (n == 0) {
        fprintf(stderr,
                "kiln: no device. On Debian and Ubuntu, apt-get install pocl-opencl-icd gives the CPU as one\n");
        status = 1;
    }
    return status;
}

const command command_devices = {
    .name = "devices",
    .usage = "devices",
    .summary = "List the devices that Kiln can run on, and what each backend found",
    .help = "Devices are in order of preference: the first is used when none is named. `cores` are those next to\n"
            "the device. Below the table is one line for each backend that says what was found, or why nothing\n"
            "was. Without any device the exit status is 1.\n\n"
            "Example: kiln devices --json\n",
    .run = run,
};
