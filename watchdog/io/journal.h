/*
 * journal.h
 *	  The watchdog's memory on disk: one JSON object per line, append only.
 *
 * Owns STATE_DIRECTORY/CLUSTER.journal.  Each line is {"n":SEQ,"at":WALL_MS,
 * "boot":BOOT_MS,"kind":"…","crc":"…",…}: crc is the CRC-32 (zlib's) of the line as
 * written without that member, so that a torn or damaged line is noticed.  A
 * torn last line is dropped with a warning; damage anywhere else is an error.
 * A decision is written and fsynced before its first step runs
 * (rg_journal_write with sync = true).  Past RG_JOURNAL_SIZE_MAX the file is
 * replaced (write beside, fsync, rename, fsync directory) by the newest line of each
 * "memory"-like kind that the caller names plus the last 1000 "event" lines.
 */
#ifndef RG_JOURNAL_H
#define RG_JOURNAL_H

#include <stdbool.h>
#include <stdint.h>
#include <jansson.h>
#include "../base/err.h"

#define RG_JOURNAL_SIZE_MAX (8 * 1024 * 1024)
#define RG_JOURNAL_LINE_MAX (256 * 1024)
#define RG_JOURNAL_EVENTS_KEPT 1000

typedef struct RgJournal RgJournal;

/* Called for each good line while opening, oldest first; line is borrowed. */
typedef void (*RgJournalReadFn) (void *arg, const char *kind, int64_t seq, int64_t at_wall_ms, const json_t *line);

/* Opens or creates; mode 0600.  keep: NULL-terminated kinds of which only the newest line
 * matters; borrowed until the journal is closed.  fn may be NULL. */
extern int	rg_journal_open(const char *directory, const char *cluster, const char *const *keep,
							RgJournalReadFn fn, void *arg, RgJournal **ret_journal, RgError *err);
extern void rg_journal_close(RgJournal *j);

/* What opening found and repaired (a torn last line), or why the last rewriting of a file
 * that has grown too big failed; NULL where all is well.  To be logged by the caller. */
extern const char *rg_journal_warning(const RgJournal *j);

/*
 * Appends {"kind":kind} + members of body (borrowed).  With sync the line is on disk when
 * this returns 0; RGE_IO on a full disk and the like: then nothing of the line is left in
 * the file and the caller must not act.  A body of NULL is one that could not be made: that
 * is RGE_ARGUMENT, and nothing is written.  ret_seq may be NULL.
 * kind is [a-z0-9_]+; n, at, boot, kind and crc can't be members of body.
 */
extern int	rg_journal_write(RgJournal *j, const char *kind, const json_t *body, bool sync,
							 int64_t *ret_seq, RgError *err);

#endif							/* RG_JOURNAL_H */
