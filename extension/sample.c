/*
 * sample.c
 *	  What the worker sees of this server: role, timeline, LSNs, rate.
 *
 * Goes into shared memory, into the worker's process title, where `ps` shows it
 * on a host where nobody can log in to the server, and into the log when the
 * role changes.
 */
#include "postgres.h"

#include "access/xlog.h"
#include "access/xlogrecovery.h"
#include "replication/walreceiver.h"
#include "utils/ps_status.h"

#include "pg_regent.h"
#include "sample.h"
#include "shmem.h"

static void
log_role(const RgSample *before, const RgSample *now)
{
	const char *role = now->in_recovery ? "standby" : "primary";

	if (before->at_ms == 0)
		ereport(LOG,
				(errmsg("pg_regent: node \"%s\" is %s on timeline %u",
						rg_node_name, role, now->timeline)));
	else if (before->in_recovery != now->in_recovery)
		ereport(LOG,
				(errmsg("pg_regent: node \"%s\" became %s on timeline %u",
						rg_node_name, role, now->timeline)));
}

static void
show_title(const RgSample *sample, int64 term)
{
	char		title[256];
	char		extra[64] = "";

	if (sample->in_recovery && !XLogRecPtrIsInvalid(sample->receive_lsn))
		snprintf(extra, sizeof(extra), ", received %X/%X", LSN_FORMAT_ARGS(sample->receive_lsn));
	snprintf(title, sizeof(title), "%s %s, %s %X/%X on timeline %u, term " INT64_FORMAT "%s, %.1f MB/s",
			 sample->in_recovery ? "standby" : "primary",
			 rg_node_name[0] != '\0' ? rg_node_name : "(no name)",
			 sample->in_recovery ? "replayed" : "wrote",
			 LSN_FORMAT_ARGS(sample->replay_lsn), sample->timeline, term, extra,
			 sample->rate / (1024 * 1024));
	set_ps_display(title);
}

void
rg_sample_take(void)
{
	static RgSample last;
	RgSample	sample;
	RgReceipt	receipt;
	int64		term;

	sample.at_ms = rg_boottime_ms();
	sample.in_recovery = RecoveryInProgress();
	sample.timeline = rg_current_timeline(sample.in_recovery);
	sample.receive_lsn = sample.in_recovery ? GetWalRcvFlushRecPtr(NULL, NULL) : InvalidXLogRecPtr;
	sample.replay_lsn = sample.in_recovery ? GetXLogReplayRecPtr(NULL) : GetXLogWriteRecPtr();
	sample.rate = last.rate;
	if (last.at_ms != 0 && sample.at_ms - last.at_ms >= rg_report_interval / 2)
		sample.rate = sample.replay_lsn > last.replay_lsn ?
			(double) (sample.replay_lsn - last.replay_lsn) * 1000 / (sample.at_ms - last.at_ms) : 0;
	if (sample.in_recovery)
		rg_receipt_update(&receipt);

	LWLockAcquire(rg_shared->lock, LW_EXCLUSIVE);
	rg_shared->sample = sample;
	term = rg_shared->state.has_rule ? rg_shared->state.rule.term : 0;
	LWLockRelease(rg_shared->lock);

	log_role(&last, &sample);
	show_title(&sample, term);

	/* rounds in a hurry are too short to measure a rate */
	if (last.at_ms != 0 && sample.in_recovery == last.in_recovery &&
		sample.at_ms - last.at_ms < rg_report_interval / 2)
	{
		last.timeline = sample.timeline;
		return;
	}
	last = sample;
}
