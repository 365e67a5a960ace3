/*
 * journal_rewrite.h
 *	  Which lines of a journal still matter, written to a file beside it.
 */
#ifndef RG_JOURNAL_REWRITE_H
#define RG_JOURNAL_REWRITE_H

#include <stddef.h>
#include <sys/types.h>
#include "../base/err.h"

#define RG_JOURNAL_KINDS_MAX 32

/*
 * Writes what is kept of text (whole good lines) to tmp_name in dir_fd and
 * fsyncs it: the newest line of each kind in keep, the last events, and always the
 * very last line, whose number no later line may have again.  path is for
 * messages.  The file stays open for appending; on failure it is removed.
 */
extern int	rg_journal_write_beside(int dir_fd, const char *tmp_name, const char *path,
									const char *text, size_t len, const char *const *keep,
									int *ret_fd, off_t *ret_size, RgError *err);

/* Writes everything; 0 or an errno. */
extern int	rg_journal_write_all(int fd, const char *text, size_t len);

#endif							/* RG_JOURNAL_REWRITE_H */
