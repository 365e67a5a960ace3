/*
 * t_err.c
 *	  watchdog/base/err.c and clock.c
 */
#include "helpers.h"

#include "base/err.h"

static void
test_error_holds_message_detail_and_hint(void **state)
{
	RgError		err;

	(void) state;
	assert_int_equal(rg_error_set(&err, RGE_IO, "could not open \"%s\"", "x"), RGE_IO);
	rg_error_detail(&err, "It is %d.", 7);
	rg_error_hint(&err, "Type %s.", "this");
	assert_int_equal(err.code, RGE_IO);
	assert_string_equal(err.message, "could not open \"x\"");
	assert_string_equal(err.detail, "It is 7.");
	assert_string_equal(err.hint, "Type this.");

	/* a new error leaves nothing of the old one */
	rg_error_set(&err, RGE_LIMIT, "too many");
	assert_string_equal(err.detail, "");
	assert_string_equal(err.hint, "");
	rg_error_clear(&err);
	assert_int_equal(err.code, RGE_OK);
	assert_string_equal(err.message, "");
}

static void
test_error_takes_null_and_its_own_text(void **state)
{
	RgError		err;

	(void) state;
	assert_int_equal(rg_error_set(NULL, RGE_NOMEM, "x"), RGE_NOMEM);
	rg_error_detail(NULL, "x");
	rg_error_hint(NULL, "x");
	rg_error_clear(NULL);

	rg_error_set(&err, RGE_IO, "inner");
	rg_error_set(&err, RGE_STATE, "outer: %s", err.message);
	assert_string_equal(err.message, "outer: inner");
}

static void
test_error_is_cut_at_a_characters_border(void **state)
{
	RgError		err;
	char		text[600] = "";

	(void) state;
	for (int i = 0; i < 100; i++)
		strcat(text, "\xe2\x82\xac");	/* the euro sign: three bytes */
	for (int shift = 0; shift < 3; shift++)
	{
		size_t		len;

		rg_error_set(&err, RGE_IO, "%.*s%s", shift, "abc", text);
		len = strlen(err.message);
		assert_true(len <= 255 && len > 250);
		assert_int_equal((len - (size_t) shift) % 3, 0);
	}
	rg_error_set(&err, RGE_IO, "could not open \"%.4s\": %s", text, "f\xfcr");
	assert_string_equal(err.message, "could not open \"\xe2\x82\xac?\": f?r");
}

static void
test_clock_formats_wall_time(void **state)
{
	char		buf[32];

	(void) state;
	assert_string_equal(rg_clock_format(INT64_C(1795516326123), buf, sizeof(buf)), "2026-11-24T10:32:06.123Z");
	assert_string_equal(rg_clock_format(0, buf, sizeof(buf)), "1970-01-01T00:00:00.000Z");
	assert_string_equal(rg_clock_format(-1, buf, sizeof(buf)), "1969-12-31T23:59:59.999Z");
	rg_clock_format(INT64_MAX, buf, sizeof(buf));
	assert_true(strlen(buf) < sizeof(buf));
}

static void
test_clock_only_goes_on(void **state)
{
	int64_t		ms = rg_clock_now_ms();
	int64_t		us = rg_clock_now_us();

	(void) state;
	assert_true(us / 1000 >= ms);
	assert_true(rg_clock_now_us() >= us);
	assert_true(rg_clock_wall_ms() > INT64_C(1700000000000));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_error_holds_message_detail_and_hint),
		cmocka_unit_test(test_error_takes_null_and_its_own_text),
		cmocka_unit_test(test_error_is_cut_at_a_characters_border),
		cmocka_unit_test(test_clock_formats_wall_time),
		cmocka_unit_test(test_clock_only_goes_on),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
