/*
 * journal_line.h
 *	  One line of the journal as text: how it is made and how it is checked.
 *
 * Pure text work, apart from the file handling in journal.c.
 */
#ifndef RG_JOURNAL_LINE_H
#define RG_JOURNAL_LINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <jansson.h>
#include "../base/err.h"

#define RG_JOURNAL_KIND_MAX 48

/* The head of a line whose checksum was right. */
typedef struct RgJournalHead
{
	int64_t		seq;
	int64_t		at_wall_ms;
	char		kind[RG_JOURNAL_KIND_MAX];
} RgJournalHead;

/* The whole line with its newline, malloc'd into ret_line. */
extern int	rg_journal_line_make(int64_t seq, int64_t at_wall_ms, int64_t boot_ms, const char *kind,
								 const json_t *body, char **ret_line, size_t *ret_len, RgError *err);

/* Is this (len bytes, without newline) a line as rg_journal_line_make() makes it? */
extern bool rg_journal_line_check(const char *line, size_t len, RgJournalHead *ret_head);

#endif							/* RG_JOURNAL_LINE_H */
