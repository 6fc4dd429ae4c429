#include "arch.h"
#include <string.h>

bool arch_list_parse(const char *text, arch_list *out) {
    out->n = 0;
    for (const char *at = text;; at++) {
        const size_t length = strcspn(at, ",");
        if (length == 0 || length >= sizeof out->names[0] || out->n == MAX_ARCHS)
            return false;
        memcpy(out->names[out->n], at, length);
        out->names[out->n++][length] = 0;
        at += length;
        if (!*at)
            return true;
    }
}

/* Shapes of nets as they are, then small and odd ones, in every type. A family that is missing here is an error of
 * `kiln compile --all`. */
const char *const compile_problems[] = {
    "affine:n=8,h=9,w=9,c=256,form=scale_shift,gate=sigmoid,ep=res+relu",
    "affine:n=3,h=5,w=7,c=33,ohalo=2,form=shift,type=f16,ep=sum+bn+gelu+mask",
    "affine:n=2,h=9,w=9,c=64,ihalo=1,form=scale,type=bf16,ep=silu",
    "block:n=8,h=9,w=9,c=128,se=scale,r=32",
    "block:n=2,h=9,w=9,c=64,se=scale_shift,r=4,type=f16",
    "block:n=1,h=5,w=7,c=19,act=mish,type=bf16",
    "conv:n=8,h=9,w=9,ic=256,oc=256,kh=3,kw=3,ihalo=1,ohalo=1,ep=bias+res+relu",
    "conv:n=1,h=19,w=19,ic=22,oc=96,kh=5,kw=5,ihalo=2,ohalo=1,ep=nbias+sum+bn+relu+mask",
    "conv:n=2,h=9,w=9,ic=96,oc=32,kh=1,kw=1,ihalo=1,ep=bias+gelu",
    "conv:n=8,h=9,w=9,ic=96,oc=96,kh=3,kw=3,ihalo=1,ohalo=1,type=f16,ep=res+sum+bn+mish+mask",
    "conv:n=2,h=5,w=4,ic=7,oc=13,kh=3,kw=3,ihalo=1,type=f16,ep=scale+bias+nbias+tanh",
    "conv:n=8,h=19,w=19,ic=128,oc=128,kh=3,kw=3,ihalo=1,type=bf16,ep=bn+silu",
    "conv:n=2,h=9,w=9,ic=64,oc=48,kh=3,kw=3,compute=tf32,ep=bias+relu",
    "gemm:m=512,n=1024,k=256,ep=bias+gelu",
    "gemm:m=17,n=13,k=29,ep=scale+bias+res+sum+bn+relu+mask",
    "gemm:m=512,n=1024,k=256,type=f16,ep=bias+res+silu",
    "gemm:m=17,n=13,k=29,type=f16,ep=scale+sigmoid",
    "gemm:m=361,n=128,k=64,type=bf16,ep=scale+bias+res+sum+bn+mish+mask",
    "gemm:m=512,n=256,k=256,compute=tf32,ep=bias+relu",
    "global_pool:n=8,h=9,w=9,c=32,form=katago,mask=1",
    "global_pool:n=2,h=5,w=8,c=33,form=mean_max_std,mask=1,type=f16",
    "global_pool:n=5,h=9,w=9,c=32,form=katago_value,ihalo=1,type=bf16",
    "se_block:n=8,h=9,w=9,c=256,r=64,ihalo=1,ohalo=1,form=scale,ep=res+relu",
    "se_block:n=3,h=9,w=9,c=256,r=16,form=scale_shift,type=f16,ep=res+relu",
    "se_block:n=2,h=5,w=7,c=33,r=13,form=scale_shift,mask=1,type=bf16,ep=res+sum+bn+mish+mask",
    NULL,
};
