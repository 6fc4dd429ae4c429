/* usage: embed ROOT NAME SYMBOL OUT: flattens the device source ROOT/NAME into a C file that defines SYMBOL. The text
 * is a byte array because string literals over 4,095 bytes are beyond what C11 promises. */
#include "embed.h"
#include <stdio.h>

int main(int argc, char **argv) {
    if (argc != 5) {
        fprintf(stderr, "usage: %s ROOT NAME SYMBOL OUT\n", argv[0]);
        return 2;
    }
    kiln_strbuf text = {0};
    if (kiln__embed_flatten(argv[1], argv[2], &text) != KILN_OK) {
        fprintf(stderr, "embed: %s\n", kiln_last_error());
        return 1;
    }
    char hash[33];
    kiln__hash_hex(text.data, text.length, hash);
    FILE *f = fopen(argv[4], "w");
    if (!f) {
        perror(argv[4]);
        return 1;
    }
    fprintf(f, "#include \"embedded.h\"\n\nstatic const unsigned char text[] = {");
    for (size_t i = 0; i < text.length; i++)
        fprintf(f, "%s%d,", i % 24 ? "" : "\n    ", (unsigned char)text.data[i]);
    fprintf(f, "\n    0};\nconst kiln_embed %s = {\"%s\", text, %zu, \"%s\"};\n", argv[3], argv[2], text.length, hash);
    kiln__strbuf_free(&text);
    return fclose(f) == 0 ? 0 : 1;
}
