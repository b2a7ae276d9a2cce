#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sinks/mqtt/mqtt_filter_file.h"

static void test_round_trip(void **state)
{
    (void)state;
    char dir[] = "/tmp/test_mqtt_filter_file.XXXXXX";
    assert_non_null(mkdtemp(dir));
    int fd = open(dir, O_RDONLY | O_DIRECTORY);
    struct mqtt_filter_list l = {0}, read = {0};
    assert_int_equal(mqtt_filter_file_read(fd, &read, NULL), 0); /* no file: none */
    assert_int_equal(read.count, 0);
    mqtt_filter_list_add(&l, "a/+");
    mqtt_filter_list_add(&l, "$share/g/b c/#");
    mqtt_filter_list_add(&l, "a/+");
    assert_int_equal(l.count, 2);
    assert_int_equal(mqtt_filter_file_write(&spool_fs_posix, fd, &l, NULL), 0);
    mqtt_filter_list_add(&read, "x");
    assert_int_equal(mqtt_filter_file_read(fd, &read, NULL), 0);
    assert_int_equal(read.count, 3);
    assert_string_equal(read.filters[1], "a/+");
    assert_string_equal(read.filters[2], "$share/g/b c/#");
    mqtt_filter_list_release(&l);
    assert_int_equal(mqtt_filter_file_write(&spool_fs_posix, fd, &l, NULL), 0);
    mqtt_filter_list_release(&read);
    assert_int_equal(mqtt_filter_file_read(fd, &read, NULL), 0);
    assert_int_equal(read.count, 0);
    assert_int_equal(unlinkat(fd, "filters", 0), 0);
    close(fd);
    assert_int_equal(rmdir(dir), 0); /* no temporary file is left */
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_round_trip)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
