/*
 * t_utf8.c
 *	  watchdog/base/utf8.c: whatever comes in, jansson takes what comes out.
 */
#include "helpers.h"

#include <jansson.h>

#include "base/utf8.h"
#include "core/memory.h"

#define EURO "\xe2\x82\xac"		/* three bytes */
#define E_ACUTE "\xc3\xa9"		/* two */
#define CLEF "\xf0\x9d\x84\x9e"	/* four */

static bool
is_valid(const char *text)
{
	json_t	   *json = json_string(text);
	bool		is_made = json != NULL;

	json_decref(json);
	return is_made;
}

static void
test_texts_become_valid(void **state)
{
	static const struct
	{
		const char *text;
		const char *mended;
	}			cases[] = {
		/* as they are */
		{"", ""},
		{"plain", "plain"},
		{"longer than eight bytes\t\x01\x7f", "longer than eight bytes\t\x01\x7f"},
		{E_ACUTE, E_ACUTE},
		{"a" EURO "b" CLEF "c" E_ACUTE, "a" EURO "b" CLEF "c" E_ACUTE},
		{"\xc2\x80|\xdf\xbf|\xe0\xa0\x80|\xed\x9f\xbf|\xee\x80\x80|\xef\xbf\xbf|\xf0\x90\x80\x80|\xf4\x8f\xbf\xbf",
		"\xc2\x80|\xdf\xbf|\xe0\xa0\x80|\xed\x9f\xbf|\xee\x80\x80|\xef\xbf\xbf|\xf0\x90\x80\x80|\xf4\x8f\xbf\xbf"},
		/* no character begins or goes on so */
		{"\x80", "?"},
		{"a\xbf\x80z", "a??z"},
		{"seven..\x80nine", "seven..?nine"},
		{"f\xfcr \"K\xf6ln\"!", "f?r \"K?ln\"!"},	/* LATIN1 */
		{"\xcf\xe0\xf0\xee\xeb\xfc.", "??????."},	/* WIN1251 */
		{"\xfe\xff|", "??|"},
		/* overlong, surrogates, too high */
		{"\xc0\xaf|", "??|"},
		{"\xc1\xbf|", "??|"},
		{"\xe0\x80\xaf|", "???|"},
		{"\xe0\x9f\xbf|", "???|"},
		{"\xf0\x80\x80\xaf|", "????|"},
		{"\xf0\x8f\xbf\xbf|", "????|"},
		{"\xed\xa0\x80|", "???|"},
		{"\xed\xbf\xbf|", "???|"},
		{"\xf4\x90\x80\x80|", "????|"},
		{"\xf5\x80\x80\x80|", "????|"},
		/* cut in the middle: one for what was begun, and what follows is looked at by itself */
		{"\xc3|", "?|"},
		{"\xe2|\xe2\x82|", "?|?|"},
		{"\xf0|\xf0\x9d|\xf0\x9d\x84|", "?|?|?|"},
		{"\xe2\x82" EURO "\"", "?" EURO "\""},
		{"\xc3\"\xc3\n", "?\"?\n"},
		/* cut at the very end: gone */
		{"a\xc3", "a"},
		{"a\xe2", "a"},
		{"a\xe2\x82", "a"},
		{"a\xf0", "a"},
		{"a\xf0\x9d", "a"},
		{"a\xf0\x9d\x84", "a"},
		{EURO "\xe2\xe2\x82", EURO "?"},
		{"\xe2\x82", ""},
	};

	(void) state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
	{
		char		buf[64];

		strcpy(buf, cases[i].text);
		rg_utf8_mend(buf);
		assert_string_equal(buf, cases[i].mended);
		assert_true(is_valid(buf));
		rg_text(buf, sizeof(buf), "%s", cases[i].text);
		assert_string_equal(buf, cases[i].mended);
	}
}

/* Bytes at random, most of them such as UTF-8 is made of; what is valid stays as it is. */
static void
test_any_bytes(void **state)
{
	static const unsigned char some[] = {'a', '"', 0x80, 0x8f, 0x90, 0x9f, 0xa0, 0xbf, 0xc2, 0xe0, 0xe2, 0xed, 0xef, 0xf0, 0xf1, 0xf4};
	uint32_t	seed = 1;
	int			valid = 0;

	(void) state;
	for (int i = 0; i < 300000; i++)
	{
		char		text[16] = "";
		char		buf[16];
		int			n;

		seed = seed * 1664525 + 1013904223;
		n = (int) (seed >> 16) % 12;
		for (int k = 0; k < n; k++)
		{
			seed = seed * 1664525 + 1013904223;
			text[k] = (char) ((seed >> 28) != 0 ? some[seed >> 16 & 15] : (seed >> 16 & 0xff) | 1);
		}
		strcpy(buf, text);
		rg_utf8_mend(buf);
		assert_true(is_valid(buf));
		assert_true(strlen(buf) <= strlen(text));
		if (!is_valid(text))
			continue;
		assert_string_equal(buf, text);
		valid++;
	}
	assert_true(valid > 1000 && valid < 290000);
}

/* What the core makes: cut where it is full, or in the middle, by a precision. */
static void
test_texts_of_the_core_are_valid(void **state)
{
	static RgDecision d;
	char		buf[10];
	char		full[RG_LONG_TEXT_MAX + 8];

	(void) state;
	rg_text(buf, sizeof(buf), "%s", "ab" EURO EURO EURO);
	assert_string_equal(buf, "ab" EURO EURO);
	rg_text(buf, sizeof(buf), "%.5s|", EURO EURO);
	assert_string_equal(buf, EURO "?|");
	rg_text(buf, sizeof(buf), "%.4s|%s", E_ACUTE E_ACUTE E_ACUTE, E_ACUTE E_ACUTE E_ACUTE);
	assert_string_equal(buf, E_ACUTE E_ACUTE "|" E_ACUTE E_ACUTE);
	strcpy(buf, "kept");
	rg_text(buf, 0, "%s", E_ACUTE);
	assert_string_equal(buf, "kept");
	rg_text(buf, 1, "%s", E_ACUTE);
	assert_string_equal(buf, "");

	full[0] = '\0';
	while (strlen(full) < RG_LONG_TEXT_MAX)
		strcat(full, EURO);
	for (int shift = 0; shift < 3; shift++)
		rg_decision_note(&d, RG_EVENT_NODE_STATE, 0, 0, false, "%.*s%s", shift, "xx", full);
	rg_decision_note(&d, RG_EVENT_NODE_STATE, 0, 0, false, "%.100s; %s", full, "f\xfcr");
	assert_int_equal(d.nnotes, 4);
	for (int i = 0; i < d.nnotes; i++)
		assert_true(is_valid(d.notes[i].text));
	assert_true(strlen(d.notes[1].text) > RG_LONG_TEXT_MAX - 4);
	assert_string_equal(d.notes[3].text + 99, "?; f?r");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_texts_become_valid),
		cmocka_unit_test(test_any_bytes),
		cmocka_unit_test(test_texts_of_the_core_are_valid),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
