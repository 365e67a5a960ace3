/*
 * text.c
 *	  Formatting for people.  Programs get JSON instead.
 */
#include "text.h"

#include <inttypes.h>
#include <string.h>

const char *
rg_text_bytes(int64_t bytes, char *buf, size_t size)
{
	static const char *const units[] = {"B", "kB", "MB", "GB", "TB", "PB"};
	double		value = (double) bytes;
	size_t		unit = 0;

	while (value >= 1024 && unit < sizeof(units) / sizeof(units[0]) - 1)
	{
		value /= 1024;
		unit++;
	}
	snprintf(buf, size, "%.*f %s", unit > 0 && value < 100 ? 1 : 0, value, units[unit]);
	return buf;
}

const char *
rg_text_ms(int64_t ms, char *buf, size_t size)
{
	if (ms < 1000)
		snprintf(buf, size, "%" PRId64 " ms", ms);
	else if (ms < 120 * 1000)
		snprintf(buf, size, "%.1f s", (double) ms / 1000);
	else if (ms < 120 * 60 * 1000)
		snprintf(buf, size, "%" PRId64 " min", ms / 60000);
	else if (ms < INT64_C(48) * 3600 * 1000)
		snprintf(buf, size, "%" PRId64 " h", ms / 3600000);
	else
		snprintf(buf, size, "%" PRId64 " days", ms / 86400000);
	return buf;
}

const char *
rg_json_text(const json_t *object, const char *key, const char *otherwise)
{
	const json_t *value = json_object_get(object, key);

	return json_is_string(value) ? json_string_value(value) : otherwise;
}

int64_t
rg_json_number(const json_t *object, const char *key, int64_t otherwise)
{
	const json_t *value = json_object_get(object, key);

	if (json_is_integer(value))
		return json_integer_value(value);
	return json_is_real(value) ? (int64_t) json_real_value(value) : otherwise;
}

bool
rg_json_true(const json_t *object, const char *key)
{
	return json_is_true(json_object_get(object, key));
}

void
rg_table_begin(RgTable *table, int ncolumns, const char *const *headings)
{
	memset(table, 0, sizeof(*table));
	table->ncolumns = ncolumns;
	rg_table_row(table, headings);
	for (int c = 0; c < ncolumns; c++)
	{
		char	   *end = strchr(table->cells[0][c], '>');

		table->is_right[c] = end != NULL;
		if (end != NULL)
			*end = '\0';
	}
}

void
rg_table_row(RgTable *table, const char *const *cells)
{
	if (table->nrows == RG_TABLE_ROWS)
		return;
	for (int c = 0; c < table->ncolumns; c++)
		if (cells[c] != NULL)
			snprintf(table->cells[table->nrows][c], RG_TABLE_CELL, "%s", cells[c]);
	table->nrows++;
}

void
rg_table_print(const RgTable *table, FILE *out)
{
	int			width[RG_TABLE_COLUMNS] = {0};

	for (int r = 0; r < table->nrows; r++)
		for (int c = 0; c < table->ncolumns; c++)
			if ((int) strlen(table->cells[r][c]) > width[c])
				width[c] = (int) strlen(table->cells[r][c]);
	for (int r = 0; r < table->nrows; r++)
	{
		for (int c = 0; c < table->ncolumns; c++)
		{
			bool		is_last = c == table->ncolumns - 1;

			if (table->is_right[c])
				fprintf(out, "%*s", width[c], table->cells[r][c]);
			else
				fprintf(out, "%-*s", is_last ? 0 : width[c], table->cells[r][c]);
			fputs(is_last ? "\n" : "  ", out);
		}
	}
}
