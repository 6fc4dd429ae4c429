/* Every way a description of a net can be wrong: what is said of it, and with which status. */
#include "tensor_file.h"

static kiln_context *context;

static void tensors_wrong(file *f) {
    add_conv(f, "w", 4, 2, 3), add(f, "b", 0, 1, SHAPE(4)), add_norm(f, "n", 4);
    add_conv(f, "even", 4, 2, 2), add_conv(f, "deep", 4, 3, 3), add(f, "flat", 0, 1, SHAPE(4, 18));
    add(f, "fc1.weight", 0, 1, SHAPE(2, 2)), add(f, "fc2.weight", 0, 1, SHAPE(2, 2));
    add(f, "wide.weight", 0, 1, SHAPE(4, 2)), add(f, "half.weight", 0, 1, SHAPE(4));
    add(f, "half.running_mean", 0, 1, SHAPE(4)), add(f, "half.running_var", 1, 0, SHAPE(4));
    add(f, "minus.running_mean", 0, 1, SHAPE(4)), add(f, "minus.running_var", -1, 0, SHAPE(4));
    add(f, "nan", 0, 1, SHAPE(4, 2, 3, 3))->data[5] = NAN;
    add(f, "nan_bias", 0, 1, SHAPE(4))->data[1] = INFINITY;
    add(f, "huge", 3e38, 0, SHAPE(4, 2, 3, 3)), add(f, "tiny.running_var", 1e-30, 0, SHAPE(4));
    add(f, "tiny.running_mean", 0, 1, SHAPE(4));
}

#define HEAD "{'name':'n','board':3,'inputs':[{'name':'x','shape':'board','channels':2}],'layers':["
#define TAIL "],'outputs':[{'name':'y','from':'a'}]}"
#define CONV "{'op':'conv','in':'x','out':'a','weights':'w'"

typedef struct wrong {
    const char *description;
    kiln_status status;
    const char *what;
} wrong;

