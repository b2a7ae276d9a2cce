#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sinks/decode/number.h"

static uint64_t random_state = 88172645463325252u;

static uint64_t random_u64(void)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return random_state;
}

static unsigned random_below(unsigned n)
{
    return (unsigned)((random_u64() >> 32) % n);
}

static double parse(const char *text)
{
    return number_parse_double(text, strlen(text));
}

/* Values by `go run` of fastfloat.ParseBestEffort v1.6.10. */
static void test_fastfloat_oddities(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        double value;
    } cases[] = {
        {"", 0},
        {"-", 0},
        {".", 0},
        {"-.", 0},
        {".5", 0.5},
        {"-.5", -0.5},
        {"5.", 5},
        {"-5.", 5},
        {"5.e3", 5000},
        {".e3", 0},
        {"1e", 0},
        {"1e+", 0},
        {"1e5", 1e5},
        {"1E-5", 1e-5},
        {"+5", 0},
        {"--5", 0},
        {"abc", 0},
        {"12abc", 0},
        {"1.5x", 0},
        {"0x10", 0},
        {"1_000", 0},
        {"1234567890123456789_0", 12345678901234567890.0},
        {"1234567890123456789__0", 0},
        {"12345678901234567890_", 0},
        {"123456789012345678901_.5", 0},
        {"123456789012345678x", 0},
        {"1234567890123456.5x", 0},
        {"12345678901234567.", 12345678901234567.},
        {"-12345678901234567.", 12345678901234567.},
        {"-12345678901234567.0", -12345678901234567.},
        {"1e301", 1e301},
        {"1e309", HUGE_VAL},
        {"-1e309", -HUGE_VAL},
        {"1e-400", 0},
        {"1e300x", 0},
        {"1e301x", 0},
        {"123456789e300", 1.23456789e308},
        {"inf", HUGE_VAL},
        {"+Inf", HUGE_VAL},
        {"-iNFINITY", -HUGE_VAL},
        {"-+inf", -HUGE_VAL},
        {"infx", 0},
        {"1e0300", 1e300},
        {"1..5", 0},
        {"12345678901234567890.5.5", 0},
        {"12345678901234567890e5", 1234567890123456789e6},
        {"12345678901234567890e+_5", 0},
        {"4.9e-324", 5e-324},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        if (parse(cases[i].text) != cases[i].value)
            fail_msg("%s: %.17g, not %.17g", cases[i].text, parse(cases[i].text), cases[i].value);
    assert_true(isnan(parse("nan")) && isnan(parse("-NaN")) && isnan(parse("+nan")));
    struct decimal d;
    assert_false(number_parse_decimal("NAN", 3, &d));
    /* f * 10^e of fastfloat is rounded twice: not what strtod says. */
    assert_true(parse("8.5e-23") == 8.5 * decimal_pow10(-23));
}

static void test_long_texts(void **state)
{
    (void)state;
    char text[3000];
    memset(text, '5', sizeof text);
    assert_true(number_parse_double(text, 400) == HUGE_VAL);
    text[300] = '.';
    char copy[3001];
    memcpy(copy, text, sizeof text);
    copy[3000] = '\0';
    assert_true(number_parse_double(text, sizeof text) == strtod(copy, NULL));
    /* One half exactly is rounded to even, and up when a digit far behind says that it's more. */
    snprintf(copy, sizeof copy, "9007199254740993.%01200d", 0);
    assert_true(number_parse_double(copy, strlen(copy)) == 9007199254740992.0);
    copy[strlen(copy) - 1] = '1';
    assert_true(number_parse_double(copy, strlen(copy)) == 9007199254740994.0);
}

static void test_integers(void **state)
{
    (void)state;
    int64_t i;
    uint64_t u;
    assert_true(number_parse_int64("-9223372036854775808", 20, &i) && i == INT64_MIN);
    assert_true(number_parse_int64("9223372036854775807", 19, &i) && i == INT64_MAX);
    assert_true(number_parse_int64("1753800000123456789", 19, &i) && i == 1753800000123456789);
    assert_true(number_parse_int64("000000000000000000000000012", 27, &i) && i == 12);
    assert_true(number_parse_int64("0000000000000017", 16, &i) && i == 17);
    assert_true(number_parse_uint64("18446744073709551615", 20, &u) && u == UINT64_MAX);
    static const char *const bad[] = {"",
                                      "-",
                                      "+1",
                                      "9223372036854775808",
                                      "-9223372036854775809",
                                      "1.0",
                                      "1 ",
                                      "12345678901234567x",
                                      "1234567x90123456",
                                      "99999999999999999999"};
    for (size_t n = 0; n < sizeof bad / sizeof bad[0]; n++)
        assert_false(number_parse_int64(bad[n], strlen(bad[n]), &i));
    assert_false(number_parse_uint64("18446744073709551616", 20, &u));
    assert_false(number_parse_uint64("-1", 2, &u));
    for (int n = 0; n < 200000; n++) {
        uint64_t value = random_u64() >> random_below(64);
        for (unsigned zeros = random_below(6); zeros && value < UINT64_MAX / 10; zeros--)
            value *= 10;
        struct decimal got = number_decimal_from_uint64(value), want = decimal_from_double((double)value);
        assert_true(got.mantissa == want.mantissa && got.exponent == want.exponent);
        got = number_decimal_from_int64((int64_t)value);
        want = decimal_from_double((double)(int64_t)value);
        assert_true(got.mantissa == want.mantissa && got.exponent == want.exponent);
    }
}

/* number_scan of text, in the middle of other bytes and as the last bytes of a payload, against the general
 * way. */
