/*
 * text.h
 *	  Numbers, times and tables as people read them.
 *
 * All functions write into a buffer of the caller and return it.
 */
#ifndef RG_TEXT_H
#define RG_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <jansson.h>

#define RG_TEXT_SHORT 32

/* 0 B, 17 kB, 12.3 MB, as pg_size_pretty counts (1 kB = 1024 bytes). */
extern const char *rg_text_bytes(int64_t bytes, char *buf, size_t size);

/* 350 ms, 12.4 s, 3 min, 2 h. */
extern const char *rg_text_ms(int64_t ms, char *buf, size_t size);

/* Members of a JSON object, with what to take when they are missing, null or of another type. */
extern const char *rg_json_text(const json_t *object, const char *key, const char *otherwise);
extern int64_t rg_json_number(const json_t *object, const char *key, int64_t otherwise);
extern bool rg_json_true(const json_t *object, const char *key);

#define RG_TABLE_COLUMNS 12
#define RG_TABLE_ROWS 64
#define RG_TABLE_CELL 64

typedef struct RgTable
{
	int			ncolumns;
	int			nrows;			/* the header is row 0 */
	bool		is_right[RG_TABLE_COLUMNS]; /* numbers stand at the right */
	char		cells[RG_TABLE_ROWS][RG_TABLE_COLUMNS][RG_TABLE_CELL];
} RgTable;

/* Begins a table; a heading that ends in '>' is of a column aligned at the right. */
extern void rg_table_begin(RgTable *table, int ncolumns, const char *const *headings);

/* Adds a row (NULL cells are empty); rows beyond the maximum are left out. */
extern void rg_table_row(RgTable *table, const char *const *cells);
extern void rg_table_print(const RgTable *table, FILE *out);

#endif							/* RG_TEXT_H */
