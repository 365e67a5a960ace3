/*
 * source.h
 *	  The server that is copied, over one libpq session: the backup, the list of
 *	  its files, and requests for their blocks in a pipeline.
 *
 * The backup belongs to this session: when it ends, whatever the reason, the
 * source ends the backup and drops the temporary slot.  Only this session can move
 * the slot on.  Every wait has a deadline.
 */
#ifndef RG_COPY_SOURCE_H
#define RG_COPY_SOURCE_H

#include <stdbool.h>
#include <stdint.h>
#include <libpq-fe.h>

#include "base/err.h"
#include "copy/plan.h"

typedef struct RgSource
{
	PGconn	   *conn;
	int			major;			/* version */
	uint64_t	system_identifier;
	uint32_t	wal_segment_size;
	char		slot[64];		/* the temporary one */
	uint64_t	kept_from;		/* where it was moved to; 0: not yet */
	uint64_t	held;			/* bytes of WAL that the source would not keep without it */
	int64_t		held_max;		/* what its settings allow; -1: no limit */
	bool		is_prepared;	/* the statement that asks */
	int			outstanding;	/* requests that are not answered yet */
	int64_t		heard_us;		/* when the last answer came */
} RgSource;

typedef struct RgBackup
{
	uint64_t	start_lsn;
	uint64_t	stop_lsn;
	uint64_t	next_segment;	/* the WAL that is still needed: from this one to stop_lsn */
	uint32_t	timeline;
	PGresult   *label;			/* row of pg_backup_stop: lsn, labelfile, spcmapfile */
} RgBackup;

/* One that can't serve a delta copy at all is RGE_STATE. */
extern int	rg_source_open(RgSource *source, const char *conninfo, RgError *err);
extern void rg_source_close(RgSource *source);

/* WAL from here on is kept for this session; then the checkpoint of the backup. */
extern int	rg_source_start(RgSource *source, const char *label, RgBackup *ret_backup, RgError *err);

/* Makes a directory of the copy, or what a tablespace's link leads to. */
typedef int (*RgDirectoryMaker) (void *arg, const char *path, bool is_tablespace, RgError *err);

/* Directories in the order in which they can be made, files into the plan. */
extern int	rg_source_list(RgSource *source, RgPlan *plan, RgDirectoryMaker make_directory, void *arg,
						   RgError *err);
extern int	rg_source_stop(RgSource *source, RgBackup *backup, RgError *err);

/*
 * WAL before from is not needed any more.  All before *ret_end_lsn is written and stays
 * as it is.  A slot that is lost, or about to be, is RGE_STATE: another try would come
 * to the same end.
 */
extern int	rg_source_keep_from(RgSource *source, uint64_t from, uint64_t *ret_end_lsn, RgError *err);

/* RGE_STATE: when that was asked, it held more than the source allows to a slot. */
extern int	rg_source_check_held(const RgSource *source, RgError *err);

/*
 * The source ends the session whose slot it gives up.  *err, and the code that is
 * returned, become those of a lost slot if that is why the connection is gone.
 */
extern int	rg_source_explain_loss(const RgSource *source, const char *conninfo, RgError *err);

/* Requests and answers in order; the socket does not block between begin and end. */
extern int	rg_source_begin(RgSource *source, RgError *err);
extern int	rg_source_ask(RgSource *source, const void *request, size_t length, RgError *err);

/* *ret_answer stays NULL when none is complete yet. */
extern int	rg_source_answer(RgSource *source, PGresult **ret_answer, RgError *err);
extern int	rg_source_end(RgSource *source, RgError *err);

#endif							/* RG_COPY_SOURCE_H */