static const wrong layers[] = {
    {CONV "}", KILN_OK, ""},
    {CONV ",'bias':'b','bn':'n','act':'mish'}", KILN_OK, ""},
    {"{'op':'conv3d','in':'x','out':'a','weights':'w'}", KILN_E_UNSUPPORTED, "conv3d"},
    {"{'op':'conv3d','in':'x','out':'a','weights':'w'}", KILN_E_UNSUPPORTED, "layer 0 \"a\""},
    {"{'in':'x','out':'a','weights':'w'}", KILN_E_PARSE, "\"op\""},
    {"{'op':'conv','out':'a','weights':'w'}", KILN_E_PARSE, "needs a key \"in\""},
    {"{'op':'conv','in':'x','weights':'w'}", KILN_E_PARSE, "needs a key \"out\""},
    {"{'op':'conv','in':'x','out':'a'}", KILN_E_PARSE, "needs a key \"weights\""},
    {CONV ",'stride':'2'}", KILN_E_UNSUPPORTED, "unknown key \"stride\""},
    {CONV ",'gates':'x'}", KILN_E_UNSUPPORTED, "\"conv\" has no key \"gates\""},
    {CONV ",'act':'relu','act':'relu'}", KILN_E_PARSE, "\"act\" twice"},
    {CONV ",'act':7}", KILN_E_PARSE, "\"act\" is not a text"},
    {CONV ",'act':''}", KILN_E_PARSE, "0 bytes"},
    {CONV ",'act':'a\\nb'}", KILN_E_PARSE, "control character"},
    {CONV ",'act':'swish9'}", KILN_E_UNSUPPORTED, "swish9"},
    {CONV ",'bias':'nothing'}", KILN_E_INVALID, "no tensor \"nothing\""},
    {CONV ",'bias':'flat'}", KILN_E_INVALID, "\"flat\" has 72 values in 2 dimensions"},
    {CONV ",'bias':'nan_bias'}", KILN_E_INVALID, "NaN or infinite"},
    {CONV ",'residual':'x'}", KILN_E_INVALID, "residual"},
    {CONV ",'residual':'later'}", KILN_E_INVALID, "\"later\", which no input or earlier layer makes"},
    {CONV ",'residual':'a'}", KILN_E_INVALID, "earlier layer"},
    {CONV ",'item_bias':'x'}", KILN_E_INVALID, "nbias"},
    {CONV ",'sum':'a'}", KILN_E_INVALID, "both \"a\""},
    {CONV ",'sum':'x'}", KILN_E_INVALID, "\"x\" already"},
    {CONV ",'bn':'nothing'}", KILN_E_INVALID, "nothing.running_var"},
    {CONV ",'bn':'half'}", KILN_E_INVALID, "half.bias"},
    {CONV ",'bn':'minus'}", KILN_E_INVALID, "variance of -1"},
    {CONV ",'bn':7}", KILN_E_PARSE, "not a JSON object"},
    {CONV ",'bn':{}}", KILN_E_PARSE, "prefix"},
    {CONV ",'bn':{'prefix':'n','eps':'x'}}", KILN_E_PARSE, "eps"},
    {CONV ",'bn':{'prefix':'n','eps':-1}}", KILN_E_PARSE, "eps"},
    {CONV ",'bn':{'prefix':'n','mean':'n.running_mean'}}", KILN_E_PARSE, "both a prefix and a mean"},
    {CONV ",'bn':{'prefix':'n','momentum':0.1}}", KILN_E_UNSUPPORTED, "momentum"},
    {CONV ",'bn':{'mean':'n.running_mean'}}", KILN_E_PARSE, "mean and var"},
    {"{'op':'conv','in':'x','out':'a','weights':'huge','bn':{'prefix':'tiny','eps':0}}", KILN_E_INVALID, "\"huge\""},
    {"{'op':'conv','in':'x','out':'x','weights':'w'}", KILN_E_INVALID, "\"x\" already"},
    {"{'op':'conv','in':'z','out':'a','weights':'w'}", KILN_E_INVALID, "\"z\""},
    {"{'op':'conv','in':'x','out':'a','weights':'nan'}", KILN_E_INVALID, "NaN"},
    {"{'op':'conv','in':'x','out':'a','weights':'b'}", KILN_E_INVALID, "\"b\" has 1 dimensions"},
    {"{'op':'conv','in':'x','out':'a','weights':'even'}", KILN_E_UNSUPPORTED, "odd"},
    {"{'op':'conv','in':'x','out':'a','weights':'deep'}", KILN_E_INVALID, "2 channels"},
    {"{'op':'linear','in':'x','out':'a','weights':'flat'}", KILN_OK, ""},
    {"{'op':'linear','in':'x','out':'a','weights':'w'}", KILN_E_INVALID, "[out][in]"},
    {"{'op':'linear','in':'x','out':'a','weights':'fc1.weight'}", KILN_E_INVALID, "takes 2 values where \"x\" has 18"},
    {"{'op':'linear','in':'x','out':'a','weights':'flat','sum':'s'}", KILN_E_UNSUPPORTED, "sum"},
    {"{'op':'pool','in':'x','out':'a','form':'mean'}", KILN_OK, ""},
    {"{'op':'pool','in':'x','out':'a'}", KILN_E_PARSE, "form"},
    {"{'op':'pool','in':'x','out':'a','form':'median'}", KILN_E_UNSUPPORTED, "median"},
    {"{'op':'pool','in':'x','out':'v','form':'max'},{'op':'pool','in':'v','out':'a','form':'max'}", KILN_E_INVALID,
     "a vector of 2"},
    {"{'op':'pool','in':'x','out':'v','form':'max'},{'op':'conv','in':'v','out':'a','weights':'w'}", KILN_E_INVALID,
     "layer 1"},
    {"{'op':'se','in':'x','out':'a','fc1':'fc1','fc2':'fc2'}", KILN_OK, ""},
    {"{'op':'se','in':'x','out':'a','fc1':'fc1','fc2':'wide','form':'scale_shift'}", KILN_OK, ""},
    {"{'op':'se','in':'x','out':'a','fc1':'fc1','fc2':'wide'}", KILN_E_INVALID, "w2"},
    {"{'op':'se','in':'x','out':'a','fc1':'wide','fc2':'fc2'}", KILN_E_INVALID, "w2"},
    {"{'op':'se','in':'x','out':'a','fc1':'half','fc2':'fc2'}", KILN_E_INVALID, "[out][in]"},
    {"{'op':'se','in':'x','out':'a','fc1':'fc1','fc2':'fc2','form':'shift'}", KILN_E_UNSUPPORTED, "shift"},
    {"{'op':'se','in':'x','out':'a','fc1':'fc1','fc2':'fc2','item_bias':'x'}", KILN_E_UNSUPPORTED, "item_bias"},
    {"{'op':'affine','in':'x','out':'a','form':'shift','gates':'x'}", KILN_E_INVALID, "gates"},
    {"{'op':'affine','in':'x','out':'a','form':'shift','gates':'x','gate':'sigmoid'}", KILN_E_INVALID, "no scale"},
    {"{'op':'pool','in':'x','out':'v','form':'max'},{'op':'affine','in':'x','out':'a','form':'shift','gates':'v'}",
     KILN_OK, ""},
    {"{'op':'pool','in':'x','out':'v','form':'max'},{'op':'affine','in':'x','out':'a','form':'scale_shift','gates':"
     "'v'}",
     KILN_E_INVALID, "needed: a vector of 4"},
    {"{'op':'affine','in':'x','out':'a','form':'shift','gates':'v','gate':'tanh'}", KILN_E_UNSUPPORTED, "tanh"},
    {"7", KILN_E_PARSE, "not a JSON object"},
    {"", KILN_E_PARSE, "\"layers\""},
};

