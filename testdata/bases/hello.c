/* A static program for images that hold nothing else: prints its arguments, one a line. */
#include <stdio.h>

int main(int argc, char **argv) {
    puts("hello");
    for (int i = 1; i < argc; i++)
        puts(argv[i]);
    return 0;
}
