/* Kiln: fused inference kernels, compiled at run time, tuned on the device, remembered, replayed as graphs.
 *
 * The shortest use, a net:
 *
 *     kiln_context *context;  kiln_device *device;  kiln_queue *queue;  kiln_net *net;  kiln_session *session;
 *     kiln_context_create(NULL, &context);
 *     kiln_device_find(context, NULL, &device);
 *     kiln_queue_create(device, &queue);
 *     kiln_net_open(context, "net.bin.gz", &net);
 *     kiln_session_create(net, queue, NULL, &session);
 *     kiln_session_run(session, batch, inputs, outputs);
 *
 * and a single operation:
 *
 *     kiln_problem_parse(context, "gemm:m=64,n=256,k=256,ep=bias+relu", &problem);
 *     kiln_plan_create(device, &problem, NULL, &plan);
 *     kiln_binding_create(plan, queue, views, n_views, (kiln_view){0}, &binding);
 *     kiln_binding_run(binding);
 *     kiln_queue_finish(queue);
 *
 * Each call returns a kiln_status; kiln_last_error() says what exactly failed. Destroy in the opposite order.
 *
 * Environment, read once by kiln_context_create (its options win):
 *
 *     KILN_CACHE_DIR       the store; default $XDG_CACHE_HOME/kiln, else $HOME/.cache/kiln; empty: none
 *     KILN_CACHE_PATH      read-only store layers, colon-separated
 *     KILN_MODE            default, reference or strict
 *     KILN_DEVICE          device to use when none is named, e.g. opencl:0
 *     KILN_LOG             off, error, warn, info or debug
 *     KILN_KERNEL_DIR      load kernel sources from this folder (for writing kernels)
 *     KILN_TEAM            0: graphs on CPU devices enqueue each step instead of running all in one kernel
 *     KILN_WORKER          kiln-worker, if it is not beside the library or the program
 *     KILN_OPENCL_LIBRARY  OpenCL loader to open instead of libOpenCL.so.1
 *     KILN_CUDA_LIBRARY    CUDA driver to open instead of libcuda.so.1
 *     KILN_NVRTC_LIBRARY   NVRTC to open; default libnvrtc.so.13 or .12: the loader's path, CUDA_PATH, CUDA_HOME,
 *                          VIRTUAL_ENV, CONDA_PREFIX, /usr/local/cuda*, Python's wheels
 *     KILN_NULL_SCRIPT     file that scripts the null backend (tests); without it the null backend has no device
 *
 * In this release types are float32 and the backends are OpenCL, CUDA and the scripted null backend. */
#ifndef KILN_KILN_H
#define KILN_KILN_H

#include <kiln/bench.h>
#include <kiln/cache.h>
#include <kiln/compile.h>
#include <kiln/context.h>
#include <kiln/device.h>
#include <kiln/graph.h>
#include <kiln/net.h>
#include <kiln/plan.h>
#include <kiln/problem.h>
#include <kiln/status.h>
#include <kiln/tune.h>

#endif