#define LAYERS  "'layers':[" CONV "}]"
#define INPUTS  "'inputs':[{'name':'x','channels':2}]"
#define OUTPUTS "'outputs':[{'name':'y','from':'a'}]"

static const wrong descriptions[] = {
    {"{'name':'n','board':3," INPUTS "," LAYERS "," OUTPUTS "}", KILN_OK, ""},
    {"", KILN_E_PARSE, "not JSON"},
    {"[]", KILN_E_PARSE, "not a JSON object"},
    {"{'name':'n'", KILN_E_PARSE, "not JSON"},
    {"{'name':'n'} x", KILN_E_PARSE, "byte 13"},
    {"{'board':3," INPUTS "," LAYERS "," OUTPUTS "}", KILN_E_PARSE, "\"name\" is missing"},
    {"{'name':'n'," INPUTS "," LAYERS "," OUTPUTS "}", KILN_E_PARSE, "\"board\""},
    {"{'name':'n','board':0," INPUTS "," LAYERS "," OUTPUTS "}", KILN_E_PARSE, "\"board\""},
    {"{'name':'n','board':1e9," INPUTS "," LAYERS "," OUTPUTS "}", KILN_E_PARSE, "1 to 256"},
    {"{'name':'n','board':2.5," INPUTS "," LAYERS "," OUTPUTS "}", KILN_E_PARSE, "whole number"},
    {"{'name':'n','board':3," INPUTS "," OUTPUTS "}", KILN_E_PARSE, "\"layers\""},
    {"{'name':'n','board':3," LAYERS "," OUTPUTS "}", KILN_E_PARSE, "\"inputs\""},
    {"{'name':'n','board':3," INPUTS "," LAYERS "}", KILN_E_PARSE, "\"outputs\""},
    {"{'name':'n','board':3," INPUTS "," LAYERS ",'outputs':[]}", KILN_E_PARSE, "\"outputs\""},
    {"{'name':'n','board':3," INPUTS "," LAYERS "," OUTPUTS ",'optimizer':'sgd'}", KILN_E_UNSUPPORTED, "optimizer"},
    {"{'name':'n','board':3,'inputs':[{'name':'x','channels':0}]," LAYERS "," OUTPUTS "}", KILN_E_PARSE, "input 0"},
    {"{'name':'n','board':3,'inputs':[{'name':'x','channels':2,'shape':'cube'}]," LAYERS "," OUTPUTS "}",
     KILN_E_UNSUPPORTED, "cube"},
    {"{'name':'n','board':3,'inputs':[{'name':'x','channels':2},{'name':'x','channels':2}]," LAYERS "," OUTPUTS "}",
     KILN_E_INVALID, "input 1"},
    {"{'name':'n','board':3," INPUTS "," LAYERS ",'outputs':[{'name':'y','from':'b'}]}", KILN_E_INVALID, "\"b\""},
    {"{'name':'n','board':3," INPUTS "," LAYERS ",'outputs':[{'name':'y','from':'x'}]}", KILN_E_INVALID,
     "no layer makes"},
    {"{'name':'n','board':3," INPUTS "," LAYERS ",'outputs':[{'name':'y','from':'a'},{'name':'y','from':'a'}]}",
     KILN_E_INVALID, "output 1"},
};

static void check_wrong(const file *f, const wrong *w, const char *description) {
    kiln_net *net = NULL;
    CHECK_STATUS(read_net(context, f, description, &net), w->status);
    if (w->status != KILN_OK)
        CHECK_HAS(kiln_last_error(), w->what);
    CHECK((net != NULL) == (w->status == KILN_OK));
    if (test_failures)
        fprintf(stderr, "in %s\n", description);
    kiln_net_destroy(net);
}

