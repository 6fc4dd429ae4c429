/* usage: json_at PATH < JSON: prints the value at a path such as results.0.batch; "length" of an array or object is
 * its number of members. Exit status 1: not JSON, or nothing there. For test scripts. */
#include <cJSON.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static char text[1 << 22];

static const cJSON *child(const cJSON *item, const char *name) {
    char *end;
    const long index = strtol(name, &end, 10);
    if (cJSON_IsArray(item) && end != name && !*end)
        return cJSON_GetArrayItem(item, (int)index);
    return cJSON_GetObjectItemCaseSensitive(item, name);
}

int main(int argc, char **argv) {
    if (argc != 2) {
        fprintf(stderr, "usage: json_at PATH < JSON\n");
        return 2;
    }
    const size_t n = fread(text, 1, sizeof text - 1, stdin);
    const char *end;
    cJSON *root = cJSON_ParseWithLengthOpts(text, n, &end, 0);
    while (root && *end == '\n')
        end++;
    if (!root || end != text + n) {
        fprintf(stderr, "json_at: standard input is not one JSON value\n");
        return 1;
    }
    const cJSON *item = root;
    for (char *name = strtok(argv[1], "."); name && item; name = strtok(NULL, ".")) {
        if (strcmp(name, "length") == 0) {
            printf("%d\n", cJSON_GetArraySize(item));
            cJSON_Delete(root);
            return 0;
        }
        item = child(item, name);
    }
    int status = 0;
    if (cJSON_IsString(item))
        puts(item->valuestring);
    else if (cJSON_IsNumber(item))
        printf("%.17g\n", item->valuedouble);
    else if (cJSON_IsBool(item))
        puts(cJSON_IsTrue(item) ? "true" : "false");
    else if (item)
        puts(cJSON_IsNull(item) ? "null" : cJSON_IsArray(item) ? "array" : "object");
    else {
        fprintf(stderr, "json_at: nothing there\n");
        status = 1;
    }
    cJSON_Delete(root);
    return status;
}