static void check_scan(const char *text, bool must_be_plain)
{
    char payload[256];
    size_t len = strlen(text);
    struct decimal want;
    assert_true(number_parse_decimal(text, len, &want));
    memset(payload, 'x', sizeof payload);
    for (int tail = 0; tail < 2; tail++) {
        char *at = tail ? payload + sizeof payload - len : payload + 7;
        memcpy(at, text, len);
        struct number_scan scan;
        number_scan(at, payload + sizeof payload, &scan);
        if (!scan.end) {
            if (must_be_plain)
                fail_msg("%s: not scanned", text);
            continue;
        }
        if (scan.end != at + len || scan.value.mantissa != want.mantissa ||
            scan.value.exponent != want.exponent || scan.is_negative != (*text == '-') ||
            scan.is_integer != !strchr(text, '.'))
            fail_msg("%s: %lld e%d, not %lld e%d", text, (long long)scan.value.mantissa, scan.value.exponent,
                     (long long)want.mantissa, want.exponent);
        memset(at, 'x', len);
    }
}

/* All of few digits, each point, and each number of zeros behind: among them the 0.01, 0.0001, 0.000001 of
 * the proof. */
static void test_scan_short(void **state)
{
    (void)state;
    char text[64];
    for (unsigned m = 0; m < 20000; m++) {
        for (unsigned scale = 1, k = 0; k <= 12; k++, scale *= k <= 9 ? 10 : 1) {
            if (k <= 9)
                snprintf(text, sizeof text, "%u.%0*u", m / scale, k ? (int)k : 1, m % scale);
            else
                snprintf(text, sizeof text, "0.%0*u", (int)k, m);
            check_scan(text, true);
        }
        snprintf(text, sizeof text, "%u%s", m, m % 3 ? "000" : "");
        check_scan(text, true);
    }
}

static void test_scan_random(void **state)
{
    (void)state;
    char text[64];
    for (int n = 0; n < 3000000; n++) {
        unsigned whole = 1 + random_below(random_below(4) ? 7 : 19);
        unsigned fraction = random_below(random_below(4) ? 8 : 20);
        size_t len = 0;
        if (random_below(4) == 0)
            text[len++] = '-';
        unsigned leading_zeros = random_below(8) == 0 ? whole + fraction / 2 : 0;
        for (unsigned i = 0; i < whole + fraction; i++) {
            if (i == whole)
                text[len++] = '.';
            text[len++] = i < leading_zeros ? '0' : (char)('0' + random_below(10));
        }
        if (random_below(8) == 0) /* many zeros, or nines, at the end */
            for (unsigned i = random_below(whole + fraction), c = random_below(2) ? '0' : '9'; i; i--)
                if (text[len - i] >= '0' && text[len - i] <= '9')
                    text[len - i] = (char)c;
        text[len] = '\0';
        check_scan(text, whole + fraction <= 19);
    }
}

static void test_scan_limits(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "9007199254740991",
        "9007199254740992",
        "9007199254740993",
        "36028797018963967",
        "36028797018963968",
        "36028797018963969",
        "123456789012345000",
        "1000000",
        "999999.99999",
        "1000000.0",
        "1000000.1",
        "1000000.00001",
        "0.000001",
        "0.0000010",
        "0.00000099999",
        "0.0000009",
        "99999999999",
        "0.99999999999",
        "99999.999999",
        "999999.999999",
        "0.999999999999",
        "0.000000",
        "-0",
        "-0.000",
        "1.000000000000",
        "9999999999999999999",
        "9999.9800908",
        "89999999999",
        "8999.9999999",
        "9000.0000001",
        "9999.9999999",
        "0.1",
        "0.01",
        "0.001",
        "0.0001",
        "0.00001",
        "100000.00001",
        "0.30000000000000004",
        "98.83720930233226",
        "1844674407370955161",
        "12345678.12345678",
        "1234567.1234567",
        "0.1234567",
        "0.12345678",
        "0.123456789",
    };
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        check_scan(texts[i], true);
    static const char *const others[] = {
        "", "-", ".5", "-.5", "5.", "5.x", "+5", "x", "-x", "12345678901234567890", "1.2345678901234567890"};
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++) {
        char payload[100];
        size_t len = strlen(others[i]);
        struct number_scan scan;
        number_scan_slowly(others[i], others[i] + len, &scan);
        assert_null(scan.end);
        memset(payload, ',', sizeof payload);
        memcpy(payload, others[i], len);
        number_scan(payload, payload + sizeof payload, &scan);
        assert_null(scan.end);
    }
}

/* Up to 19 digits number_scan_slowly makes its doubles itself: they must be strtod's. */
static void test_division_is_exact(void **state)
{
    (void)state;
    char text[64];
    for (int n = 0; n < 300000; n++) {
        uint64_t m = UINT64_C(1000000000000000000) + random_u64() % UINT64_C(8999999999999999999);
        unsigned k = 1 + random_below(18);
        snprintf(text, sizeof text, "%llu.%0*llu", (unsigned long long)(m / number_pow10[k]), (int)k,
                 (unsigned long long)(m % number_pow10[k]));
        struct number_scan scan;
        number_scan_slowly(text, text + strlen(text), &scan);
        struct decimal want = decimal_from_double(strtod(text, NULL));
        if (scan.value.mantissa != want.mantissa || scan.value.exponent != want.exponent)
            fail_msg("%s", text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fastfloat_oddities), cmocka_unit_test(test_long_texts),
        cmocka_unit_test(test_integers),           cmocka_unit_test(test_scan_short),
        cmocka_unit_test(test_scan_limits),        cmocka_unit_test(test_scan_random),
        cmocka_unit_test(test_division_is_exact),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