static void test_wrong(void) {
    char text[4096];
    file f = {.state = 3};
    tensors_wrong(&f);
    for (size_t i = 0; i < sizeof layers / sizeof layers[0] && !test_failures; i++) {
        snprintf(text, sizeof text, HEAD "%s" TAIL, layers[i].description);
        check_wrong(&f, &layers[i], text);
    }
    for (size_t i = 0; i < sizeof descriptions / sizeof descriptions[0] && !test_failures; i++)
        check_wrong(&f, &descriptions[i], descriptions[i].description);
    file_free(&f);
}

/* Files that hold no description, or weights of another type. */
static void test_files(void) {
    file f = {.state = 3};
    kiln_net *net = NULL;
    size_t n;
    tensors_wrong(&f);
    CHECK_STATUS(read_net(context, &f, NULL, &net), KILN_E_UNSUPPORTED);
    CHECK_HAS(kiln_last_error(), "\"kiln\"");
    char *data = write_file(&f, HEAD CONV "}" TAIL, "I32", &n);
    CHECK_STATUS(kiln__description_read(context, data, n, &net), KILN_E_UNSUPPORTED);
    CHECK_HAS(kiln_last_error(), "I32");
    CHECK(net == NULL);
    free(data);
    file_free(&f);
}

/* Layers may share a tensor, but not without end: memory stays in proportion to the file. */
static void test_sharing(void) {
    static const struct {
        int n_layers;
        kiln_status status;
    } nets[] = {{16, KILN_OK}, {17, KILN_E_INVALID}};
    for (size_t k = 0; k < sizeof nets / sizeof nets[0]; k++) {
        file f = {.state = 3};
        kiln_net *net = NULL;
        char text[4096];
        add_conv(&f, "same", 2, 2, 3);
        size_t n = (size_t)snprintf(text, sizeof text, HEAD);
        for (int i = 0; i < nets[k].n_layers; i++)
            n += (size_t)snprintf(text + n, sizeof text - n, "%s{'op':'conv','in':'x','out':'%c','weights':'same'}",
                                  i ? "," : "", 'a' + i);
        snprintf(text + n, sizeof text - n, TAIL);
        CHECK_STATUS(read_net(context, &f, text, &net), nets[k].status);
        if (nets[k].status != KILN_OK)
            CHECK_HAS(kiln_last_error(), "layer 16 \"q\"");
        kiln_net_destroy(net);
        file_free(&f);
    }
}

/* More layers, inputs and nesting than anyone has. */
static void test_many(void) {
    file f = {.state = 3};
    kiln_net *net = NULL;
    tensors_wrong(&f);
    const size_t capacity = 400000;
    char *text = malloc(capacity);
    REQUIRE(text != NULL);
    size_t n = (size_t)snprintf(text, capacity, HEAD CONV "}");
    for (int i = 0; i < 4096; i++)
        n += (size_t)snprintf(text + n, capacity - n, ",{'op':'pool','in':'a','out':'p%d','form':'mean'}", i);
    snprintf(text + n, capacity - n, TAIL);
    CHECK_STATUS(read_net(context, &f, text, &net), KILN_E_UNSUPPORTED);
    CHECK_HAS(kiln_last_error(), "4097 entries");
    n = (size_t)snprintf(text, capacity, "{'name':'n','board':3,'inputs':[");
    for (int i = 0; i < 17; i++)
        n += (size_t)snprintf(text + n, capacity - n, "%s{'name':'x%d','channels':2}", i ? "," : "", i);
    snprintf(text + n, capacity - n, "]," LAYERS "," OUTPUTS "}");
    CHECK_STATUS(read_net(context, &f, text, &net), KILN_E_UNSUPPORTED);
    memset(text, '[', 100000);
    text[100000] = '\0';
    CHECK_STATUS(read_net(context, &f, text, &net), KILN_E_PARSE);
    CHECK(net == NULL);
    free(text);
    file_free(&f);
}

int main(void) {
    kiln_context_options options = KILN_CONTEXT_OPTIONS_INIT;
    options.backends = "";
    options.cache_dir = "";
    REQUIRE_OK(kiln_context_create(&options, &context));
    test_wrong();
    test_files();
    test_sharing();
    test_many();
    kiln_context_destroy(context);
    return test_end();
}
