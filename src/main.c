#include <stdio.h>

int main(void)
{
    puts("varve");
    return 0;
}
