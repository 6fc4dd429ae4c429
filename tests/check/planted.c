/* Can the harness fail? A copy of the kernels with an error planted in one device source must make `check` exit with a
 * failure, and the unchanged copy must not. The first argument is the path of `check`. */
#include "scratch.h"
#include "testing.h"
#include <spawn.h>
#include <sys/wait.h>

extern char **environ;

typedef struct {
    const char *file, *from, *to; /* what is replaced, once */
    const char *problem, *variant;
} plant;

static const plant plants[] = {
    /* one epilogue part with the wrong sign */
    {"epilogue.h", "x = x + LOAD(ep_bias", "x = x - LOAD(ep_bias", "gemm:m=3,n=5,k=4,ep=bias", "ref"},
    /* one neighbour too far */
    {"conv/ref.cl", "x + kx - KC_KW / 2", "x + kx - KC_KW / 2 + 1", "conv:n=1,h=3,w=3,ic=2,oc=2,kh=3,kw=3", "ref"},
    /* the last row is not stored */
    {"gemm/ref.cl", "index >= (size_t)rows * KC_N", "index + KC_N >= (size_t)rows * KC_N", "gemm:m=3,n=5,k=4", "ref"},
    /* one element past the end is written */
    {"gemm/ref.cl", "c + index + j)", "c + index + j); KILN_STORE_STORED(value, c + index + j + 1)", "gemm:m=3,n=5,k=4",
     "ref"},
    /* the halo is written */
    {"conv/ref.cl", "y + KC_OHALO;", "y + KC_OHALO - 1;", "conv:n=1,h=3,w=3,ic=2,oc=2,kh=3,kw=3,ohalo=1", "ref"},
    /* stored without rounding */
    {"dialect.h", "vstore_half_rte", "vstore_half_rtz", "gemm:m=9,n=8,k=40,type=f16", "ref"},
    {"dialect.h", "(bits + 0x7fff", "(bits + 0x0000", "gemm:m=9,n=8,k=40,type=bf16", "ref"},
    /* points that do not count do */
    {"global_pool/ref.cl", "(KILN_LOAD_STORED(mask + (point)) != 0.0f)", "1",
     "global_pool:n=2,h=3,w=3,c=2,form=mean,mask=1", "ref"},
};

static void copy_file(const char *root, const char *name, const char *folder, const plant *p) {
    char from[1024], to[1024];
    size_t bytes;
    snprintf(from, sizeof from, "%s/kernels/%s", root, name);
    snprintf(to, sizeof to, "%s/%s", folder, name);
    char *text = scratch_read(from, &bytes);
    FILE *f = fopen(to, "w");
    REQUIRE(f != NULL);
    char *hit = p && strcmp(name, p->file) == 0 ? strstr(text, p->from) : NULL;
    if (hit) {
        fprintf(f, "%.*s%s%s", (int)(hit - text), text, p->to, hit + strlen(p->from));
    } else {
        CHECK(!p || strcmp(name, p->file) != 0); /* the text to replace is gone: choose another */
        fwrite(text, 1, bytes, f);
    }
    fclose(f);
    free(text);
}

static void copy_kernels(const char *folder, const plant *p) {
    static const char *const files[] = {"dialect.h", "epilogue.h", "conv/ref.cl", "gemm/ref.cl", "global_pool/ref.cl"};
    const char *root = getenv("KILN_SOURCE_DIR");
    for (size_t i = 0; i < sizeof files / sizeof *files; i++)
        copy_file(root ? root : ".", files[i], folder, p);
}

/* The exit status of `check`, its complaints unheard. */
static int run_check(const char *check, const plant *p) {
    char *argv[] = {(char *)check, "--problem", (char *)p->problem, "--variant", (char *)p->variant, NULL};
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, "/dev/null", 1 /* O_WRONLY */, 0);
    posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, "/dev/null", 1, 0);
    pid_t pid;
    int status = 0;
    REQUIRE(posix_spawn(&pid, check, &actions, NULL, argv, environ) == 0);
    posix_spawn_file_actions_destroy(&actions);
    REQUIRE(waitpid(pid, &status, 0) == pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

int main(int argc, char **argv) {
    REQUIRE(argc == 2);
    char folder[256], sub[300];
    scratch_make(folder);
    for (const char *const *name = (const char *const[]){"conv", "gemm", "global_pool", NULL}; *name; name++) {
        snprintf(sub, sizeof sub, "%s/%s", folder, *name);
        REQUIRE(mkdir(sub, 0700) == 0);
    }
    setenv("KILN_KERNEL_DIR", folder, 1);
    setenv("KILN_CACHE_DIR", "", 1);
    for (size_t i = 0; i < sizeof plants / sizeof *plants; i++) {
        copy_kernels(folder, NULL);
        const int sound = run_check(argv[1], &plants[i]);
        if (sound == TEST_SKIPPED) {
            scratch_remove(folder);
            SKIP("check found no device");
        }
        CHECK(sound == 0);
        copy_kernels(folder, &plants[i]);
        const int planted = run_check(argv[1], &plants[i]);
        if (planted != 1)
            fprintf(stderr, "%s with \"%s\": check exits with %d\n", plants[i].file, plants[i].to, planted);
        CHECK(planted == 1);
    }
    scratch_remove(folder);
    return test_end();
}
